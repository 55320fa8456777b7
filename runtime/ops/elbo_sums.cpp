// The ends of the ELBO, from its rows and dimensions to the loss, in one workgroup.
//
//   nll = sum nll_rows,  kl = sum kl_dims,  loss = nll + beta kl        d nll_rows = dnll + dloss,  d kl_dims = dkl + beta dloss
//
// Kernels: shaders/elbo/elbo_sums.comp, elbo_sums_gradient.comp.
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

// Of the number dy, and of nothing, which is 0.
Tensor one_number(Graph& g, Tensor dy) { return dy ? dy : g.constant(0, {1}); }

void add_gradient(Adjoint& d, const Shape& rows, const Shape& dims) {
    Graph& g = d.graph;
    Tensor dnll = one_number(g, d.dy[0]), dkl = one_number(g, d.dy[1]), dloss = one_number(g, d.dy[2]);
    std::optional<float> nll = g.info(dnll).constant, kl = g.info(dkl).constant, loss = g.info(dloss).constant;
    if (nll && kl == 0.0f && loss) { // as in most training: a gradient that is a constant needs no kernel
        d.dx = {g.constant(*nll + *loss, rows), scale_by_beta(g, g.constant(*loss, dims))};
        return;
    }
    Tensor drows = g.tensor(rows, "d nll rows"), ddims = g.tensor(dims, "d kl dims");
    struct Push {
        uint32_t count, rows;
    } push = {uint32_t(rows[0] + dims[0]), uint32_t(rows[0])};
    g.add({.op = "elbo_sums_gradient",
           .in = {dnll, dkl, dloss},
           .out = {drows, ddims},
           .lower =
               [=](Lowering& l) {
                   l.each("elbo_sums_gradient", push.count, {}, {dnll, dkl, dloss, drows, ddims}, push);
               },
           .adjoint = {}});
    d.dx = {drows, ddims};
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
           .adjoint = [=](Adjoint& d) { add_gradient(d, rows, dims); }});
    return sums;
}

} // namespace vkvae
