// The ends of the ELBO, from its parts to the loss, in one workgroup.
//
//   nll = sum nll_parts,  kl_dims = mean over n of kl[n],  kl = sum kl_dims,  loss = nll + beta kl
//   d nll_parts = dnll + dloss,  d kl[n] = (dkl_dims + dkl + beta dloss) / N
//
// Kernels: shaders/elbo/elbo_sums.comp, elbo_sums_gradient.comp, distance_to_capacity.comp.
#include "ops/gemm.hpp"
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

constexpr uint64_t kMost = 1 << 16; // numbers that one workgroup adds; more are brought down to D first

// Of the number dy, and of nothing, which is 0.
Tensor one_number(Graph& g, Tensor dy) { return dy ? dy : g.constant(0, {1}); }

void add_gradient(Adjoint& d, const Shape& parts, const Shape& kl_shape) {
    Graph& g = d.graph;
    float per_sample = 1.0f / float(kl_shape[0]);
    Tensor dnll = one_number(g, d.dy[0]), dkl = one_number(g, d.dy[1]), dloss = one_number(g, d.dy[2]);
    std::optional<float> nll = g.info(dnll).constant, kl = g.info(dkl).constant, loss = g.info(dloss).constant;
    if (nll && kl == 0.0f && loss) { // as in most training: a gradient that is a constant needs no kernel
        d.dx = {g.constant(*nll + *loss, parts), scale_by_beta(g, g.constant(*loss * per_sample, kl_shape))};
    } else {
        Tensor dparts = g.tensor(parts, "d nll parts"), ddims = g.tensor(kl_shape, "d kl");
        struct Push {
            uint32_t count, parts;
            float per_sample;
        } push = {uint32_t(element_count(parts) + element_count(kl_shape)), uint32_t(element_count(parts)), per_sample};
        g.add({.op = "elbo_sums_gradient",
               .in = {dnll, dkl, dloss},
               .out = {dparts, ddims},
               .lower =
                   [=](Lowering& l) {
                       l.each("elbo_sums_gradient", push.count, {}, {dnll, dkl, dloss, dparts, ddims}, push);
                   },
               .adjoint = {}});
        g.set_uniform(dparts);
        d.dx = {dparts, ddims};
    }
    if (d.dy[3])
        d.dx[1] = add(g, d.dx[1], scale(g, d.dy[3], per_sample));
}

} // namespace

ElboSums elbo_sums(Graph& g, Tensor nll, Tensor kl) {
    Shape parts = g.shape(nll), kl_shape = g.shape(kl);
    require(kl_shape.size() == 2, "elbo_sums takes kl (N, D), got ", to_text(kl_shape));
    ElboSums sums = {g.tensor({1}, "nll"), g.tensor({1}, "kl"), g.tensor({1}, "loss"),
                     g.tensor({kl_shape[1]}, "kl_dims")};
    auto lower = [=](Lowering& l) {
        uint64_t samples = uint64_t(kl_shape[0]), dims = uint64_t(kl_shape[1]), count = uint64_t(element_count(parts));
        Tensor few_parts = nll, few = kl;
        if (count > kMost) {
            few_parts = lower_partial_sums(l, nll, ReduceOp::sum);
            count = uint64_t(element_count(l.shape(few_parts)));
        }
        float per_sample = 1.0f / float(samples);
        if (samples > 1 && samples * dims > kMost) {
            few = l.scratch({1, int64_t(dims)}, "kl sums");
            lower_reduce(l, kl, few, ReduceOp::sum, 1, samples, dims, 1);
            samples = 1;
        }
        struct Push {
            uint32_t parts, samples, dims;
            float per_sample;
        } push = {uint32_t(count), uint32_t(samples), uint32_t(dims), per_sample};
        l.dispatch({.shader = find_shader("elbo_sums"),
                    .constants = {128},
                    .buffers = {few_parts, few, sums.nll, sums.kl, sums.loss, sums.kl_dims},
                    .push = push_words(push),
                    .name = "elbo_sums"});
    };
    g.add({.op = "elbo_sums",
           .in = {nll, kl},
           .out = {sums.nll, sums.kl, sums.loss, sums.kl_dims},
           .lower = lower,
           .adjoint = [=](Adjoint& d) { add_gradient(d, parts, kl_shape); }});
    return sums;
}

Tensor distance_to_capacity(Graph& g, Tensor x) {
    Tensor y = g.tensor(g.shape(x), "distance to capacity");
    struct Push {
        uint32_t count;
    } push = {uint32_t(element_count(g.shape(x)))};
    auto adjoint = [=](Adjoint& d) {
        Tensor dy = d.dy[0], dx = d.graph.tensor(d.graph.shape(x), "distance to capacity gradient");
        d.graph.add({.op = "distance_to_capacity_gradient",
                     .in = {x, dy},
                     .out = {dx},
                     .lower =
                         [=](Lowering& l) {
                             l.each("distance_to_capacity_gradient", push.count, {}, {x, dy, dx}, push);
                         },
                     .adjoint = {}});
        d.dx[0] = dx;
    };
    g.add({.op = "distance_to_capacity",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("distance_to_capacity", push.count, {}, {x, y}, push); },
           .adjoint = adjoint});
    return y;
}

} // namespace vkvae
