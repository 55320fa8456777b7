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
    require(!s.narrow || (is_16_bit(g.info(s.narrow).type) && g.shape(s.narrow) == shape && element_count(shape) % 4 == 0),
            op, ": the copy of the weights has 16 bits and their shape, and their number is a multiple of 4");
    require(!s.loss_scale || g.shape(s.loss_scale) == Shape{3}, op, ": the loss scale is a state of 3 numbers");
}

// control (4), see OptimizerState. Sets `halted` for good, or changes the loss scale.
Tensor add_check(Graph& g, const OptimizerState& s) {
    Tensor control = g.tensor({4}, "gradient norm");
    std::vector<Tensor> in = {s.gradients, s.halted}, out = {control, s.halted};
    if (s.loss)
        in.push_back(s.loss);
    if (s.loss_scale) {
        in.push_back(s.loss_scale);
        out.push_back(s.loss_scale);
    }
    g.add({.op = "gradient_check",
           .in = in,
           .out = out,
           .lower =
               [=](Lowering& l) {
                   Tensor partial = lower_partial_sums(l, s.gradients, ReduceOp::sum_of_squares);
                   struct Push {
                       uint32_t count, has_loss;
                   } push = {uint32_t(element_count(l.shape(partial))), uint32_t(bool(s.loss))};
                   l.dispatch({.shader = find_shader("gradient_check"),
                               .constants = {64, uint32_t(bool(s.loss_scale))},
                               .buffers = {partial, s.loss ? s.loss : partial, control, s.halted,
                                           s.loss_scale ? s.loss_scale : control},
                               .push = push_words(push),
                               .name = "gradient_check"});
               },
           .adjoint = {}});
    return control;
}

} // namespace

Tensor sgd(Graph& g, const OptimizerState& s, Tensor velocity, float momentum, float weight_decay) {
    check_state(g, "sgd", s, {{velocity}});
    Tensor control = add_check(g, s);
    struct Push {
        uint32_t count;
        float momentum, weight_decay;
    } push = {uint32_t(element_count(g.shape(s.weights))), momentum, weight_decay};
    std::vector<Tensor> out = {s.weights, velocity};
    if (s.narrow)
        out.push_back(s.narrow);
    g.add({.op = "sgd",
           .in = {s.weights, s.gradients, velocity, control},
           .out = out,
           .lower =
               [=](Lowering& l) {
                   std::vector<Tensor> buffers = {s.weights, s.gradients, velocity, control};
                   if (push.count % 4 != 0)
                       return l.each("sgd", push.count, {}, buffers, push);
                   buffers.push_back(s.narrow ? s.narrow : s.weights);
                   l.each("sgd_quads", push.count / 4, {types_constant(l, {buffers.back()})}, buffers, push);
               },
           .adjoint = {},
           .takes_16_bit = true,
           .wide = {s.weights, s.gradients, velocity, control}});
    return control;
}

Tensor adam(Graph& g, const OptimizerState& s, Tensor m, Tensor v, const AdamOptions& o) {
    check_state(g, "adam", s, {{m, v}});
    Tensor control = add_check(g, s);
    struct Push {
        uint32_t count;
        float beta1, beta2, eps, weight_decay;
        uint32_t decoupled;
    } push = {uint32_t(element_count(g.shape(s.weights))), o.beta1, o.beta2, o.eps, o.weight_decay,
              uint32_t(o.decoupled_decay)};
    std::vector<Tensor> out = {s.weights, m, v};
    if (s.narrow)
        out.push_back(s.narrow);
    g.add({.op = "adam",
           .in = {s.weights, s.gradients, m, v, control},
           .out = out,
           .lower =
               [=](Lowering& l) {
                   std::vector<Tensor> buffers = {s.weights, s.gradients, m, v, control};
                   if (push.count % 4 != 0)
                       return l.each("adam", push.count, {}, buffers, push);
                   buffers.push_back(s.narrow ? s.narrow : s.weights);
                   std::vector<uint32_t> types = {types_constant(l, {buffers.back()})};
                   if (!prefers_texels(l.caps))
                       return l.each("adam_quads", push.count / 4, types, buffers, push);
                   buffers.insert(buffers.end(), {m, v});
                   l.each("adam_texels", push.count / 4, types, buffers, push, {0, 4, 0, 0, 0, 0, 4, 4});
               },
           .adjoint = {},
           .takes_16_bit = true,
           .wide = {s.weights, s.gradients, m, v, control}});
    return control;
}

} // namespace vkvae
