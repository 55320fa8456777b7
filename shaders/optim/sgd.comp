// u = momentum u + (g + decay w);  w -= lr u. All (count).
//
// With QUADS a work item has four weights, count is a multiple of 4, and the weights' copy of TYPE_A is written too, if
// that is f16 or bf16.
//
// variants: sgd | sgd_quads -DQUADS
#version 450
#extension GL_GOOGLE_include_directive : require
#define TYPES_ID 1
#include "common/index.glsl"
#include "common/step.glsl"
#include "common/tensor.glsl"

layout(push_constant) uniform Push {
    uint count;
    float momentum, weight_decay;
};
#ifdef QUADS
#define Value vec4
const uint WIDTH = 4;
#else
#define Value float
const uint WIDTH = 1;
#endif
layout(set = 0, binding = 0) restrict buffer W { Value w[]; };
layout(set = 0, binding = 1) readonly restrict buffer G { Value g[]; };
layout(set = 0, binding = 2) restrict buffer U { Value u[]; };
layout(set = 0, binding = 3) readonly restrict buffer Control { float control[]; }; // gradient_check.comp
#ifdef QUADS
layout(set = 0, binding = 4) writeonly buffer Narrow { uvec2 narrow_w[]; };
#endif

void main() {
    uint i = global_index();
    float factor = control[1];
    if (i >= count / WIDTH || factor == 0.0)
        return;
    Value weight = w[i];
    Value velocity = momentum * u[i] + factor * g[i] + weight_decay * weight;
    u[i] = velocity;
    weight -= params.lr * velocity;
    w[i] = weight;
#ifdef QUADS
    if (TYPE_A != F32)
        narrow_w[i] = narrow(weight, TYPE_A);
#endif
}
