// y = (x - mean) rstd gamma + beta. x, y (N, S, C); gamma, beta (C); statistics (N G, 2).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/norm.glsl"

layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) readonly restrict buffer Gamma { float gamma[]; };
layout(set = 0, binding = 2) readonly restrict buffer Beta { float beta[]; };
layout(set = 0, binding = 3) readonly restrict buffer Statistics { float statistics[]; };
layout(set = 0, binding = 4) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint row = row_of(i), c = i % channels;
    y[i] = (x[i] - statistics[2 * row]) * statistics[2 * row + 1] * gamma[c] + beta[c];
}
