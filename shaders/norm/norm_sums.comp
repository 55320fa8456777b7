// Sums of dy and of dy xhat of each channel in a chunk of the positions: all that the gradients are made of.
//   x, dy (N, S, C) -> partial (N, chunks, 2, C)
//
// variants: norm_sums | norm_sums_quads -DQUADS | norm_sums_texels -DTEXELS | norm_sums_texels_bits -DTEXELS -DBITS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/norm.glsl"
#define TYPES_ID 1
#include "common/tensor.glsl"

READABLE(0, x, TYPE_A)
READABLE(1, dy, TYPE_B)
layout(set = 0, binding = 2) readonly restrict buffer Statistics { vec2 statistics[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Partial { Value partial[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    Item item = item_of(index);
    Rows row = rows_of(item);
    Value mean = FIRST(statistics, row), sum = Value(0.0), sum_xhat = Value(0.0);
    for (uint at = item.first; at < item.end; at += item.step) {
        Value d = LOAD(dy, at);
        sum += d;
        sum_xhat += d * (LOAD(x, at) - mean);
    }
    uint columns = channels / WIDTH, to = 2 * (item.n * chunks + item.chunk) * columns + item.c / WIDTH;
    partial[to] = sum;
    partial[to + columns] = sum_xhat * SECOND(statistics, row);
}
