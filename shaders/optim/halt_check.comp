// halted = 1 from the first gradient norm or loss on that is an infinity or NaN. Tested on the bits: isnan may be
// optimised out.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count; };
layout(set = 0, binding = 0) readonly restrict buffer Norm { uint norm_bits[]; };
layout(set = 0, binding = 1) readonly restrict buffer Loss { uint loss_bits[]; };
layout(set = 0, binding = 2) restrict buffer Halted { uint halted[]; };

bool finite(uint bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

void main() {
    if (global_index() < count && !(finite(norm_bits[0]) && finite(loss_bits[0])))
        halted[0] = 1;
}
