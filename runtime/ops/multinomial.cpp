// Multinomial likelihood: how a row's total falls on its D places. x (N, D) counts, l (N, D) logits:
//
//   nll = -sum_d x_d log softmax(l)_d - log t! + sum_d log x_d!     t = sum_d x_d
//   dl = t softmax(l) - x
//
// Liang et al. 2018, "Variational Autoencoders for Collaborative Filtering", section 2.1, there without the coefficient,
// which no parameter changes; with it exp(-nll) adds up to one over all rows of a total.
//
// Kernels: shaders/elbo/multinomial.comp: log sum e^l and the total of each row, then the parts of a row.
#include "vkvae/ops.hpp"

#include <algorithm>

namespace vkvae {
namespace {

struct Push {
    uint32_t count, width, chunks;
    float scale;
};

// What is empty is not computed.
void lower_pass(Lowering& l, Push push, Tensor x, Tensor logits, Tensor rows, Tensor parts, Tensor dl, Tensor factors) {
    Tensor unwritten = parts ? parts : dl; // for bindings that the kernel leaves alone
    l.each("multinomial", push.count, {uint32_t(bool(dl)), uint32_t(bool(parts)), uint32_t(bool(factors))},
           {x, logits, rows, parts ? parts : unwritten, dl ? dl : unwritten, factors ? factors : x}, push);
}

// (N, 2): log sum e^l and the total.
Tensor row_sums(Graph& g, Tensor x, Tensor logits) {
    Shape shape = g.shape(x);
    Tensor rows = g.tensor({shape[0], 2}, "row sums");
    struct RowPush {
        uint32_t count, width;
    } push = {uint32_t(shape[0]), uint32_t(shape[1])};
    g.add({.op = "multinomial_rows",
           .in = {x, logits},
           .out = {rows},
           .lower = [=](Lowering& l) { l.each("multinomial_rows", push.count, {}, {x, logits, rows}, push); },
           .adjoint = {}}); // nothing of it arrives: the gradient below is the whole one
    return rows;
}

} // namespace

Tensor multinomial_nll(Graph& g, Tensor x, Tensor logits, float scale) {
    Shape shape = g.shape(x);
    require(shape.size() == 2 && g.shape(logits) == shape, "multinomial: x ", to_text(shape), " and its logits ",
            to_text(g.shape(logits)), " must be the same (N, D)");
    int64_t chunks = std::clamp<int64_t>(shape[1] / 48, 1, 256);
    Push push = {uint32_t(shape[0] * chunks), uint32_t(shape[1]), uint32_t(chunks), scale};
    Tensor rows = row_sums(g, x, logits), parts = g.tensor({shape[0], chunks}, "nll parts");
    auto adjoint = [=](Adjoint& d) {
        require(!d.wanted[0], "multinomial: the data have no gradient");
        Tensor dy = d.dy[0], dl = d.graph.tensor(shape, "d logits");
        std::optional<float> constant = d.graph.info(dy).constant;
        Push backward = push;
        backward.scale *= constant.value_or(1);
        std::vector<Tensor> reads = {x, logits, rows};
        if (!constant)
            reads.push_back(dy);
        d.graph.add({.op = "multinomial_gradient",
                     .in = reads,
                     .out = {dl},
                     .lower =
                         [=](Lowering& l) {
                             lower_pass(l, backward, x, logits, rows, {}, dl, constant ? Tensor{} : dy);
                         },
                     .adjoint = {}});
        d.dx[1] = dl;
    };
    g.add({.op = "multinomial",
           .in = {x, logits, rows},
           .out = {parts},
           .lower =
               [=](Lowering& l) {
                   if (l.used(parts))
                       lower_pass(l, push, x, logits, rows, parts, {}, {});
               },
           .adjoint = adjoint});
    return parts;
}

} // namespace vkvae
