// y[o,c,i] = factor * (sum, max or sum of squares of x[o,a,i] over a = c, c + chunks, c + 2 chunks, ...)
//
//   x (outer, axis, inner), y (outer, chunks, inner). One work item an output: neighbours read neighbours, whether
//   inner is long (they differ in i) or 1 (they differ in c).
//
// With TEXELS x is read four numbers at a time (what that is good for: common/gemm.glsl). Either inner is a multiple of
// 4 and a work item has four outputs, or inner is 1 and it adds four parts of one; inner or axis then counts texels.
//
// variants: reduce | reduce_texels -DTEXELS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

const uint OP_SUM = 0, OP_MAX = 1, OP_SUM_OF_SQUARES = 2;
layout(constant_id = 1) const uint OP = 0;
layout(push_constant) uniform Push {
    uint count, axis, inner, chunks;
    float factor;
};
#ifdef TEXELS
#define Value vec4
layout(constant_id = 2) const bool FOUR_OUTPUTS = false;
layout(set = 0, binding = 0) uniform samplerBuffer x;
layout(set = 0, binding = 1) writeonly restrict buffer Y4 { vec4 y_vectors[]; };
Value load(uint at) { return texelFetch(x, int(at)); }
#else
#define Value float
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
Value load(uint at) { return x[at]; }
#endif
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint i = index % inner, c = index / inner % chunks, o = index / inner / chunks;
    uint at = (o * axis + c) * inner + i;
    Value result = OP == OP_MAX ? load(at) : Value(0.0);
    for (uint a = c; a < axis; a += chunks, at += chunks * inner) {
        Value value = load(at);
        if (OP == OP_MAX)
            result = max(result, value);
        else
            result += OP == OP_SUM_OF_SQUARES ? value * value : value;
    }
#ifdef TEXELS
    if (FOUR_OUTPUTS)
        y_vectors[index] = factor * result;
    else if (OP == OP_MAX)
        y[index] = factor * max(max(result.x, result.y), max(result.z, result.w));
    else
        y[index] = factor * ((result.x + result.y) + (result.z + result.w));
#else
    y[index] = factor * result;
#endif
}
