// dx[o,a,i] = dy[o,i] / (number of maxima) where x[o,a,i] = y[o,i], else 0. One work item for each (o, i).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, axis, inner; };
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) readonly restrict buffer Y { float y[]; };
layout(set = 0, binding = 2) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Dx { float dx[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint first = index / inner * axis * inner + index % inner;
    float largest = y[index];
    uint maxima = 0;
    for (uint a = 0; a < axis; a++)
        maxima += x[first + a * inner] == largest ? 1 : 0;
    float share = dy[index] / float(max(maxima, 1));
    for (uint a = 0; a < axis; a++)
        dx[first + a * inner] = x[first + a * inner] == largest ? share : 0.0;
}
