// Reshape, concatenation and slices. A tensor is seen as (outer, axis, inner) around the axis in question.
//
//   slice   y[o,a,i] = x[o, a + start, i]              dx = y padded with zeros: the same kernel with a negative start
//   concat  y = a then b along the axis                da, db = slices of dy
//   repeat_rows  y[n times + k] = x[n]                 dx[n] = sum over k of dy
//
// Kernels: shaders/elementwise/slice.comp, concat.comp, repeat_rows.comp.
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

struct Extent {
    uint32_t outer = 1, inner = 1;
    size_t axis = 0;
};

Extent extent_of(const Shape& shape, int axis) {
    int rank = int(shape.size());
    int at = axis < 0 ? axis + rank : axis;
    require(at >= 0 && at < rank, to_text(shape), " has no axis ", axis);
    Extent e;
    e.axis = size_t(at);
    for (int i = 0; i < rank; i++)
        if (i != at)
            (i < at ? e.outer : e.inner) *= uint32_t(shape[size_t(i)]);
    return e;
}

// y[o,a,i] = x[o, a + start, i] where that exists, else 0; y has `length` along the axis.
Tensor window(Graph& g, Tensor x, int axis, int64_t start, int64_t length) {
    Extent e = extent_of(g.shape(x), axis);
    Shape shape = g.shape(x);
    int64_t from = shape[e.axis];
    shape[e.axis] = length;
    Tensor y = g.tensor(shape, g.info(x).name);
    struct Push {
        uint32_t count, from, length, inner;
        int32_t start;
    } push = {uint32_t(element_count(shape)), uint32_t(from), uint32_t(length), e.inner, int32_t(start)};
    g.add({.op = "slice",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("slice", push.count, {}, {x, y}, push); },
           .adjoint = [=](Adjoint& d) { d.dx[0] = window(d.graph, d.dy[0], int(e.axis), -start, from); }});
    return y;
}

} // namespace

Tensor reshape(Graph& g, Tensor x, Shape shape) {
    Shape before = g.shape(x);
    if (before == shape)
        return x;
    require(element_count(before) == element_count(shape), "reshape of ", to_text(before), " to ", to_text(shape),
            ": the number of elements differs");
    Tensor y = g.view(x, std::move(shape));
    g.add({.op = "reshape",
           .in = {x},
           .out = {y},
           .lower = {},
           .adjoint = [=](Adjoint& d) { d.dx[0] = reshape(d.graph, d.dy[0], before); }});
    return y;
}

Tensor slice(Graph& g, Tensor x, int axis, int64_t start, int64_t length) {
    int64_t size = g.dim(x, axis);
    require(start >= 0 && length > 0 && start + length <= size, "slice [", start, ", ", start + length, ") of axis ",
            axis, " of ", to_text(g.shape(x)));
    return window(g, x, axis, start, length);
}

Tensor concat(Graph& g, Tensor a, Tensor b, int axis) {
    Extent e = extent_of(g.shape(a), axis);
    Shape shape = g.shape(a), other = g.shape(b);
    int64_t from_a = shape[e.axis];
    require(other.size() == shape.size(), "concat of ", to_text(shape), " and ", to_text(other));
    int64_t from_b = other[e.axis];
    other[e.axis] = from_a;
    require(other == shape, "concat of ", to_text(g.shape(a)), " and ", to_text(g.shape(b)), " along axis ", axis,
            ": the other sizes differ");
    shape[e.axis] = from_a + from_b;
    Tensor y = g.tensor(shape, "concat");
    struct Push {
        uint32_t count, from_a, from_b, inner;
    } push = {uint32_t(element_count(shape)), uint32_t(from_a), uint32_t(from_b), e.inner};
    g.add({.op = "concat",
           .in = {a, b},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("concat", push.count, {}, {a, b, y}, push); },
           .adjoint =
               [=](Adjoint& d) {
                   if (d.wanted[0])
                       d.dx[0] = window(d.graph, d.dy[0], int(e.axis), 0, from_a);
                   if (d.wanted[1])
                       d.dx[1] = window(d.graph, d.dy[0], int(e.axis), from_a, from_b);
               }});
    return y;
}

Tensor repeat_rows(Graph& g, Tensor x, int64_t times) {
    Shape shape = g.shape(x);
    require(shape.size() == 2 && times >= 1, "repeat_rows of ", to_text(shape), " by ", times);
    if (times == 1)
        return x;
    Tensor y = g.tensor({shape[0] * times, shape[1]}, g.info(x).name);
    struct Push {
        uint32_t count, columns, times;
    } push = {uint32_t(element_count(g.shape(y))), uint32_t(shape[1]), uint32_t(times)};
    auto adjoint = [=](Adjoint& d) {
        d.dx[0] = sum(d.graph, reshape(d.graph, d.dy[0], {shape[0], times, shape[1]}), 1, 1);
    };
    g.add({.op = "repeat_rows",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("repeat_rows", push.count, {}, {x, y}, push); },
           .adjoint = adjoint});
    return y;
}

} // namespace vkvae
