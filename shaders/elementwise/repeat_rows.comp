// y (rows times, columns): each row of x (rows, columns) `times` times, one after the other.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, columns, times; };
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = x[i / columns / times * columns + i % columns];
}
