// Likelihoods: -scale log p(x | parameters) in parts of each sample, and its gradient.
//
//   bernoulli  nll = softplus(l) - x l                       dl = sigmoid(l) - x
//   gaussian   nll = (x-m)^2 e^(-2s) / 2 + s + log(2 pi)/2   dm = (m-x) e^(-2s),  ds = 1 - (x-m)^2 e^(-2s)
//   laplace    nll = |x-m| e^(-s) + s + log 2                dm = sign(m-x) e^(-s),  ds = 1 - |x-m| e^(-s)
//
// Of the first two the gradient for the prediction p is factor (mean(p) - x), and so a Step, wherever the factor is known
// before anything runs: the product that makes p ends with it, and the sums are nothing that the backward pass waits for.
// Likelihoods that take more than this: likelihood_wide.cpp, multinomial.cpp.
//
// Kernels: shaders/elbo/bernoulli.comp, gaussian.comp, laplace.comp on common/likelihood.glsl: a work item adds a chunk of
// a row.
#include "vkvae/ops.hpp"

#include <algorithm>
#include <cmath>

namespace vkvae {
namespace {

struct Push {
    uint32_t count, width, chunks;
    float scale;
};

struct Inputs {
    const char* shader;
    Tensor x, p, log_sigma; // log_sigma is empty for likelihoods without a scale
    std::optional<Activation> mean; // of p, if the gradient is its distance from x
    Push push;
};

// One run of a likelihood's kernel over x and p (N, D); what is empty is not computed.
void lower_pass(Lowering& l, const Inputs& in, Tensor parts, Tensor sigma_parts, Tensor dp, Tensor part_factors) {
    Tensor nothing = in.x; // for bindings that the kernel leaves alone
    Tensor unwritten = parts ? parts : dp ? dp : sigma_parts;
    std::vector<Tensor> buffers = {in.x, in.p, parts ? parts : unwritten, dp ? dp : unwritten};
    if (in.log_sigma)
        buffers.insert(buffers.end(), {in.log_sigma, sigma_parts ? sigma_parts : unwritten});
    buffers.push_back(part_factors ? part_factors : nothing);
    l.each(in.shader, in.push.count,
           {uint32_t(bool(dp)), uint32_t(bool(sigma_parts)), uint32_t(bool(parts)), uint32_t(bool(part_factors))}, buffers,
           in.push);
}

// The same, with the gradient dy (N, C) that reaches the parts.
Tensor prediction_gradient(Graph& g, Inputs in, Tensor dy) {
    std::optional<float> constant = g.info(dy).constant;
    bool one_number = constant || g.info(dy).uniform;
    std::optional<float> log_sigma = in.log_sigma ? g.info(in.log_sigma).constant : 0.0f;
    in.push.scale *= constant.value_or(1);
    Tensor dp = g.tensor(g.shape(in.p), "d prediction"), part_factors = one_number ? Tensor{} : dy;
    std::vector<Tensor> reads = {in.p, in.x};
    if (in.log_sigma)
        reads.push_back(in.log_sigma);
    if (part_factors)
        reads.push_back(part_factors);
    Step step;
    if (one_number && log_sigma && in.mean)
        step = {.kind = Step::residual,
                .function = uint32_t(*in.mean),
                .factor = in.push.scale * std::exp(-2 * *log_sigma),
                .operand = in.x};
    g.add({.op = "likelihood_gradient",
           .in = reads,
           .out = {dp},
           .lower = [=](Lowering& l) { lower_pass(l, in, {}, {}, dp, part_factors); },
           .adjoint = {},
           .step = step});
    return one_number && !constant ? mul(g, dp, g.view(dy, {1})) : dp;
}

Tensor likelihood(Graph& g, Inputs in, float factor) {
    Shape shape = g.shape(in.x);
    require(shape.size() == 2 && g.shape(in.p) == shape, in.shader, ": x ", to_text(shape), " and its prediction ",
            to_text(g.shape(in.p)), " must be the same (N, D)");
    require(!in.log_sigma || element_count(g.shape(in.log_sigma)) == 1, in.shader, ": log_sigma must be one number");
    int64_t width = shape[1];
    int64_t chunks = std::clamp<int64_t>(width / 48, 1, 256);
    in.push = {uint32_t(shape[0] * chunks), uint32_t(width), uint32_t(chunks), factor};
    Tensor parts = g.tensor({shape[0], chunks}, "nll parts");
    std::vector<Tensor> reads = {in.x, in.p}, out = {parts};
    Tensor sigma_parts; // gradient for log_sigma
    if (in.log_sigma) {
        sigma_parts = g.tensor({shape[0], chunks}, "d log_sigma parts");
        reads.push_back(in.log_sigma);
        out.push_back(sigma_parts);
    }
    auto adjoint = [=](Adjoint& d) {
        Graph& graph = d.graph;
        require(!d.wanted[0], in.shader, ": the data have no gradient");
        if (d.wanted[1])
            d.dx[1] = prediction_gradient(graph, in, d.dy[0]);
        if (in.log_sigma && d.wanted[2]) {
            std::optional<float> constant = graph.info(d.dy[0]).constant;
            Tensor weighted = !constant          ? mul(graph, sigma_parts, d.dy[0])
                              : *constant == 1.0f ? sigma_parts
                                                  : scale(graph, sigma_parts, *constant);
            d.dx[2] = reshape(graph, sum(graph, weighted), graph.shape(in.log_sigma));
        }
    };
    g.add({.op = in.shader,
           .in = reads,
           .out = out,
           .lower =
               [=](Lowering& l) {
                   bool sigma = in.log_sigma && l.used(sigma_parts);
                   if (l.used(parts) || sigma)
                       lower_pass(l, in, parts, sigma ? sigma_parts : Tensor{}, {}, {});
               },
           .adjoint = adjoint});
    return parts;
}

} // namespace

Tensor bernoulli_nll(Graph& g, Tensor x, Tensor logits, float scale) {
    return likelihood(g, {"bernoulli", x, logits, {}, Activation::sigmoid, {}}, scale);
}

Tensor gaussian_nll(Graph& g, Tensor x, Tensor mean, Tensor log_sigma, float scale) {
    return likelihood(g, {"gaussian", x, mean, log_sigma, Activation::none, {}}, scale);
}

Tensor laplace_nll(Graph& g, Tensor x, Tensor median, Tensor log_scale, float scale) {
    return likelihood(g, {"laplace", x, median, log_scale, {}, {}}, scale);
}

} // namespace vkvae
