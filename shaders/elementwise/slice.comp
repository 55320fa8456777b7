// y[o,a,i] = x[o, a + start, i] where 0 <= a + start < from, else 0: a slice, or with a negative start padding.
//   x (outer, from, inner), y (outer, length, inner)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push {
    uint count, from, length_y, inner;
    int start;
};
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint i = index % inner, o = index / inner / length_y;
    int a = int(index / inner % length_y) + start;
    y[index] = a >= 0 && a < int(from) ? x[(o * from + uint(a)) * inner + i] : 0.0;
}
