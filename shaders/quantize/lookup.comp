// y[m, d] = table[codes[m], d]. A code that is none, which only a caller's own codes can be, gives zeros.
//   table (K, D), codes (M) -> y (M, D)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, width, rows; }; // M D, D, K
layout(set = 0, binding = 0) readonly restrict buffer Table { float table[]; };
layout(set = 0, binding = 1) readonly restrict buffer Codes { uint codes[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint code = codes[i / width];
    y[i] = code < rows ? table[code * width + i % width] : 0.0;
}
