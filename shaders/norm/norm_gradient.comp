// dx = rstd (e - mean(e) - xhat mean(e xhat)), e = dy gamma. sums (N G, 2) holds the two means.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/norm.glsl"

layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) readonly restrict buffer Gamma { float gamma[]; };
layout(set = 0, binding = 2) readonly restrict buffer Statistics { float statistics[]; };
layout(set = 0, binding = 3) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 4) readonly restrict buffer Sums { float sums[]; };
layout(set = 0, binding = 5) writeonly restrict buffer Dx { float dx[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint row = row_of(i);
    float rstd = statistics[2 * row + 1];
    float xhat = (x[i] - statistics[2 * row]) * rstd;
    dx[i] = rstd * (dy[i] * gamma[i % channels] - sums[2 * row] - xhat * sums[2 * row + 1]);
}
