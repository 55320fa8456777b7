// Mean and sum of squared deviations of each channel in a chunk of the positions.
//   x (N, S, C) -> partial (N, chunks, 2, C)
//
//   d = x - shift;  mean = shift + sum d / n;  squares = sum d^2 - (sum d)^2 / n
//
// The shift is the chunk's first value, so a large mean does not eat the variance. Where that value is far off, by k
// standard deviations of the group, the squares lose k^2 <= (elements of the group) roundings in one chunk alone.
//
// variants: norm_partial | norm_partial_quads -DQUADS | norm_partial_texels -DTEXELS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/norm.glsl"

#ifdef TEXELS
layout(set = 0, binding = 0) uniform samplerBuffer x;
Value load_x(uint at) { return texelFetch(x, int(at)); }
#else
layout(set = 0, binding = 0) readonly restrict buffer X { Value x[]; };
Value load_x(uint at) { return x[at]; }
#endif
layout(set = 0, binding = 1) writeonly restrict buffer Partial { Value partial[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    Item item = item_of(index);
    Value shift = load_x(item.first), sum = Value(0.0), squares = Value(0.0);
    for (uint at = item.first + item.step; at < item.end; at += item.step) {
        Value d = load_x(at) - shift;
        sum += d;
        squares += d * d;
    }
    float n = float(min(length, positions - item.chunk * length));
    uint columns = channels / WIDTH, to = 2 * (item.n * chunks + item.chunk) * columns + item.c / WIDTH;
    partial[to] = shift + sum / n;
    partial[to + columns] = max(squares - sum * sum / n, Value(0.0));
}
