// Optimizers over one flat buffer of weights, in one dispatch. With t the step from 1 and g the clipped gradient:
//
//   sgd    u = momentum u + (g + decay w);  w -= lr u
//   adam   m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
//          decay is added to g (Adam) or taken off w directly, w -= lr decay w (AdamW)
//
// lr, 1-b1^t and 1-b2^t come from StepParams, so recorded command buffers stay valid.
// Kernels: shaders/optim/. Definitions as in PyTorch.
#include "ops/gemm.hpp"
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

void check_state(Graph& g, const char* op, const OptimizerState& s, std::span<const Tensor> moments) {
    Shape shape = g.shape(s.weights);
    require(g.shape(s.gradients) == shape, op, ": gradients ", to_text(g.shape(s.gradients)), ", weights ",
            to_text(shape));
    for (Tensor moment : moments)
        require(g.shape(moment) == shape, op, ": a moment of shape ", to_text(g.shape(moment)), ", weights ",
                to_text(shape));
    require((!s.loss || element_count(g.shape(s.loss)) == 1) && g.info(s.halted).type == DType::u32, op,
            ": the loss is one number, halted one u32");
}

// The sum of squares of the gradients (1). Sets `halted` for good once that or the loss is not finite.
Tensor add_check(Graph& g, const OptimizerState& s) {
    Tensor norm = g.tensor({1}, "gradient norm");
    std::vector<Tensor> in = {s.gradients, s.halted};
    if (s.loss)
        in.push_back(s.loss);
    g.add({.op = "gradient_check",
           .in = in,
           .out = {norm, s.halted},
           .lower =
               [=](Lowering& l) {
                   Tensor partial = lower_partial_sums(l, s.gradients, ReduceOp::sum_of_squares);
                   struct Push {
                       uint32_t count, has_loss;
                   } push = {uint32_t(element_count(l.shape(partial))), uint32_t(bool(s.loss))};
                   l.dispatch({.shader = find_shader("gradient_check"),
                               .constants = {64},
                               .buffers = {partial, s.loss ? s.loss : partial, norm, s.halted},
                               .push = push_words(push),
                               .name = "gradient_check"});
               },
           .adjoint = {}});
    return norm;
}

} // namespace

Tensor sgd(Graph& g, const OptimizerState& s, Tensor velocity, float momentum, float weight_decay) {
    check_state(g, "sgd", s, {{velocity}});
    Tensor norm = add_check(g, s);
    struct Push {
        uint32_t count;
        float momentum, weight_decay;
    } push = {uint32_t(element_count(g.shape(s.weights))), momentum, weight_decay};
    g.add({.op = "sgd",
           .in = {s.weights, s.gradients, velocity, norm, s.halted},
           .out = {s.weights, velocity},
           .lower =
               [=](Lowering& l) {
                   l.each("sgd", push.count, {}, {s.weights, s.gradients, velocity, norm, s.halted}, push);
               },
           .adjoint = {}});
    return norm;
}

Tensor adam(Graph& g, const OptimizerState& s, Tensor m, Tensor v, const AdamOptions& o) {
    check_state(g, "adam", s, {{m, v}});
    Tensor norm = add_check(g, s);
    struct Push {
        uint32_t count;
        float beta1, beta2, eps, weight_decay;
        uint32_t decoupled;
    } push = {uint32_t(element_count(g.shape(s.weights))), o.beta1, o.beta2, o.eps, o.weight_decay,
              uint32_t(o.decoupled_decay)};
    g.add({.op = "adam",
           .in = {s.weights, s.gradients, m, v, norm, s.halted},
           .out = {s.weights, m, v},
           .lower =
               [=](Lowering& l) {
                   if (prefers_texels(l.caps) && push.count % 4 == 0)
                       l.each("adam_texels", push.count / 4, {}, {s.weights, s.gradients, m, v, norm, s.halted, m, v},
                              push, {0, 4, 0, 0, 0, 0, 4, 4});
                   else
                       l.each("adam", push.count, {}, {s.weights, s.gradients, m, v, norm, s.halted}, push);
               },
           .adjoint = {}});
    return norm;
}

} // namespace vkvae
