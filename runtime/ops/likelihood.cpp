// Likelihoods: -scale log p(x | parameters) summed over each row, and its gradient, in one pass over the data.
//
//   bernoulli  nll = softplus(l) - x l                       dl = sigmoid(l) - x
//   gaussian   nll = (x-m)^2 e^(-2s) / 2 + s + log(2 pi)/2   dm = (m-x) e^(-2s),  ds = 1 - (x-m)^2 e^(-2s)
//
// Kernels: shaders/elbo/bernoulli.comp, gaussian.comp on common/likelihood.glsl: a work item adds a chunk of a row.
#include "ops/gemm.hpp"
#include "vkvae/ops.hpp"

#include <algorithm>

namespace vkvae {
namespace {

struct Push {
    uint32_t count, width, chunks;
    float scale;
};

// The gradient that the forward pass left, times the gradient that reaches each row; a constant 1 is the usual case.
Tensor times_rows(Graph& g, Tensor gradient, Tensor dy) {
    if (g.info(dy).constant)
        return *g.info(dy).constant == 1.0f ? gradient : scale(g, gradient, *g.info(dy).constant);
    Tensor result = g.tensor(g.shape(gradient), "scaled rows");
    struct RowsPush {
        uint32_t count, width;
    } push = {uint32_t(element_count(g.shape(gradient))), uint32_t(g.dim(gradient, 1))};
    g.add({.op = "scale_rows",
           .in = {gradient, dy},
           .out = {result},
           .lower = [=](Lowering& l) { l.each("scale_rows", push.count, {}, {gradient, dy, result}, push); },
           .adjoint = {}});
    return result;
}

// One run of a likelihood's kernel over x and p (N, D); what is empty is not computed.
struct Pass {
    const char* shader;
    Tensor x, p, log_sigma;
    Push push;
};
void lower_pass(Lowering& l, const Pass& pass, Tensor partial, Tensor dp, Tensor sigma_partial, Tensor row_factors) {
    Tensor nothing = pass.x; // for bindings that the kernel leaves alone
    Tensor unwritten = partial ? partial : dp;
    std::vector<Tensor> buffers = {pass.x, pass.p, unwritten, dp ? dp : unwritten};
    if (pass.log_sigma)
        buffers.insert(buffers.end(), {pass.log_sigma, sigma_partial ? sigma_partial : unwritten});
    buffers.push_back(row_factors ? row_factors : nothing);
    l.each(pass.shader, pass.push.count,
           {uint32_t(bool(dp)), uint32_t(bool(sigma_partial)), uint32_t(bool(partial)), uint32_t(bool(row_factors))},
           buffers, pass.push);
}

// dp times a number for each row (N): where the gradient that reaches the rows is known only when the kernels run, it is
// computed with it in one pass, and not left by the forward pass.
Tensor gradient_of_rows(Graph& g, const Pass& pass, Tensor row_factors) {
    Tensor dp = g.tensor(g.shape(pass.p), "d prediction");
    std::vector<Tensor> in = {pass.x, pass.p, row_factors};
    if (pass.log_sigma)
        in.push_back(pass.log_sigma);
    g.add({.op = "likelihood_gradient",
           .in = in,
           .out = {dp},
           .lower = [=](Lowering& l) { lower_pass(l, pass, {}, dp, {}, row_factors); },
           .adjoint = {}});
    return dp;
}

// `log_sigma` is empty for likelihoods without a scale.
Tensor likelihood(Graph& g, const char* shader, Tensor x, Tensor p, Tensor log_sigma, float factor) {
    Shape shape = g.shape(x);
    require(shape.size() == 2 && g.shape(p) == shape, shader, ": x ", to_text(shape), " and its prediction ",
            to_text(g.shape(p)), " must be the same (N, D)");
    require(!log_sigma || element_count(g.shape(log_sigma)) == 1, shader, ": log_sigma must be one number");
    int64_t n = shape[0], width = shape[1];
    int64_t chunks = std::clamp<int64_t>(width / 48, 1, 256);
    Tensor nll = g.tensor({n}, "nll"), dp = g.tensor(shape, "d prediction");
    std::vector<Tensor> in = {x, p}, out = {nll, dp};
    Tensor dsigma; // (N): gradient for log_sigma, row by row
    if (log_sigma) {
        dsigma = g.tensor({n}, "d log_sigma rows");
        in.push_back(log_sigma);
        out.push_back(dsigma);
    }
    Pass pass = {shader, x, p, log_sigma, {uint32_t(n * chunks), uint32_t(width), uint32_t(chunks), factor}};
    auto lower = [=](Lowering& l) {
        Tensor partial = l.scratch({n, chunks}, "nll partial"), sigma_partial;
        if (log_sigma && l.used(dsigma))
            sigma_partial = l.scratch({n, chunks}, "log_sigma partial");
        lower_pass(l, pass, partial, l.used(dp) ? dp : Tensor{}, sigma_partial, {});
        lower_reduce(l, partial, nll, ReduceOp::sum, uint64_t(n), uint64_t(chunks), 1, 1);
        if (sigma_partial)
            lower_reduce(l, sigma_partial, dsigma, ReduceOp::sum, uint64_t(n), uint64_t(chunks), 1, 1);
    };
    auto adjoint = [=](Adjoint& d) {
        Graph& graph = d.graph;
        require(!d.wanted[0], shader, ": the data have no gradient");
        if (d.wanted[1])
            d.dx[1] = graph.info(d.dy[0]).constant ? times_rows(graph, dp, d.dy[0])
                                                   : gradient_of_rows(graph, pass, d.dy[0]);
        if (log_sigma && d.wanted[2]) {
            Tensor rows = reshape(graph, dsigma, {n, 1});
            d.dx[2] = reshape(graph, sum(graph, times_rows(graph, rows, d.dy[0])), graph.shape(log_sigma));
        }
    };
    g.add({.op = shader, .in = in, .out = out, .lower = lower, .adjoint = adjoint});
    return nll;
}

} // namespace

Tensor bernoulli_nll(Graph& g, Tensor x, Tensor logits, float scale) {
    return likelihood(g, "bernoulli", x, logits, {}, scale);
}

Tensor gaussian_nll(Graph& g, Tensor x, Tensor mean, Tensor log_sigma, float scale) {
    return likelihood(g, "gaussian", x, mean, log_sigma, scale);
}

} // namespace vkvae
