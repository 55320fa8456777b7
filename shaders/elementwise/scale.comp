// y = factor x + offset; or y = beta x with the step's KL weight.
//
// variants: scale | scale_by_beta -DBY_BETA
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

#ifdef BY_BETA
#include "common/step.glsl"
layout(push_constant) uniform Push { uint count; };
#define RESULT(x) (params.beta * (x))
#else
layout(push_constant) uniform Push {
    uint count;
    float factor, offset;
};
#define RESULT(x) (factor * (x) + offset)
#endif
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = RESULT(x[i]);
}
