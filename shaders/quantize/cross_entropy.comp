// nll[m] = log sum_k exp(logits[m, k]) - logits[m, codes[m]], or its gradient dnll[m] (softmax(logits[m]) - one_hot).
// One row a work item. logits, dlogits (M, K); codes, nll, dnll (M).
//
// variants: cross_entropy | cross_entropy_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, columns; }; // M, K
layout(set = 0, binding = 0) readonly restrict buffer Logits { float logits[]; };
layout(set = 0, binding = 1) readonly restrict buffer Codes { uint codes[]; };
#ifdef GRADIENT
layout(set = 0, binding = 2) readonly restrict buffer Dnll { float dnll[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Dlogits { float dlogits[]; };
#else
layout(set = 0, binding = 2) writeonly restrict buffer Nll { float nll[]; };
#endif

void main() {
    uint m = global_index();
    if (m >= count)
        return;
    uint begin = m * columns, end = begin + columns, at = begin + min(codes[m], columns - 1);
    float largest = logits[begin], total = 0.0;
    for (uint i = begin; i < end; i++)
        largest = max(largest, logits[i]);
    for (uint i = begin; i < end; i++)
        total += exp(logits[i] - largest);
#ifdef GRADIENT
    for (uint i = begin; i < end; i++)
        dlogits[i] = dnll[m] * (exp(logits[i] - largest) / total - (i == at ? 1.0 : 0.0));
#else
    nll[m] = largest - logits[at] + log(total);
#endif
}
