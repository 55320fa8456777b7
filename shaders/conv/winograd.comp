// 3x3 convolution of stride 1 by Winograd's minimal filtering, F(2,3) along y and F(4,3) along x: a tile of 2 x 4
// outputs from 4 x 6 inputs, with 24 products instead of 72.
//   x (N, H, W, C)   u (4, C, 6, B): the transformed weights (winograd_weights.comp)   y (N, OH, OW, O)
//
//   M[p,q,o] = sum over c of V[p,q,c] u[p,c,q,o]      V = By d Bx^T of the tile's inputs d      y = epilogue(Ay M Ax^T)
//
//        1  0 -1  0         4  0 -5  0  1  0          1  1  1  0          1  1  1  1  1  0
//   By = 0  1  1  0    Bx = 0 -4 -4  1  1  0     Ay = 0  1 -1 -1     Ax = 0  1 -1  2 -2  0
//        0 -1  1  0         0  4 -4 -1  1  0                              0  1  1  4  4  0
//        0  1  0 -1         0 -2 -1  2  1  0                              0  1 -1  8 -8  1
//                           0  2 -1 -2  1  0
//                           0  4  0 -5  0  1
//
// V and M never are in memory: one p after the other, a workgroup makes V of TILES tiles from texels, four channels at
// a time, adds up M of 6 positions, TILES tiles and COLUMNS columns a lane, and adds what comes of that to the outputs.
// For lavapipe, as common/gemm_subgroup.glsl, which says what costs time there.
//
// Source: Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.
//
// variants: winograd_subgroup | winograd_subgroup_bits -DBITS
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#define TEXELS

layout(push_constant) uniform Push {
    uint batch, h, w, c;
    uint oh, ow, o;
    int pad_top, pad_left;
    uint u_columns; // B: o, in whole fours
};
#include "common/epilogue.glsl"
READABLE(0, x, TYPE_A)
READABLE(1, u, TYPE_B)

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint TILES = 8; // of a workgroup, a multiple of LANES
const uint TILE_H = 2, TILE_W = 4, POSITIONS = 6, COLUMNS = 4;
const uint GROUPS = TILES / LANES, SUMS = TILES * COLUMNS; // sums of one position

vec4 pixel(bool inside, int at) {
    vec4 texel = x_texel(uint(inside ? at : 0) / 4);
    return inside ? texel : vec4(0.0);
}

// sums[q] += v u, of all columns, where v comes from the lane that has the tile; subgroupBroadcast wants a constant.
#define ADD_TILE(source)                                                                                               \
    {                                                                                                                  \
        vec4 four = subgroupBroadcast(v[q][g], source);                                                                \
        [[unroll]] for (uint column = 0; column < COLUMNS; column++) {                                                 \
            uint i = (q * TILES + g * LANES + source) * COLUMNS + column;                                              \
            float sum = sums[i];                                                                                       \
            sum += four[0] * weights[0][column];                                                                       \
            sum += four[1] * weights[1][column];                                                                       \
            sum += four[2] * weights[2][column];                                                                       \
            sum += four[3] * weights[3][column];                                                                       \
            sums[i] = sum;                                                                                             \
        }                                                                                                              \
    }

