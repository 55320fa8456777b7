// Sums of e = dy gamma and of e xhat over every chunks-th element of a group.
//   x, dy (N, S, C) -> partial (N G, chunks, 2)
#version 450
#extension GL_GOOGLE_include_directive : require
#define CHUNKS
#include "common/index.glsl"
#include "common/norm.glsl"

layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) readonly restrict buffer Gamma { float gamma[]; };
layout(set = 0, binding = 2) readonly restrict buffer Statistics { float statistics[]; };
layout(set = 0, binding = 3) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 4) writeonly restrict buffer Partial { float partial[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint row = index / chunks;
    float mean = statistics[2 * row], rstd = statistics[2 * row + 1];
    float sum_e = 0.0, sum_e_xhat = 0.0;
    for (uint k = index % chunks; k < group_elements(); k += chunks) {
        uint at = element_at(row, k);
        float e = dy[at] * gamma[at % channels];
        sum_e += e;
        sum_e_xhat += e * (x[at] - mean) * rstd;
    }
    partial[2 * index] = sum_e;
    partial[2 * index + 1] = sum_e_xhat;
}
