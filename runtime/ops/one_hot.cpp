// Tokens and codes as unit vectors: y[i,k] = 1 where k = x[i], else 0. A table of vectors, one for each token, is then a product, and
// so is its gradient: no scattered sums.
// Kernel: shaders/elementwise/one_hot.comp.
#include "vkvae/ops.hpp"

namespace vkvae {

Tensor one_hot(Graph& g, Tensor x, int64_t classes) {
    require(classes > 0, "one_hot of ", classes, " classes");
    Shape shape = g.shape(x);
    shape.push_back(classes);
    Tensor y = g.tensor(shape, "one_hot");
    struct Push {
        uint32_t count, classes;
    } push = {uint32_t(element_count(shape)), uint32_t(classes)};
    const char* shader = g.info(x).type == DType::u32 ? "one_hot_codes" : "one_hot";
    g.add({.op = shader,
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each(shader, push.count, {}, {x, y}, push); },
           .adjoint = {}});
    return y;
}

} // namespace vkvae
