// Adam and AdamW, one work item a weight. All (count). Kingma and Ba 2014; Loshchilov and Hutter 2017.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/optimizer.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push {
    uint count;
    float beta1, beta2, eps, weight_decay;
    uint decoupled;
};
layout(set = 0, binding = 0) restrict buffer W { float w[]; };
layout(set = 0, binding = 1) readonly restrict buffer G { float g[]; };
layout(set = 0, binding = 2) restrict buffer M { float m[]; };
layout(set = 0, binding = 3) restrict buffer V { float v[]; };
layout(set = 0, binding = 4) readonly restrict buffer Norm { float squares[]; };
layout(set = 0, binding = 5) readonly restrict buffer Halted { uint halted[]; };

void main() {
    uint i = global_index();
    if (i >= count || halted[0] != 0)
        return;
    float weight = w[i];
    float gradient = clip_factor(squares[0], params.clip_norm) * g[i];
    if (decoupled != 0)
        weight -= params.lr * weight_decay * weight;
    else
        gradient += weight_decay * weight;
    float mean = beta1 * m[i] + (1.0 - beta1) * gradient;
    float square = beta2 * v[i] + (1.0 - beta2) * gradient * gradient;
    m[i] = mean;
    v[i] = square;
    w[i] = weight - params.lr * (mean / params.bias1) / (sqrt(square / params.bias2) + eps);
}
