// y = log of the mean of exp over each row of x (rows, columns), a work item a row; or dx = dy exp(x - y) / columns, a work
// item a number.
//
// variants: log_mean_exp | log_mean_exp_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, columns; };
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };

#ifdef GRADIENT
layout(set = 0, binding = 1) readonly restrict buffer Y { float y[]; };
layout(set = 0, binding = 2) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Dx { float dx[]; };

void main() {
    uint i = global_index();
    if (i < count)
        dx[i] = dy[i / columns] * exp(x[i] - y[i / columns]) / float(columns);
}
#else
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
    y[row] = largest + log(total / float(columns));
}
#endif
