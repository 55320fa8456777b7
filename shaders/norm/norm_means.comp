// mean(e) and mean(e xhat) over each group, e = dy gamma, from the sums of dy and dy xhat of its channels.
//   sums (N, 2, C), gamma (C), statistics (N, G, 2) -> means (N, G, 4): mean, rstd, mean(e), mean(e xhat)
//
// LANES work items share a group.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(constant_id = 0) const uint ITEMS = 64;
layout(constant_id = 1) const uint LANES = 1; // divides ITEMS
layout(push_constant) uniform Push { uint count, positions, channels, groups; };
layout(set = 0, binding = 0) readonly restrict buffer Sums { float sums[]; };
layout(set = 0, binding = 1) readonly restrict buffer Gamma { float gamma[]; };
layout(set = 0, binding = 2) readonly restrict buffer Statistics { vec2 statistics[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Means { vec4 means[]; };

shared vec2 of_lanes[ITEMS];

void main() {
    uint index = global_index(), lane = index % LANES, row = min(index, count - 1) / LANES;
    uint in_group = channels / groups, n = row / groups, first = (row - n * groups) * in_group;
    vec2 total = vec2(0.0);
    for (uint c = first + lane; c < first + in_group; c += LANES)
        total += gamma[c] * vec2(sums[2 * n * channels + c], sums[(2 * n + 1) * channels + c]);
    if (LANES > 1) {
        of_lanes[gl_LocalInvocationID.x] = total;
        barrier();
        for (uint i = 1; i < LANES && lane == 0; i++)
            total += of_lanes[gl_LocalInvocationID.x + i];
    }
    if (index >= count || lane != 0)
        return;
    means[row] = vec4(statistics[row], total / float(positions * in_group));
}
