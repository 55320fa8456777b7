// Likelihoods with any number of parameters for each element, and what they expect. The formulas are in the shaders.
//
//   x (N, D), p (N, D P)  ->  parts (N, C) of each row's -scale log p(x|p);  dp (N, D P);  mean (N, D)
//
// Kernels: shaders/elbo/NAME.comp on common/likelihood_wide.glsl: a work item adds a chunk of a row.
#include "vkvae/ops.hpp"

#include <algorithm>

namespace vkvae {
namespace {

struct Kind {
    const char* shader;
    const char* mean;
    int64_t parameters; // for each element; 0: not one number
};
const Kind kKinds[] = { // in the order of Wide
    {"continuous_bernoulli", "continuous_bernoulli_mean", 1},
    {"poisson", "poisson_mean", 1},
    {"gaussian_pair", "gaussian_pair_mean", 2},
    {"negative_binomial", "negative_binomial_mean", 2},
    {"categorical", "categorical_mean", 0},
    {"discretised_logistic", "discretised_logistic_mean", 0},
};

void check_parameters(Wide likelihood, int64_t parameters) {
    const Kind& kind = kKinds[size_t(likelihood)];
    bool fits = kind.parameters > 0                           ? parameters == kind.parameters
                : likelihood == Wide::discretised_logistic ? parameters == 2 || (parameters > 0 && parameters % 3 == 0)
                                                           : parameters > 0;
    require(fits, kind.shader, " cannot have ", parameters, " parameters for each element");
}

struct Push {
    uint32_t count, width, chunks, size;
    float scale;
};

// One run of the kernel; what is empty is not computed.
void lower_pass(Lowering& l, const char* shader, Push push, Tensor x, Tensor p, Tensor parts, Tensor dp, Tensor factors) {
    Tensor unwritten = parts ? parts : dp; // for bindings that the kernel leaves alone
    l.each(shader, push.count, {uint32_t(bool(dp)), uint32_t(bool(parts)), uint32_t(bool(factors))},
           {p, x, parts ? parts : unwritten, dp ? dp : unwritten, factors ? factors : x}, push);
}

} // namespace

Tensor wide_nll(Graph& g, Wide likelihood, Tensor x, Tensor p, float scale) {
    const char* shader = kKinds[size_t(likelihood)].shader;
    Shape shape = g.shape(x), wide = g.shape(p);
    require(shape.size() == 2 && wide.size() == 2 && wide[0] == shape[0] && wide[1] % shape[1] == 0, shader, ": x ",
            to_text(shape), " and its parameters ", to_text(wide), " must be (N, D) and (N, D P)");
    int64_t size = wide[1] / shape[1];
    check_parameters(likelihood, size);
    int64_t chunks = std::clamp<int64_t>(wide[1] / 48, 1, std::min<int64_t>(256, shape[1]));
    Push push = {uint32_t(shape[0] * chunks), uint32_t(shape[1]), uint32_t(chunks), uint32_t(size), scale};
    Tensor parts = g.tensor({shape[0], chunks}, "nll parts");
    auto adjoint = [=](Adjoint& d) {
        require(!d.wanted[0], shader, ": the data have no gradient");
        Tensor dy = d.dy[0], dp = d.graph.tensor(wide, "d prediction");
        std::optional<float> constant = d.graph.info(dy).constant;
        Push backward = push;
        backward.scale *= constant.value_or(1);
        std::vector<Tensor> reads = {p, x};
        if (!constant)
            reads.push_back(dy);
        d.graph.add({.op = "likelihood_gradient",
                     .in = reads,
                     .out = {dp},
                     .lower =
                         [=](Lowering& l) {
                             lower_pass(l, shader, backward, x, p, {}, dp, constant ? Tensor{} : dy);
                         },
                     .adjoint = {}});
        d.dx[1] = dp;
    };
    g.add({.op = shader,
           .in = {x, p},
           .out = {parts},
           .lower =
               [=](Lowering& l) {
                   if (l.used(parts))
                       lower_pass(l, shader, push, x, p, parts, {}, {});
               },
           .adjoint = adjoint});
    return parts;
}

Tensor wide_mean(Graph& g, Wide likelihood, Tensor p, int64_t parameters) {
    const char* shader = kKinds[size_t(likelihood)].mean;
    check_parameters(likelihood, parameters);
    Shape shape = g.shape(p);
    require(shape.size() == 2 && shape[1] % parameters == 0, shader, " takes ", parameters,
            " parameters for each element, (N, D P), got ", to_text(shape));
    Tensor y = g.tensor({shape[0], shape[1] / parameters}, "mean");
    struct MeanPush {
        uint32_t count, size;
    } push = {uint32_t(shape[0] * shape[1] / parameters), uint32_t(parameters)};
    g.add({.op = shader,
           .in = {p},
           .out = {y},
           .lower = [=](Lowering& l) { l.each(shader, push.count, {}, {p, y}, push); },
           .adjoint = {}});
    return y;
}

} // namespace vkvae
