// Mean and sum of squared deviations of every chunks-th element of a group: Welford's recurrence.
//   x (N, S, C) -> partial (N G, chunks, 2)
#version 450
#extension GL_GOOGLE_include_directive : require
#define CHUNKS
#include "common/index.glsl"
#include "common/norm.glsl"

layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Partial { float partial[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint row = index / chunks, chunk = index % chunks;
    float n = 0.0, mean = 0.0, squares = 0.0;
    for (uint e = chunk; e < group_elements(); e += chunks) {
        float value = x[element_at(row, e)];
        float delta = value - mean;
        n += 1.0;
        mean += delta / n;
        squares += delta * (value - mean);
    }
    partial[2 * index] = mean;
    partial[2 * index + 1] = squares;
}
