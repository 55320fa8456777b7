// y[o,c,i] = factor * (sum, max or sum of squares of x[o,a,i] over a = c, c + chunks, c + 2 chunks, ...)
//
//   x (outer, axis, inner), y (outer, chunks, inner). One work item an output: neighbours read neighbours, whether
//   inner is long (they differ in i) or 1 (they differ in c).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

const uint OP_SUM = 0, OP_MAX = 1, OP_SUM_OF_SQUARES = 2;
layout(constant_id = 1) const uint OP = 0;
layout(push_constant) uniform Push {
    uint count, axis, inner, chunks;
    float factor;
};
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint i = index % inner, c = index / inner % chunks, o = index / inner / chunks;
    uint at = (o * axis + c) * inner + i;
    float result = OP == OP_MAX ? x[at] : 0.0;
    for (uint a = c; a < axis; a += chunks, at += chunks * inner) {
        float value = x[at];
        if (OP == OP_MAX)
            result = max(result, value);
        else
            result += OP == OP_SUM_OF_SQUARES ? value * value : value;
    }
    y[index] = factor * result;
}
