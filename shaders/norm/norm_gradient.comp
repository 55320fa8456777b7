// dx = rstd (dy gamma - mean(e) - xhat mean(e xhat)), e = dy gamma, and the steps of common/epilogue.glsl.
//   x, dy, dx (N, S, C); gamma (C); means (N, G, 4): mean, rstd, mean(e), mean(e xhat)
//
// variants: norm_gradient | norm_gradient_quads -DQUADS | norm_gradient_texels -DTEXELS
#version 450
#extension GL_GOOGLE_include_directive : require
#define WITHOUT_BIAS
#include "common/epilogue.glsl"
#include "common/index.glsl"
#include "common/norm.glsl"

#ifdef TEXELS
layout(set = 0, binding = 0) uniform samplerBuffer x;
layout(set = 0, binding = 1) uniform samplerBuffer dy;
Value load_x(uint at) { return texelFetch(x, int(at)); }
Value load_dy(uint at) { return texelFetch(dy, int(at)); }
#else
layout(set = 0, binding = 0) readonly restrict buffer X { Value x[]; };
layout(set = 0, binding = 1) readonly restrict buffer Dy { Value dy[]; };
Value load_x(uint at) { return x[at]; }
Value load_dy(uint at) { return dy[at]; }
#endif
layout(set = 0, binding = 2) readonly restrict buffer Gamma { Value gamma[]; };
layout(set = 0, binding = 7) readonly restrict buffer Means { vec2 means[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    Item item = item_of(index);
    Rows row = 2 * rows_of(item);
    Value mean = FIRST(means, row), rstd = SECOND(means, row), mean_e = FIRST(means, row + 1);
    Value factor = gamma[item.c / WIDTH], slope = rstd * SECOND(means, row + 1);
    for (uint at = item.first; at < item.end; at += item.step)
        STORE(at, item.c, rstd * (factor * load_dy(at) - mean_e - slope * (load_x(at) - mean)));
}
