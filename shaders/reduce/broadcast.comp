// x[o,a,i] = factor * y[o,i], the gradient of a sum. x (outer, axis, inner), y (outer, inner).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push {
    uint count, axis, inner;
    float factor;
};
layout(set = 0, binding = 0) readonly restrict buffer Y { float y[]; };
layout(set = 0, binding = 1) writeonly restrict buffer X { float x[]; };

void main() {
    uint index = global_index();
    if (index < count)
        x[index] = factor * y[index / (axis * inner) * inner + index % inner];
}
