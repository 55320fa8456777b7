// Nearest-neighbour upsampling by two: y[n,2y+a,2x+b,c] = x[n,y,x,c]; dx = sum of the four dy.
// Kernel: shaders/resample/upsample2x.comp.
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

} // namespace vkvae
