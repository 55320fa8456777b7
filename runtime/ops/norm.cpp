// Group and layer normalisation: x (N, S, C), channels in G groups; layer_norm is one group over (rows, 1, C).
//
//   xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps) over the S C/G elements of a group;  y = xhat gamma + beta
//   with e = dy gamma:  dx = rstd (e - mean(e) - xhat mean(e xhat));  dgamma = sum dy xhat,  dbeta = sum dy
//
// Kernels: shaders/norm/. Statistics in two stages (Welford in a chunk, Chan et al. 1983 to merge chunks), so that a
// large mean does not eat the variance.
#include "ops/gemm.hpp"
#include "vkvae/ops.hpp"

#include <algorithm>

namespace vkvae {
namespace {

struct NormShape {
    uint32_t n, s, c, groups;
};

// Work items that share one group's elements.
uint32_t chunks_for(uint64_t elements) { return uint32_t(std::clamp<uint64_t>(elements / 128, 1, 256)); }

struct PartialPush {
    uint32_t count;
    NormShape shape;
    uint32_t chunks;
};

// mean and rstd of every (n, group): (N, G, 2)
void lower_statistics(Lowering& l, Tensor x, Tensor stats, const NormShape& s, float eps) {
    uint64_t elements = uint64_t(s.s) * (s.c / s.groups);
    uint32_t chunks = chunks_for(elements), rows = s.n * s.groups;
    Tensor partial = l.scratch({rows, chunks, 2}, "norm partial");
    l.each("norm_partial", uint64_t(rows) * chunks, {}, {x, partial}, PartialPush{rows * chunks, s, chunks});
    struct Push {
        uint32_t count, chunks, elements;
        float eps;
    } push = {rows, chunks, uint32_t(elements), eps};
    l.each("norm_statistics", rows, {}, {partial, stats}, push);
}

void lower_gradient(Lowering& l, Tensor x, Tensor gamma, Tensor stats, Tensor dy, Tensor dx, const NormShape& s) {
    uint64_t elements = uint64_t(s.s) * (s.c / s.groups);
    uint32_t chunks = chunks_for(elements), rows = s.n * s.groups;
    Tensor partial = l.scratch({rows, chunks, 2}, "norm partial");
    Tensor sums = l.scratch({rows, 2}, "norm sums");
    l.each("norm_gradient_partial", uint64_t(rows) * chunks, {}, {x, gamma, stats, dy, partial},
           PartialPush{rows * chunks, s, chunks});
    lower_reduce(l, partial, sums, ReduceOp::sum, rows, chunks, 2, 1.0f / float(elements));
    struct Push {
        uint32_t count;
        NormShape shape;
    } push = {s.n * s.s * s.c, s};
    l.each("norm_gradient", push.count, {}, {x, gamma, stats, dy, sums, dx}, push);
}

// dgamma and dbeta: each work item adds a chunk of the (n, s) rows of one channel.
void lower_parameter_gradient(Lowering& l, Tensor x, Tensor stats, Tensor dy, Tensor both, const NormShape& s) {
    uint32_t chunks = chunks_for(uint64_t(s.n) * s.s);
    Tensor partial = l.scratch({chunks, 2, s.c}, "norm partial");
    l.each("norm_parameter_gradient", uint64_t(chunks) * s.c, {}, {x, stats, dy, partial},
           PartialPush{chunks * s.c, s, chunks});
    lower_reduce(l, partial, both, ReduceOp::sum, 1, chunks, uint64_t(2) * s.c, 1);
}

Tensor norm(Graph& g, const char* op, Tensor x, Tensor gamma, Tensor beta, const NormShape& s, float eps) {
    require(g.shape(gamma) == Shape{s.c} && g.shape(beta) == Shape{s.c}, op, " of ", to_text(g.shape(x)),
            ": gamma and beta must be (", s.c, "), got ", to_text(g.shape(gamma)), " and ", to_text(g.shape(beta)));
    Shape shape = g.shape(x);
    Tensor y = g.tensor(shape, op), stats = g.tensor({s.n, s.groups, 2}, "norm statistics");
    struct Push {
        uint32_t count;
        NormShape shape;
    } push = {uint32_t(element_count(shape)), s};
    g.add({.op = op,
           .in = {x, gamma, beta},
           .out = {y, stats},
           .lower =
               [=](Lowering& l) {
                   lower_statistics(l, x, stats, s, eps);
                   l.each("norm_apply", push.count, {}, {x, gamma, beta, stats, y}, push);
               },
           .adjoint =
               [=](Adjoint& d) {
                   Graph& graph = d.graph;
                   Tensor dy = d.dy[0];
                   if (d.wanted[0]) {
                       Tensor dx = graph.tensor(shape, "norm gradient");
                       graph.add({.op = "norm_gradient",
                                  .in = {x, gamma, stats, dy},
                                  .out = {dx},
                                  .lower = [=](Lowering& l) { lower_gradient(l, x, gamma, stats, dy, dx, s); },
                                  .adjoint = {}});
                       d.dx[0] = dx;
                   }
                   if (d.wanted[1] || d.wanted[2]) {
                       Tensor both = graph.tensor({2, s.c}, "norm parameter gradient");
                       graph.add({.op = "norm_parameter_gradient",
                                  .in = {x, stats, dy},
                                  .out = {both},
                                  .lower = [=](Lowering& l) { lower_parameter_gradient(l, x, stats, dy, both, s); },
                                  .adjoint = {}});
                       d.dx[1] = reshape(graph, slice(graph, both, 0, 0, 1), {s.c});
                       d.dx[2] = reshape(graph, slice(graph, both, 0, 1, 1), {s.c});
                   }
               }});
    return y;
}

} // namespace

Tensor layer_norm(Graph& g, Tensor x, Tensor gamma, Tensor beta, float eps) {
    uint32_t c = uint32_t(g.dim(x, -1)), rows = uint32_t(element_count(g.shape(x)) / c);
    return norm(g, "layer_norm", x, gamma, beta, {rows, 1, c, 1}, eps);
}

Tensor group_norm(Graph& g, Tensor x, Tensor gamma, Tensor beta, int groups, float eps) {
    uint32_t n = uint32_t(g.dim(x, 0)), c = uint32_t(g.dim(x, -1));
    require(groups > 0 && c % uint32_t(groups) == 0, "group_norm: ", c, " channels do not make ", groups, " groups");
    uint32_t s = uint32_t(element_count(g.shape(x)) / n / c);
    return norm(g, "group_norm", x, gamma, beta, {n, s, c, uint32_t(groups)}, eps);
}

} // namespace vkvae
