// Moves the codes as code_rates.comp says; one that starts again becomes a random one of this step's z.
//   rates (K), sums (K, D) of the z of each code, z (M, D), codebook (K, D) in place
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/random.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push { uint count, width, positions, first; }; // K D, D, M, draw of the first code
layout(set = 0, binding = 0) readonly restrict buffer Rates { vec2 rates[]; };
layout(set = 0, binding = 1) readonly restrict buffer Sums { float sums[]; };
layout(set = 0, binding = 2) readonly restrict buffer Z { float z[]; };
layout(set = 0, binding = 3) restrict buffer Codebook { float codebook[]; };

// In [0, positions), the same for all of a code's numbers.
uint random_position(uint code) {
    uvec2 key = uvec2(params.seed_lo, params.seed_hi);
    uint high, low;
    umulExtended(philox(uvec4(first + code, params.draw, STREAM_CODEBOOK, params.step), key).x, positions, high, low);
    return high;
}

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    vec2 rate = rates[i / width];
    if (rate.y < 0.0)
        codebook[i] = z[random_position(i / width) * width + i % width];
    else if (rate.y > 0.0)
        codebook[i] = rate.x * codebook[i] + rate.y * sums[i];
}
