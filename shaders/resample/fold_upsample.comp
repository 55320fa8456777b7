// The kernel of a transposed convolution (stride 2, padding 1) that does a nearest upsampling by two and the 3x3
// convolution after it (padding 1) in one. Along each axis an input pixel meets output 2 y + t - 1 through the taps
//
//   w4[0] = w3[2],  w4[1] = w3[1] + w3[2],  w4[2] = w3[0] + w3[1],  w4[3] = w3[0]:   t from r = 2 - t and r = 3 - t
//
//   w3 (3, 3, C, O)   w4 (4, 4, O, C);   the gradient adds up the other way: dw3[r] = dw4[2 - r] + dw4[3 - r]
//
// variants: fold_upsample | fold_upsample_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, c, o; };
layout(set = 0, binding = 0) readonly restrict buffer From { float from[]; };
layout(set = 0, binding = 1) writeonly restrict buffer To { float to[]; };

#ifdef GRADIENT
const int SIZE = 3, FROM_SIZE = 4;
#else
const int SIZE = 4, FROM_SIZE = 3;
#endif

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    // `to` is (SIZE, SIZE, rows, columns), `from` has rows and columns exchanged.
#ifdef GRADIENT
    uint rows = c, columns = o;
#else
    uint rows = o, columns = c;
#endif
    uint column = i % columns, row = i / columns % rows;
    int x = int(i / columns / rows) % SIZE, y = int(i / columns / rows) / SIZE;
    float sum = 0.0;
    for (int from_y = 2 - y; from_y <= 3 - y; from_y++)
        for (int from_x = 2 - x; from_x <= 3 - x; from_x++)
            if (from_y >= 0 && from_y < FROM_SIZE && from_x >= 0 && from_x < FROM_SIZE)
                sum += from[(uint(from_y * FROM_SIZE + from_x) * columns + column) * rows + row];
    to[i] = sum;
}
