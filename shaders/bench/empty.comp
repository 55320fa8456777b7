// What a dispatch costs by itself: y = x, one number; a chain of these cannot overlap.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count; };
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    if (global_index() < count)
        y[0] = x[0];
}
