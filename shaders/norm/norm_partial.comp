// Mean and sum of squared deviations of each channel in a chunk of the positions.
//   x (N, S, C) -> partial (N, chunks, 2, C)
//
//   d = x - shift;  mean = shift + sum d / n;  squares = sum d^2 - (sum d)^2 / n
//
// The shift is the chunk's first value, so a large mean does not eat the variance. Where that value is far off, by k
// standard deviations of the group, the squares lose k^2 <= (elements of the group) roundings in one chunk alone.
//
// variants: norm_partial | norm_partial_quads -DQUADS | norm_partial_texels -DTEXELS | norm_partial_texels_bits -DTEXELS -DBITS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/norm.glsl"
#define TYPES_ID 1
#include "common/tensor.glsl"

READABLE(0, x, TYPE_A)
layout(set = 0, binding = 1) writeonly restrict buffer Partial { Value partial[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    Item item = item_of(index);
    Value shift = LOAD(x, item.first), sum = Value(0.0), squares = Value(0.0);
    for (uint at = item.first + item.step; at < item.end; at += item.step) {
        Value d = LOAD(x, at) - shift;
        sum += d;
        squares += d * d;
    }
    float n = float(min(length, positions - item.chunk * length));
    uint columns = channels / WIDTH, to = 2 * (item.n * chunks + item.chunk) * columns + item.c / WIDTH;
    partial[to] = shift + sum / n;
    partial[to + columns] = max(squares - sum * sum / n, Value(0.0));
}
