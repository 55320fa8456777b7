// y[o,:,i] = a[o,:,i] followed by b[o,:,i]. a (outer, from_a, inner), b (outer, from_b, inner).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, from_a, from_b, inner; };
layout(set = 0, binding = 0) readonly restrict buffer A { float a[]; };
layout(set = 0, binding = 1) readonly restrict buffer B { float b[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Y { float y[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint i = index % inner, k = index / inner % (from_a + from_b), o = index / inner / (from_a + from_b);
    y[index] = k < from_a ? a[(o * from_a + k) * inner + i] : b[(o * from_b + k - from_a) * inner + i];
}
