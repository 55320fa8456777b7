// Merges the chunks and channels of a group: (mean, sum of squared deviations) of each -> (mean, 1 / sqrt(var + eps)).
//   partial (N, chunks, 2, C) -> statistics (N, G, 2)
//
// LANES work items share a group. All means are taken relative to the group's first, where they are exact.
// Source: Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample Variance".
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(constant_id = 0) const uint ITEMS = 64;
layout(constant_id = 1) const uint LANES = 1; // divides ITEMS
layout(push_constant) uniform Push {
    uint count;
    uint batch, positions, channels, groups, chunks, length;
    float eps;
};
layout(set = 0, binding = 0) readonly restrict buffer Partial { float partial[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Statistics { vec2 statistics[]; };

struct Moments {
    float n, mean, squares;
};
shared Moments of_lanes[ITEMS];

void merge(inout Moments all, Moments more) {
    float n = all.n + more.n, share = n > 0.0 ? more.n / n : 0.0;
    float delta = more.mean - all.mean;
    all.mean += delta * share;
    all.squares += more.squares + delta * delta * (all.n * share);
    all.n = n;
}

void main() {
    uint index = global_index(), lane = index % LANES, row = min(index, count - 1) / LANES;
    uint in_group = channels / groups, n = row / groups, c = (row - n * groups) * in_group;
    float origin = partial[2 * n * chunks * channels + c];
    Moments all = Moments(0.0, 0.0, 0.0);
    for (uint chunk = lane; chunk < chunks; chunk += LANES) {
        float elements = float(min(length, positions - chunk * length));
        uint at = 2 * (n * chunks + chunk) * channels + c;
        for (uint i = 0; i < in_group; i++)
            merge(all, Moments(elements, partial[at + i] - origin, partial[at + channels + i]));
    }
    if (LANES > 1) {
        of_lanes[gl_LocalInvocationID.x] = all;
        barrier();
        for (uint i = 1; i < LANES && lane == 0; i++)
            merge(all, of_lanes[gl_LocalInvocationID.x + i]);
    }
    if (index >= count || lane != 0)
        return;
    statistics[row] = vec2(origin + all.mean, 1.0 / sqrt(all.squares / all.n + eps));
}
