// Random tensors: element i is a function of (seed, stream, step, draw, element_base + i) and of nothing else.
// Kernels: shaders/sampling/random.comp and corrupt.comp on shaders/common/random.glsl; the CPU twin is ops/philox.cpp.
#include "ops/philox.hpp"
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

Tensor random(Graph& g, const char* shader, Shape shape, Stream stream) {
    Tensor y = g.tensor(std::move(shape), shader);
    struct Push {
        uint32_t count, stream;
    } push = {uint32_t(element_count(g.shape(y))), uint32_t(stream)};
    g.add({.op = shader,
           .in = {},
           .out = {y},
           .lower = [=](Lowering& l) { l.each(shader, push.count, {}, {y}, push); },
           .adjoint = {}});
    return y;
}

} // namespace

Tensor random_uniform(Graph& g, Shape shape, Stream stream) {
    return random(g, "random_uniform", std::move(shape), stream);
}

Tensor random_normal(Graph& g, Shape shape, Stream stream) {
    return random(g, "random_normal", std::move(shape), stream);
}

Tensor corrupt(Graph& g, Tensor x, Corruption kind, float amount) {
    if (kind == Corruption::none)
        return x;
    Tensor y = g.tensor(g.shape(x), "corrupted");
    struct Push {
        uint32_t count;
        float amount;
    } push = {uint32_t(element_count(g.shape(x))), amount};
    g.add({.op = "corrupt",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("corrupt", push.count, {uint32_t(kind)}, {x, y}, push); },
           .adjoint = {}});
    return y;
}

} // namespace vkvae
