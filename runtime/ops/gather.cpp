// Batches out of a data set, and statistics into a ring: the two ends of a training step.
// Kernels: shaders/image/gather.comp, shaders/elementwise/ring_store.comp.
#include "vkvae/ops.hpp"

namespace vkvae {

Tensor gather(Graph& g, Tensor data, Tensor indices, Binarize binarize) {
    const TensorInfo &d = g.info(data), &i = g.info(indices);
    require(d.shape.size() == 2 && (d.type == DType::u8 || d.type == DType::f32),
            "gather: data must be (count, D) u8 or f32, got ", to_text(d.shape));
    require(i.shape.size() == 2 && i.type == DType::u32, "gather: indices must be (slots, N) u32, got ",
            to_text(i.shape));
    int64_t n = i.shape[1], width = d.shape[1];
    uint32_t together = width % 4 == 0 ? 4 : 1; // neighbours of one work item
    std::string shader = concat_text(d.type == DType::u8 ? "gather_u8" : "gather_f32", together == 4 ? "_quads" : "");
    Tensor x = g.tensor({n, width}, "x"); // d and i are stale from here on
    struct Push {
        uint32_t count, rows, width;
    } push = {uint32_t(n * width), uint32_t(n), uint32_t(width)};
    g.add({.op = "gather",
           .in = {data, indices},
           .out = {x},
           .lower =
               [=](Lowering& l) {
                   l.each(shader.c_str(), push.count / together, {uint32_t(binarize)}, {data, indices, x}, push);
               },
           .adjoint = {}});
    return x;
}

void ring_store(Graph& g, std::span<const Tensor> x, Tensor ring, int64_t offset) {
    constexpr size_t kMost = 6; // bindings of the shader
    const Shape& shape = g.shape(ring);
    require(!x.empty() && x.size() <= kMost, "ring_store of ", x.size(), " tensors, it takes from 1 to ", kMost);
    require(shape.size() == 2, "ring_store into a ring of shape ", to_text(shape), ", it must be (slots, width)");
    struct Push {
        uint32_t count, width, offset, end[kMost];
    } push = {0, uint32_t(shape.back()), uint32_t(offset), {}};
    for (size_t i = 0; i < kMost; i++) {
        push.count += i < x.size() ? uint32_t(element_count(g.shape(x[i]))) : 0;
        push.end[i] = push.count;
    }
    require(offset >= 0 && offset + push.count <= shape[1], "ring_store of ", push.count,
            " numbers at ", offset, " into a ring of shape ", to_text(shape));
    std::vector<Tensor> in(x.begin(), x.end());
    g.add({.op = "ring_store",
           .in = in,
           .out = {ring},
           .lower =
               [=](Lowering& l) {
                   std::vector<Tensor> buffers = in;
                   buffers.resize(kMost, in[0]); // never read
                   buffers.push_back(ring);
                   l.each("ring_store", push.count, {}, buffers, push);
               },
           .adjoint = {}});
}

} // namespace vkvae
