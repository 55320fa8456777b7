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
    require(element_count(g.shape(s.norm)) == 1 && (!s.loss || element_count(g.shape(s.loss)) == 1) &&
                g.info(s.halted).type == DType::u32, op,
            ": norm and loss are one number each, halted one u32");
}

// Sets `halted` for good once the norm or the loss is not finite.
void add_check(Graph& g, const OptimizerState& s) {
    Tensor loss = s.loss ? s.loss : s.norm;
    g.add({.op = "halt_check",
           .in = {s.norm, loss, s.halted},
           .out = {s.halted},
           .lower =
               [=](Lowering& l) {
                   struct Push {
                       uint32_t count;
                   };
                   l.each("halt_check", 1, {}, {s.norm, loss, s.halted}, Push{1});
               },
           .adjoint = {}});
}

} // namespace

void sgd(Graph& g, const OptimizerState& s, Tensor velocity, float momentum, float weight_decay) {
    check_state(g, "sgd", s, {{velocity}});
    add_check(g, s);
    struct Push {
        uint32_t count;
        float momentum, weight_decay;
    } push = {uint32_t(element_count(g.shape(s.weights))), momentum, weight_decay};
    g.add({.op = "sgd",
           .in = {s.weights, s.gradients, velocity, s.norm, s.halted},
           .out = {s.weights, velocity},
           .lower =
               [=](Lowering& l) {
                   l.each("sgd", push.count, {}, {s.weights, s.gradients, velocity, s.norm, s.halted}, push);
               },
           .adjoint = {}});
}

void adam(Graph& g, const OptimizerState& s, Tensor m, Tensor v, const AdamOptions& o) {
    check_state(g, "adam", s, {{m, v}});
    add_check(g, s);
    struct Push {
        uint32_t count;
        float beta1, beta2, eps, weight_decay;
        uint32_t decoupled;
    } push = {uint32_t(element_count(g.shape(s.weights))), o.beta1, o.beta2, o.eps, o.weight_decay,
              uint32_t(o.decoupled_decay)};
    g.add({.op = "adam",
           .in = {s.weights, s.gradients, m, v, s.norm, s.halted},
           .out = {s.weights, m, v},
           .lower =
               [=](Lowering& l) {
                   if (prefers_texels(l.caps) && push.count % 4 == 0)
                       l.each("adam_texels", push.count / 4, {}, {s.weights, s.gradients, m, v, s.norm, s.halted, m, v},
                              push, {0, 4, 0, 0, 0, 0, 4, 4});
                   else
                       l.each("adam", push.count, {}, {s.weights, s.gradients, m, v, s.norm, s.halted}, push);
               },
           .adjoint = {}});
}

} // namespace vkvae
