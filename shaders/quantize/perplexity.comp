// y = exp(-sum_k p_k log p_k), p_k = n_k / sum n, in one workgroup: counts (K) -> y (1). 0 log 0 = 0.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "common/workgroup_sum.glsl"

layout(push_constant) uniform Push { uint codes; }; // K
layout(set = 0, binding = 0) readonly restrict buffer Counts { float counts[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    vec2 mine = vec2(0.0); // sum n, sum n log n
    for (uint k = gl_LocalInvocationID.x; k < codes; k += gl_WorkGroupSize.x) {
        float n = counts[k];
        mine += vec2(n, n > 0.0 ? n * log(n) : 0.0);
    }
    vec2 sums = workgroup_sum(mine);
    if (gl_LocalInvocationID.x == 0)
        y[0] = exp(log(sums.x) - sums.y / sums.x); // -sum p log p = log N - sum n log n / N
}
