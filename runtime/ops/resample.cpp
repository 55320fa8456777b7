// Nearest-neighbour upsampling by two: y[n,2y+a,2x+b,c] = x[n,y,x,c]; dx = sum of the four dy.
//
// With a 3x3 convolution (stride 1, padding 1) after it: the transposed convolution (stride 2, padding 1) with the 4x4
// kernel w4 = fold(w3), exactly, zero padding included. 4 products at each output pixel instead of 9, and the larger
// picture is written once instead of twice. w4 is linear in w3, so gradients pass through it.
//
// Kernels: shaders/resample/upsample2x.comp, fold_upsample.comp.
#include "vkvae/ops.hpp"

namespace vkvae {

Tensor upsample2x(Graph& g, Tensor x) {
    Shape shape = g.shape(x);
    require(shape.size() == 4, "upsample2x takes (N, H, W, C), got ", to_text(shape));
    Tensor y = g.tensor({shape[0], 2 * shape[1], 2 * shape[2], shape[3]}, "upsample2x");
    struct Push {
        uint32_t count, h, w, c;
    } push = {uint32_t(4 * element_count(shape)), uint32_t(shape[1]), uint32_t(shape[2]), uint32_t(shape[3])};
    g.add({.op = "upsample2x",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("upsample2x", push.count, {}, {x, y}, push); },
           .adjoint =
               [=](Adjoint& d) {
                   Tensor dy = d.dy[0], dx = d.graph.tensor(shape, "upsample2x gradient");
                   Push gradient = push;
                   gradient.count /= 4;
                   d.graph.add(
                       {.op = "upsample2x_gradient",
                        .in = {dy},
                        .out = {dx},
                        .lower =
                            [=](Lowering& l) { l.each("upsample2x_gradient", gradient.count, {}, {dy, dx}, gradient); },
                        .adjoint = {}});
                   d.dx[0] = dx;
               }});
    return y;
}

namespace {

struct FoldPush {
    uint32_t count, c, o;
};

// w3 (3, 3, C, O) -> w4 (4, 4, O, C), and its adjoint.
Tensor fold(Graph& g, Tensor w3) {
    Shape s = g.shape(w3);
    Tensor w4 = g.tensor({4, 4, s[3], s[2]}, "folded weight");
    FoldPush forward = {uint32_t(16 * s[2] * s[3]), uint32_t(s[2]), uint32_t(s[3])}, backward = forward;
    backward.count = uint32_t(9 * s[2] * s[3]);
    g.add({.op = "fold_upsample",
           .in = {w3},
           .out = {w4},
           .lower = [=](Lowering& l) { l.each("fold_upsample", forward.count, {}, {w3, w4}, forward); },
           .adjoint =
               [=](Adjoint& d) {
                   Tensor dw4 = d.dy[0], dw3 = d.graph.tensor(s, "weight gradient");
                   d.graph.add({.op = "fold_upsample_gradient",
                                .in = {dw4},
                                .out = {dw3},
                                .lower =
                                    [=](Lowering& l) {
                                        l.each("fold_upsample_gradient", backward.count, {}, {dw4, dw3}, backward);
                                    },
                                .adjoint = {}});
                   d.dx[0] = dw3;
               }});
    return w4;
}

} // namespace

Tensor upsample2x_conv2d(Graph& g, Tensor x, Tensor w, Tensor bias, Activation activation) {
    const Shape &sx = g.shape(x), &sw = g.shape(w);
    require(sx.size() == 4 && sw.size() == 4 && sw[0] == 3 && sw[1] == 3 && sw[2] == sx[3],
            "upsample2x_conv2d takes x (N, H, W, C) and w (3, 3, C, O), got ", to_text(sx), " and ", to_text(sw));
    return conv_transpose2d(g, x, fold(g, w), bias, Conv2d::same_sides(2, 1), 0, activation);
}

} // namespace vkvae
