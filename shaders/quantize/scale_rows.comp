// y[m, d] = factor s[m] x[m, d]: x (M, D), s (M) -> y (M, D).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { // M D, D
    uint count, width;
    float factor;
};
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) readonly restrict buffer S { float s[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = factor * s[i / width] * x[i];
}
