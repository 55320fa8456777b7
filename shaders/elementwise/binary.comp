// y = a op b, element by element; b repeats every `period` elements (a bias along the last axes, or period = count).
//
// variants: add -DOP(a,b)=(a)+(b) | sub -DOP(a,b)=(a)-(b) | mul -DOP(a,b)=(a)*(b)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, period; };
layout(set = 0, binding = 0) readonly restrict buffer A { float a[]; };
layout(set = 0, binding = 1) readonly restrict buffer B { float b[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = OP(a[i], b[i % period]);
}
