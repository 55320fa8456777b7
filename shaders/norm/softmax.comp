// y = exp(x - max x) / sum of it, or dx = y (dy - sum dy y); one row a work item. All (rows, columns).
//
// variants: softmax | softmax_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, columns; };

#ifdef GRADIENT
layout(set = 0, binding = 0) readonly restrict buffer Y { float y[]; };
layout(set = 0, binding = 1) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Dx { float dx[]; };

void main() {
    uint row = global_index();
    if (row >= count)
        return;
    float dot_product = 0.0;
    for (uint i = row * columns; i < (row + 1) * columns; i++)
        dot_product += dy[i] * y[i];
    for (uint i = row * columns; i < (row + 1) * columns; i++)
        dx[i] = y[i] * (dy[i] - dot_product);
}
#else
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint row = global_index();
    if (row >= count)
        return;
    float largest = x[row * columns], total = 0.0;
    for (uint i = row * columns; i < (row + 1) * columns; i++)
        largest = max(largest, x[i]);
    for (uint i = row * columns; i < (row + 1) * columns; i++)
        total += exp(x[i] - largest);
    for (uint i = row * columns; i < (row + 1) * columns; i++)
        y[i] = exp(x[i] - largest) / total;
}
#endif