void main() {
    uint lane = gl_SubgroupInvocationID;
    uint tiles_y = (oh + TILE_H - 1) / TILE_H, tiles_x = (ow + TILE_W - 1) / TILE_W, tiles = batch * tiles_y * tiles_x;
    uint blocks = (o + LANES * COLUMNS - 1) / (LANES * COLUMNS);
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint first_tile = group / blocks * TILES, n0 = (group % blocks * LANES + lane) * COLUMNS;
    if (first_tile >= tiles)
        return;

    // The lane's own tiles: the first output, as a pixel of y, and the first input.
    int out_y[GROUPS], out_x[GROUPS], at[GROUPS];
    uint to[GROUPS];
    [[unroll]] for (uint g = 0; g < GROUPS; g++) {
        uint tile = min(first_tile + g * LANES + lane, tiles - 1);
        int n = int(tile / tiles_x / tiles_y);
        out_y[g] = int(tile / tiles_x % tiles_y * TILE_H);
        out_x[g] = int(tile % tiles_x * TILE_W);
        to[g] = (n * oh + out_y[g]) * ow + out_x[g];
        at[g] = ((n * int(h) + out_y[g] - pad_top) * int(w) + out_x[g] - pad_left) * int(c);
    }

    float outputs[TILE_H * TILE_W * SUMS];
    [[unroll]] for (uint i = 0; i < TILE_H * TILE_W * SUMS; i++)
        outputs[i] = 0.0;
    uint at_u = min(n0, u_columns - COLUMNS);
    [[dont_unroll]] for (uint p = 0; p < 4; p++) {
        // Row p of By: input row y1 and one times input row y2.
        int y1 = p == 0 ? 0 : p == 2 ? 2 : 1, y2 = p == 2 ? 1 : p == 3 ? 3 : 2;
        float sign = p == 1 ? 1.0 : -1.0;
        float sums[POSITIONS * SUMS];
        [[unroll]] for (uint i = 0; i < POSITIONS * SUMS; i++)
            sums[i] = 0.0;

        [[dont_unroll]] for (uint k = 0; k < c; k += 4) {
            vec4 v[POSITIONS][GROUPS]; // of four channels
            [[unroll]] for (uint g = 0; g < GROUPS; g++) {
                vec4 d[POSITIONS];
                [[unroll]] for (uint i = 0; i < POSITIONS; i++) {
                    int y = out_y[g] - pad_top;
                    bool inside = uint(out_x[g] - pad_left + int(i)) < w; // negative numbers become large
                    d[i] = pixel(inside && uint(y + y1) < h, at[g] + (y1 * int(w) + int(i)) * int(c) + int(k)) +
                           sign * pixel(inside && uint(y + y2) < h, at[g] + (y2 * int(w) + int(i)) * int(c) + int(k));
                }
                vec4 even = d[4] - 4.0 * d[2], odd = d[3] - 4.0 * d[1];
                vec4 even_2 = d[4] - d[2], odd_2 = 2.0 * (d[3] - d[1]);
                v[0][g] = 4.0 * d[0] - 5.0 * d[2] + d[4];
                v[1][g] = even + odd;
                v[2][g] = even - odd;
                v[3][g] = even_2 + odd_2;
                v[4][g] = even_2 - odd_2;
                v[5][g] = 4.0 * d[1] - 5.0 * d[3] + d[5];
            }
            [[unroll]] for (uint q = 0; q < POSITIONS; q++) {
                vec4 weights[4]; // of the four channels
                [[unroll]] for (uint j = 0; j < 4; j++)
                    weights[j] = u_texel((at_u + (j * POSITIONS + q) * u_columns) / 4);
                [[unroll]] for (uint g = 0; g < GROUPS; g++) {
                    ADD_TILE(0) ADD_TILE(1) ADD_TILE(2) ADD_TILE(3)
                    if (LANES > 4) {
                        ADD_TILE(4) ADD_TILE(5) ADD_TILE(6) ADD_TILE(7)
                    }
                    if (LANES > 8) {
                        ADD_TILE(8) ADD_TILE(9) ADD_TILE(10) ADD_TILE(11)
                        ADD_TILE(12) ADD_TILE(13) ADD_TILE(14) ADD_TILE(15)
                    }
                }
            }
            at_u += 4 * POSITIONS * u_columns;
        }

        float above = p < 3 ? 1.0 : 0.0, below = p == 0 ? 0.0 : p == 1 ? 1.0 : -1.0; // column p of Ay
        [[unroll]] for (uint i = 0; i < SUMS; i++) {
            float m[POSITIONS];
            [[unroll]] for (uint q = 0; q < POSITIONS; q++)
                m[q] = sums[q * SUMS + i];
            float sum_1 = m[1] + m[2], sum_2 = m[3] + m[4], difference_1 = m[1] - m[2], difference_2 = m[3] - m[4];
            vec4 four = vec4(m[0] + sum_1 + sum_2, difference_1 + 2.0 * difference_2, sum_1 + 4.0 * sum_2,
                             difference_1 + 8.0 * difference_2 + m[5]);
            [[unroll]] for (uint dx = 0; dx < TILE_W; dx++) {
                outputs[dx * SUMS + i] += above * four[dx];
                outputs[(TILE_W + dx) * SUMS + i] += below * four[dx];
            }
        }
    }

    // A loop that stays one, as in common/gemm_subgroup.glsl.
    [[dont_unroll]] for (uint i = 0; i < TILE_H * TILE_W * SUMS; i += STORE_QUADS ? 4 : 1) {
        uint place = i / SUMS, dy = place / TILE_W, dx = place % TILE_W, n = n0 + i % COLUMNS;
        uint tile = i % SUMS / COLUMNS, g = tile / LANES, source = tile % LANES;
        bool inside = subgroupShuffle(out_y[g], source) + dy < oh && subgroupShuffle(out_x[g], source) + dx < ow;
        uint at_result = (subgroupShuffle(to[g], source) + dy * ow + dx) * o + n;
        if (inside && first_tile + tile < tiles && n < o) {
            if (STORE_QUADS)
                store_quad(at_result, n, vec4(outputs[i], outputs[i + 1], outputs[i + 2], outputs[i + 3]));
            else
                store_one(at_result, n, outputs[i]);
        }
    }
}
