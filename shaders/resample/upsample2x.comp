// y[n,2y+a,2x+b,c] = x[n,y,x,c], or dx[n,y,x,c] = sum over a, b of dy[n,2y+a,2x+b,c]. x (N, H, W, C).
//
// variants: upsample2x | upsample2x_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, h, w, c; };
layout(set = 0, binding = 0) readonly restrict buffer From { float from[]; };
layout(set = 0, binding = 1) writeonly restrict buffer To { float to[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
#ifdef GRADIENT
    uint column = i / c % w, row = i / c / w; // row = n h + y
    uint at = (2 * row * 2 * w + 2 * column) * c + i % c;
    to[i] = (from[at] + from[at + c]) + (from[at + 2 * w * c] + from[at + 2 * w * c + c]);
#else
    uint column = i / c % (2 * w), row = i / c / (2 * w);
    to[i] = from[(row / 2 * w + column / 2) * c + i % c];
#endif
}
