// y = (x - mean) rstd gamma + beta, and the steps of common/epilogue.glsl.
//   x, y (N, S, C); gamma, beta (C); statistics (N, G, 2)
//
// variants: norm_apply | norm_apply_quads -DQUADS | norm_apply_texels -DTEXELS | norm_apply_texels_bits -DTEXELS -DBITS
#version 450
#extension GL_GOOGLE_include_directive : require
#define WITHOUT_BIAS
#include "common/epilogue.glsl"
#include "common/index.glsl"
#include "common/norm.glsl"

READABLE(0, x, TYPE_A)
layout(set = 0, binding = 1) readonly restrict buffer Statistics { vec2 statistics[]; };
layout(set = 0, binding = 2) readonly restrict buffer Gamma { Value gamma[]; };
layout(set = 0, binding = 7) readonly restrict buffer Beta { Value beta[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    Item item = item_of(index);
    Rows row = rows_of(item);
    Value mean = FIRST(statistics, row), scale = SECOND(statistics, row) * gamma[item.c / WIDTH];
    Value shift = beta[item.c / WIDTH];
    for (uint at = item.first; at < item.end; at += item.step)
        STORE(at, item.c, (LOAD(x, at) - mean) * scale + shift);
}
