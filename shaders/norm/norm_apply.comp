// y = (x - mean) rstd gamma + beta, and the steps of common/epilogue.glsl.
//   x, y (N, S, C); gamma, beta (C); statistics (N, G, 2)
//
// variants: norm_apply | norm_apply_quads -DQUADS | norm_apply_texels -DTEXELS
#version 450
#extension GL_GOOGLE_include_directive : require
#define WITHOUT_BIAS
#include "common/epilogue.glsl"
#include "common/index.glsl"
#include "common/norm.glsl"

#ifdef TEXELS
layout(set = 0, binding = 0) uniform samplerBuffer x;
Value load_x(uint at) { return texelFetch(x, int(at)); }
#else
layout(set = 0, binding = 0) readonly restrict buffer X { Value x[]; };
Value load_x(uint at) { return x[at]; }
#endif
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
        STORE(at, item.c, (load_x(at) - mean) * scale + shift);
}
