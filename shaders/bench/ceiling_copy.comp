// The memory ceiling: y = x, `count` vec4s.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count; };
layout(set = 0, binding = 0) readonly restrict buffer X { vec4 x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { vec4 y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = x[i];
}
