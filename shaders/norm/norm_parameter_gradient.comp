// Sums of dy xhat (dgamma) and of dy (dbeta) over every chunks-th of the N S positions of one channel.
//   x, dy (N, S, C) -> partial (chunks, 2, C)
#version 450
#extension GL_GOOGLE_include_directive : require
#define CHUNKS
#include "common/index.glsl"
#include "common/norm.glsl"

layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) readonly restrict buffer Statistics { float statistics[]; };
layout(set = 0, binding = 2) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Partial { float partial[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint chunk = index / channels, c = index % channels;
    float dgamma = 0.0, dbeta = 0.0;
    for (uint position = chunk; position < batch * positions; position += chunks) {
        uint at = position * channels + c, row = row_of(at);
        dgamma += dy[at] * (x[at] - statistics[2 * row]) * statistics[2 * row + 1];
        dbeta += dy[at];
    }
    partial[2 * chunk * channels + c] = dgamma;
    partial[(2 * chunk + 1) * channels + c] = dbeta;
}
