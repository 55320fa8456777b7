// Reductions over neighbouring axes: x (outer, axis, inner) -> y (outer, inner).
//
//   sum, mean:  dx[o,a,i] = factor dy[o,i]
//   max:        dx[o,a,i] = dy[o,i] / (number of maxima) where x[o,a,i] = y[o,i]
//
// Kernels: shaders/reduce/. Long axes go in stages, so that every sum is a fixed tree and none has more than a few
// hundred terms in a row.
#include "ops/gemm.hpp"
#include "vkvae/ops.hpp"

#include <algorithm>

namespace vkvae {
namespace {

struct Extent {
    uint64_t outer = 1, axis = 1, inner = 1;
    Shape shape; // of the result
};

Extent extent_of(const Shape& shape, int axis, int count) {
    int rank = int(shape.size());
    int first = axis < 0 ? axis + rank : axis;
    int last = count < 0 ? rank : first + count;
    require(first >= 0 && first < last && last <= rank, "reduction of ", to_text(shape), " over ", count,
            " axes from axis ", axis);
    Extent e;
    for (int i = 0; i < rank; i++) {
        (i < first ? e.outer : i < last ? e.axis : e.inner) *= uint64_t(shape[size_t(i)]);
        if (i < first || i >= last)
            e.shape.push_back(shape[size_t(i)]);
    }
    if (e.shape.empty())
        e.shape = {1};
    return e;
}

Tensor broadcast(Graph& g, Tensor y, const Shape& shape, const Extent& e, float factor) {
    if (g.info(y).constant)
        return g.constant(*g.info(y).constant * factor, shape);
    Tensor x = g.tensor(shape, "broadcast");
    struct Push {
        uint32_t count, axis, inner;
        float factor;
    } push = {uint32_t(element_count(shape)), uint32_t(e.axis), uint32_t(e.inner), factor};
    g.add({.op = "broadcast",
           .in = {y},
           .out = {x},
           .lower = [=](Lowering& l) { l.each("broadcast", push.count, {}, {y, x}, push); },
           .adjoint = {}});
    return x;
}

Tensor max_gradient(Graph& g, Tensor x, Tensor y, Tensor dy, const Extent& e) {
    Tensor dx = g.tensor(g.shape(x), "max gradient");
    struct Push {
        uint32_t count, axis, inner;
    } push = {uint32_t(e.outer * e.inner), uint32_t(e.axis), uint32_t(e.inner)};
    g.add({.op = "max_gradient",
           .in = {x, y, dy},
           .out = {dx},
           .lower = [=](Lowering& l) { l.each("max_gradient", push.count, {}, {x, y, dy, dx}, push); },
           .adjoint = {}});
    return dx;
}

Tensor reduce(Graph& g, const char* name, Tensor x, const Extent& e, ReduceOp op, float factor) {
    Tensor y = g.tensor(e.shape, name);
    Shape shape = g.shape(x);
    auto adjoint = [=](Adjoint& d) {
        d.dx[0] = op == ReduceOp::max ? max_gradient(d.graph, x, y, d.dy[0], e)
                                      : broadcast(d.graph, d.dy[0], shape, e, factor);
    };
    g.add({.op = name,
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { lower_reduce(l, x, y, op, e.outer, e.axis, e.inner, factor); },
           .adjoint = op == ReduceOp::sum_of_squares ? std::function<void(Adjoint&)>() : adjoint});
    return y;
}

} // namespace

namespace {

// Adds every `chunks`th element of the axis: x (outer, axis, inner) -> y (outer, chunks, inner). In texels, where the
// device prefers them, it reads either four outputs at a time or four parts of one.
struct Stage {
    bool four_outputs, four_parts;
    uint64_t rows, width; // of texels
    Stage(const Caps& caps, uint64_t axis, uint64_t inner)
        : four_outputs(prefers_texels(caps) && inner % 4 == 0),
          four_parts(prefers_texels(caps) && inner == 1 && axis % 4 == 0), rows(four_parts ? axis / 4 : axis),
          width(four_outputs ? inner / 4 : inner) {}

    void lower(Lowering& l, Tensor x, Tensor y, ReduceOp op, uint64_t outer, uint64_t chunks, float factor) const {
        struct Push {
            uint32_t count, axis, inner, chunks;
            float factor;
        } push = {uint32_t(outer * chunks * width), uint32_t(rows), uint32_t(width), uint32_t(chunks), factor};
        bool texels = four_outputs || four_parts;
        l.each(texels ? "reduce_texels" : "reduce", push.count, {uint32_t(op), uint32_t(four_outputs)}, {x, y}, push,
               texels ? std::vector<uint32_t>{4} : std::vector<uint32_t>{});
    }
};

} // namespace

void lower_reduce(Lowering& l, Tensor x, Tensor y, ReduceOp op, uint64_t outer, uint64_t axis, uint64_t inner,
                  float factor) {
    constexpr uint64_t kTerms = 256; // that one work item adds in a row; up to twice as many where that saves a stage
    Stage stage(l.caps, axis, inner);
    uint64_t chunks = stage.rows > 2 * kTerms ? (stage.rows + kTerms - 1) / kTerms : 1;
    if (chunks == 1)
        return stage.lower(l, x, y, op, outer, 1, factor);
    Tensor partial = l.scratch({int64_t(outer), int64_t(chunks), int64_t(inner)}, "partial sums");
    stage.lower(l, x, partial, op, outer, chunks, 1);
    lower_reduce(l, partial, y, op == ReduceOp::sum_of_squares ? ReduceOp::sum : op, outer, chunks, inner, factor);
}

Tensor lower_partial_sums(Lowering& l, Tensor x, ReduceOp op) {
    constexpr uint64_t kTerms = 64, kMost = 4096; // enough work items for any GPU, few enough for one workgroup
    uint64_t count = uint64_t(element_count(l.shape(x)));
    Stage stage(l.caps, count, 1);
    uint64_t chunks = std::min(kMost, (stage.rows + kTerms - 1) / kTerms);
    Tensor partial = l.scratch({int64_t(chunks)}, "partial sums");
    stage.lower(l, x, partial, op, 1, chunks, 1);
    return partial;
}

Tensor sum(Graph& g, Tensor x, int axis, int count) {
    return reduce(g, "sum", x, extent_of(g.shape(x), axis, count), ReduceOp::sum, 1);
}

Tensor mean(Graph& g, Tensor x, int axis, int count) {
    Extent e = extent_of(g.shape(x), axis, count);
    return reduce(g, "mean", x, e, ReduceOp::sum, 1.0f / float(e.axis));
}

Tensor max(Graph& g, Tensor x, int axis, int count) {
    return reduce(g, "max", x, extent_of(g.shape(x), axis, count), ReduceOp::max, 1);
}

Tensor sum_of_squares(Graph& g, Tensor x) {
    return reduce(g, "sum_of_squares", x, extent_of(g.shape(x), 0, -1), ReduceOp::sum_of_squares, 1);
}

} // namespace vkvae
