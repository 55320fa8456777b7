// The weights of a 3x3 convolution for winograd.comp: U = Gy w Gx^T for each pair of channels, a work item each.
//   w (3, 3, C, O), or (3, 3, O, C) and TURNED by half a turn, for an input gradient
//   u (4, C, 6, B), of whose B columns O are written
//
//          1    0    0            1/4     0    0
//   Gy = 1/2  1/2  1/2     Gx = -1/6  -1/6 -1/6
//        1/2 -1/2  1/2          -1/6   1/6 -1/6
//          0    0    1          1/24  1/12  1/6
//                               1/24 -1/12  1/6
//                                  0     0    1
//
// variants: winograd_weights
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/index.glsl"
#define TYPES_ID 1
#include "common/tensor.glsl"

layout(constant_id = 2) const bool TURNED = false;
layout(push_constant) uniform Push { uint count, c, o, columns; };
READABLE(0, w, TYPE_A)
WRITABLE(1, u, F32)

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint channel = i / o, n = i % o;
    float rows[3][6]; // w Gx^T
    [[unroll]] for (uint r = 0; r < 3; r++) {
        vec3 v;
        [[unroll]] for (uint s = 0; s < 3; s++)
            v[s] = w_one(TURNED ? ((8 - 3 * r - s) * o + n) * c + channel : ((3 * r + s) * c + channel) * o + n);
        float sum = v[0] + v[2], sum_2 = v[0] * (1.0 / 24.0) + v[2] * (1.0 / 6.0);
        rows[r] = float[6](v[0] * 0.25, (sum + v[1]) * (-1.0 / 6.0), (sum - v[1]) * (-1.0 / 6.0),
                           sum_2 + v[1] * (1.0 / 12.0), sum_2 - v[1] * (1.0 / 12.0), v[2]);
    }
    [[unroll]] for (uint q = 0; q < 6; q++) {
        float sum = rows[0][q] + rows[2][q];
        uint at = (channel * 6 + q) * columns + n, step = c * 6 * columns; // to the next row p
        u_put_one(at, rows[0][q]);
        u_put_one(at + step, 0.5 * (sum + rows[1][q]));
        u_put_one(at + 2 * step, 0.5 * (sum - rows[1][q]));
        u_put_one(at + 3 * step, rows[2][q]);
    }
}
