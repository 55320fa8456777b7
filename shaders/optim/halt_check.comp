// halted = 1 from the first gradient norm on that is an infinity or NaN. Tested on the bits: isnan may be optimised out.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count; };
layout(set = 0, binding = 0) readonly restrict buffer Norm { uint norm_bits[]; };
layout(set = 0, binding = 1) restrict buffer Halted { uint halted[]; };

void main() {
    if (global_index() < count && (norm_bits[0] & 0x7f800000u) == 0x7f800000u)
        halted[0] = 1;
}
