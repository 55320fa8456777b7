// Batches out of a data set, and statistics into a ring: the two ends of a training step.
// Kernels: shaders/image/gather.comp, shaders/elementwise/ring_store.comp.
#include "vkvae/ops.hpp"

namespace vkvae {

Tensor gather(Graph& g, Tensor data, Tensor indices, Binarize binarize) {
    const TensorInfo &d = g.info(data), &i = g.info(indices);
    require(d.shape.size() == 2 && d.type != DType::u32, "gather: data must be (count, D) u8 or f32, got ",
            to_text(d.shape));
    require(i.shape.size() == 2 && i.type == DType::u32, "gather: indices must be (slots, N) u32, got ",
            to_text(i.shape));
    int64_t n = i.shape[1], width = d.shape[1];
    const char* shader = d.type == DType::u8 ? "gather_u8" : "gather_f32";
    Tensor x = g.tensor({n, width}, "x"); // d and i are stale from here on
    struct Push {
        uint32_t count, rows, width;
    } push = {uint32_t(n * width), uint32_t(n), uint32_t(width)};
    g.add({.op = "gather",
           .in = {data, indices},
           .out = {x},
           .lower =
               [=](Lowering& l) { l.each(shader, push.count, {uint32_t(binarize)}, {data, indices, x}, push); },
           .adjoint = {}});
    return x;
}

void ring_store(Graph& g, Tensor x, Tensor ring, int64_t offset) {
    const Shape& shape = g.shape(ring);
    int64_t count = element_count(g.shape(x));
    require(shape.size() == 2 && offset >= 0 && offset + count <= shape[1], "ring_store of ", to_text(g.shape(x)),
            " at ", offset, " into a ring of shape ", to_text(shape));
    struct Push {
        uint32_t count, width, offset;
    } push = {uint32_t(count), uint32_t(shape[1]), uint32_t(offset)};
    g.add({.op = "ring_store",
           .in = {x},
           .out = {ring},
           .lower = [=](Lowering& l) { l.each("ring_store", push.count, {}, {x, ring}, push); },
           .adjoint = {}});
}

} // namespace vkvae
