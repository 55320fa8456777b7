// Activations: y = act(x), dx = dy act'(x). Kernels: shaders/elementwise/activation.comp; the formulas are in
// shaders/common/activation.glsl.
#include "ops/activation.hpp"

namespace vkvae {
namespace {

const char* const kNames[] = {"none", "relu", "leaky_relu", "elu", "silu", "gelu", "sigmoid", "tanh", "softplus"};

struct Push {
    uint32_t count;
};

} // namespace

Activation activation_from_name(const std::string& name) {
    for (uint32_t i = 0; i < std::size(kNames); i++)
        if (name == kNames[i])
            return Activation(i);
    std::string known;
    for (const char* entry : kNames)
        known += concat_text(known.empty() ? "" : ", ", entry);
    fail(Status::data, "unknown activation '", name, "'; known are ", known);
}

const char* activation_name(Activation activation) { return kNames[uint32_t(activation)]; }

bool derivative_from_output(Activation activation) {
    return activation != Activation::silu && activation != Activation::gelu;
}

Tensor activate(Graph& g, Tensor x, Activation activation) {
    if (activation == Activation::none)
        return x;
    Tensor y = g.tensor(g.shape(x), activation_name(activation));
    uint32_t count = uint32_t(element_count(g.shape(x)));
    g.add({.op = "activation",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("activation", count, {uint32_t(activation)}, {x, y}, Push{count}); },
           .adjoint = [=](Adjoint& d) { d.dx[0] = activation_gradient(d.graph, d.dy[0], x, y, activation); },
           .step = {.kind = Step::activation, .function = uint32_t(activation)}});
    return y;
}

Tensor activation_gradient(Graph& g, Tensor dy, Tensor x, Tensor y, Activation activation) {
    if (activation == Activation::none)
        return dy;
    Tensor dx = g.tensor(g.shape(dy), "activation gradient");
    uint32_t count = uint32_t(element_count(g.shape(dy)));
    bool from_output = derivative_from_output(activation);
    Tensor input = from_output ? y : x; // a tensor that is not needed is not kept alive
    g.add({.op = "activation_gradient",
           .in = {dy, input, y},
           .out = {dx},
           .lower =
               [=](Lowering& l) {
                   l.each("activation_gradient", count, {uint32_t(activation)}, {dy, input, y, dx}, Push{count});
               },
           .adjoint = {},
           .step = {.kind = Step::activation_gradient, .function = uint32_t(activation), .operand = input}});
    return dx;
}

} // namespace vkvae
