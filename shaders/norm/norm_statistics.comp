// Merges the chunks of a group: (mean, sum of squared deviations) of each -> (mean, 1 / sqrt(var + eps)).
//   partial (rows, chunks, 2) -> statistics (rows, 2)
// Source: Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample Variance".
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push {
    uint count, chunks, elements;
    float eps;
};
layout(set = 0, binding = 0) readonly restrict buffer Partial { float partial[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Statistics { float statistics[]; };

void main() {
    uint row = global_index();
    if (row >= count)
        return;
    float n = 0.0, mean = 0.0, squares = 0.0;
    for (uint chunk = 0; chunk < chunks; chunk++) {
        uint at = 2 * (row * chunks + chunk);
        float more = float((elements - chunk + chunks - 1) / chunks); // how many elements the chunk had
        float delta = partial[at] - mean, all = n + more;
        mean += delta * (more / all);
        squares += partial[at + 1] + delta * delta * (n * more / all);
        n = all;
    }
    statistics[2 * row] = mean;
    statistics[2 * row + 1] = 1.0 / sqrt(squares / float(elements) + eps);
}
