// ring[slot, offset + i] = x[i].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push { uint count, width, offset; };
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Ring { float ring[]; };

void main() {
    uint i = global_index();
    if (i < count)
        ring[params.slot * width + offset + i] = x[i];
}
