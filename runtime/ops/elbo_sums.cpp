// The ends of the ELBO, from its rows and dimensions to the loss, in one workgroup.
//
//   nll = sum nll_rows,  kl = sum kl_dims,  loss = nll + beta kl        d nll_rows = dnll + dloss,  d kl_dims = dkl + beta dloss
//
// Kernel: shaders/elbo/elbo_sums.comp.
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

// `y` or nothing, plus `scalar` or nothing, for every element of a shape.
Tensor spread(Graph& g, Tensor y, Tensor scalar, const Shape& shape) {
    Tensor sum = y && scalar ? add(g, y, scalar) : y ? y : scalar;
    if (!sum)
        return {};
    if (g.info(sum).constant)
        return g.constant(*g.info(sum).constant, shape);
    return add(g, g.constant(0, shape), sum);
}

} // namespace

ElboSums elbo_sums(Graph& g, Tensor nll_rows, Tensor kl_dims) {
    Shape rows = g.shape(nll_rows), dims = g.shape(kl_dims);
    require(rows.size() == 1 && dims.size() == 1, "elbo_sums takes nll_rows (N) and kl_dims (D), got ", to_text(rows),
            " and ", to_text(dims));
    ElboSums sums = {g.tensor({1}, "nll"), g.tensor({1}, "kl"), g.tensor({1}, "loss")};
    struct Push {
        uint32_t rows, dims;
    } push = {uint32_t(rows[0]), uint32_t(dims[0])};
    g.add({.op = "elbo_sums",
           .in = {nll_rows, kl_dims},
           .out = {sums.nll, sums.kl, sums.loss},
           .lower =
               [=](Lowering& l) {
                   l.dispatch({.shader = find_shader("elbo_sums"),
                               .constants = {64},
                               .buffers = {nll_rows, kl_dims, sums.nll, sums.kl, sums.loss},
                               .push = push_words(push),
                               .name = "elbo_sums"});
               },
           .adjoint =
               [=](Adjoint& d) {
                   Graph& graph = d.graph;
                   d.dx[0] = spread(graph, d.dy[0], d.dy[2], rows);
                   Tensor from_loss = d.dy[2];
                   if (d.wanted[1] && from_loss) // spread first: a constant costs nothing
                       from_loss = scale_by_beta(graph, spread(graph, {}, d.dy[2], dims));
                   Tensor from_kl = spread(graph, d.dy[1], {}, dims);
                   d.dx[1] = from_kl && from_loss ? add(graph, from_kl, from_loss) : from_kl ? from_kl : from_loss;
               }});
    return sums;
}

} // namespace vkvae
