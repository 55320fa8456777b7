// Softmax over the last axis: y = exp(x - max) / sum exp(x - max);  dx = y (dy - sum dy y).
// Kernel: shaders/norm/softmax.comp.
#include "vkvae/ops.hpp"

namespace vkvae {

Tensor softmax(Graph& g, Tensor x) {
    Tensor y = g.tensor(g.shape(x), "softmax");
    struct Push {
        uint32_t count, columns;
    } push = {uint32_t(element_count(g.shape(x)) / g.dim(x, -1)), uint32_t(g.dim(x, -1))};
    g.add({.op = "softmax",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("softmax", push.count, {}, {x, y}, push); },
           .adjoint =
               [=](Adjoint& d) {
                   Tensor dy = d.dy[0], dx = d.graph.tensor(d.graph.shape(x), "softmax gradient");
                   d.graph.add(
                       {.op = "softmax_gradient",
                        .in = {y, dy},
                        .out = {dx},
                        .lower = [=](Lowering& l) { l.each("softmax_gradient", push.count, {}, {y, dy, dx}, push); },
                        .adjoint = {}});
                   d.dx[0] = dx;
               }});
    return y;
}

} // namespace vkvae
