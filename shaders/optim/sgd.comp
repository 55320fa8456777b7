// u = momentum u + (g + decay w);  w -= lr u. All (count).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/optimizer.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push {
    uint count;
    float momentum, weight_decay;
};
layout(set = 0, binding = 0) restrict buffer W { float w[]; };
layout(set = 0, binding = 1) readonly restrict buffer G { float g[]; };
layout(set = 0, binding = 2) restrict buffer U { float u[]; };
layout(set = 0, binding = 3) readonly restrict buffer Norm { float squares[]; };
layout(set = 0, binding = 4) readonly restrict buffer Halted { uint halted[]; };

void main() {
    uint i = global_index();
    if (i >= count || halted[0] != 0)
        return;
    float velocity = momentum * u[i] + clip_factor(squares[0], params.clip_norm) * g[i] + weight_decay * w[i];
    u[i] = velocity;
    w[i] -= params.lr * velocity;
}
