// dx = rstd (dy gamma - mean(e) - xhat mean(e xhat)), e = dy gamma, and the steps of common/epilogue.glsl.
//   x, dy, dx (N, S, C); gamma (C); means (N, G, 4): mean, rstd, mean(e), mean(e xhat)
//
// variants: norm_gradient | norm_gradient_quads -DQUADS | norm_gradient_texels -DTEXELS | norm_gradient_texels_bits -DTEXELS -DBITS
#version 450
#extension GL_GOOGLE_include_directive : require
#define WITHOUT_BIAS
#include "common/epilogue.glsl"
#include "common/index.glsl"
#include "common/norm.glsl"

READABLE(0, x, TYPE_A)
READABLE(1, dy, TYPE_B)
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
        STORE(at, item.c, rstd * (factor * LOAD(dy, at) - mean_e - slope * (LOAD(x, at) - mean)));
}
