// Adam and AdamW, one work item a weight. All (count). Kingma and Ba 2014; Loshchilov and Hutter 2017.
//
// With QUADS a work item has four weights, count is a multiple of 4, and the weights' copy of TYPE_A is written too, if
// that is f16 or bf16. With TEXELS as well (what that is good for: common/gemm_subgroup.glsl) gradients and moments are
// read as texels; the moments' memory is bound a second time to be written. Vulkan's memory model promises little about
// that, but each stored value is computed from the fetch of the same element, and no other work item touches it.
//
// variants: adam | adam_quads -DQUADS | adam_texels -DQUADS -DTEXELS
#version 450
#extension GL_GOOGLE_include_directive : require
#define TYPES_ID 1
#include "common/index.glsl"
#include "common/step.glsl"
#include "common/tensor.glsl"

layout(push_constant) uniform Push {
    uint count;
    float beta1, beta2, eps, weight_decay;
    uint decoupled;
};
#ifdef QUADS
#define Value vec4
const uint WIDTH = 4;
#else
#define Value float
const uint WIDTH = 1;
#endif
layout(set = 0, binding = 0) restrict buffer W { Value w[]; };
layout(set = 0, binding = 4) readonly restrict buffer Control { float control[]; }; // gradient_check.comp
#ifdef QUADS
layout(set = 0, binding = 5) writeonly buffer Narrow { uvec2 narrow_w[]; };
#endif
#ifdef TEXELS
layout(set = 0, binding = 1) uniform samplerBuffer g;
layout(set = 0, binding = 2) writeonly buffer M { vec4 m[]; };
layout(set = 0, binding = 3) writeonly buffer V { vec4 v[]; };
layout(set = 0, binding = 6) uniform samplerBuffer old_m;
layout(set = 0, binding = 7) uniform samplerBuffer old_v;
#define GRADIENT texelFetch(g, int(i))
#define OLD_M texelFetch(old_m, int(i))
#define OLD_V texelFetch(old_v, int(i))
#else
layout(set = 0, binding = 1) readonly restrict buffer G { Value g[]; };
layout(set = 0, binding = 2) restrict buffer M { Value m[]; };
layout(set = 0, binding = 3) restrict buffer V { Value v[]; };
#define GRADIENT g[i]
#define OLD_M m[i]
#define OLD_V v[i]
#endif

void main() {
    uint i = global_index();
    float factor = control[1];
    if (i >= count / WIDTH || factor == 0.0)
        return;
    Value weight = w[i];
    Value gradient = factor * GRADIENT;
    if (decoupled != 0)
        weight -= params.lr * weight_decay * weight;
    else
        gradient += weight_decay * weight;
    Value mean = beta1 * OLD_M + (1.0 - beta1) * gradient;
    Value square = beta2 * OLD_V + (1.0 - beta2) * gradient * gradient;
    m[i] = mean;
    v[i] = square;
    weight -= params.lr * (mean / params.bias1) / (sqrt(square / params.bias2) + eps);
    w[i] = weight;
#ifdef QUADS
    if (TYPE_A != F32)
        narrow_w[i] = narrow(weight, TYPE_A);
#endif
}
