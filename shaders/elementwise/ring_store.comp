// ring[slot, offset + i] = x[i], where x is up to six tensors one after the other: `end0` and so on say where in x each ends.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push { uint count, width, offset, end0, end1, end2, end3, end4, end5; };
layout(set = 0, binding = 0) readonly restrict buffer X0 { float x0[]; };
layout(set = 0, binding = 1) readonly restrict buffer X1 { float x1[]; };
layout(set = 0, binding = 2) readonly restrict buffer X2 { float x2[]; };
layout(set = 0, binding = 3) readonly restrict buffer X3 { float x3[]; };
layout(set = 0, binding = 4) readonly restrict buffer X4 { float x4[]; };
layout(set = 0, binding = 5) readonly restrict buffer X5 { float x5[]; };
layout(set = 0, binding = 6) writeonly restrict buffer Ring { float ring[]; };

float x(uint i) {
    if (i < end0)
        return x0[i];
    if (i < end1)
        return x1[i - end0];
    if (i < end2)
        return x2[i - end1];
    if (i < end3)
        return x3[i - end2];
    if (i < end4)
        return x4[i - end3];
    return x5[i - end4];
}

void main() {
    uint i = global_index();
    if (i < count)
        ring[params.slot * width + offset + i] = x(i);
}
