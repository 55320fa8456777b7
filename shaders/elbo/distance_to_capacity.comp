// y = |x - StepParams::capacity|, or dx = dy sign(x - capacity).
//
// variants: distance_to_capacity | distance_to_capacity_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push { uint count; };
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
#ifdef GRADIENT
layout(set = 0, binding = 1) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Dx { float dx[]; };
#else
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };
#endif

void main() {
    uint i = global_index();
    if (i >= count)
        return;
#ifdef GRADIENT
    dx[i] = dy[i] * sign(x[i] - params.capacity);
#else
    y[i] = abs(x[i] - params.capacity);
#endif
}
