// The weight of a convolution that sees only what comes before a pixel in reading order: y = w above the middle row and
// left of the middle, at the middle too with CENTRE, else 0. w, y (KH, KW, C, O), KH and KW odd.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(constant_id = 1) const bool CENTRE = false;
layout(push_constant) uniform Push { uint count, taps, plane; }; // all; KH KW; C O
layout(set = 0, binding = 0) readonly restrict buffer W { float w[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint tap = i / plane, middle = taps / 2;
    y[i] = tap < middle || (CENTRE && tap == middle) ? w[i] : 0.0;
}
