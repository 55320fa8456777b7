// y[m, k] = 1 where codes[m] = k, else 0: codes (M) -> y (M, K).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, columns; }; // M K, K
layout(set = 0, binding = 0) readonly restrict buffer Codes { uint codes[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = codes[i / columns] == i % columns ? 1.0 : 0.0;
}
