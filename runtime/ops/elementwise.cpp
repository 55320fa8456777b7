// Element-by-element arithmetic. b may have the shape of a's last axes and is then repeated.
//
//   add  da = dy, db = sum of dy over the repeats     sub  db = -(...)     mul  da = dy b, db = sum of dy a
//   scale  y = factor x + offset, dx = factor dy      scale_by_beta  y = StepParams::beta x
//
// Kernels: shaders/elementwise/binary.comp, scale.comp, scale_by_beta.comp.
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

// How often b is repeated to cover a. Errors: b's shape is not that of a's last axes (or one element).
uint32_t repeats(Graph& g, const char* op, Tensor a, Tensor b) {
    const Shape &sa = g.shape(a), &sb = g.shape(b);
    bool suffix = sb.size() <= sa.size() && std::equal(sb.rbegin(), sb.rend(), sa.rbegin());
    require(suffix || element_count(sb) == 1, op, " of ", to_text(sa), " and ", to_text(sb),
            ": the second must have the shape of the first one's last axes");
    return uint32_t(element_count(sa) / element_count(sb));
}

// Sums the repeats of b away.
Tensor sum_repeats(Graph& g, Tensor dy, const Shape& shape) {
    int64_t inner = element_count(shape), outer = element_count(g.shape(dy)) / inner;
    if (outer == 1)
        return reshape(g, dy, shape);
    return reshape(g, sum(g, reshape(g, dy, {outer, inner}), 0, 1), shape);
}

Tensor binary(Graph& g, const char* op, Tensor a, Tensor b, std::function<void(Adjoint&)> adjoint) {
    repeats(g, op, a, b);
    Tensor y = g.tensor(g.shape(a), op);
    struct Push {
        uint32_t count, period;
    } push = {uint32_t(element_count(g.shape(a))), uint32_t(element_count(g.shape(b)))};
    Step step;
    if (std::strcmp(op, "add") == 0 && push.count == push.period)
        step = {.kind = Step::add, .operand = b};
    if (std::strcmp(op, "mul") == 0 && push.period == 1)
        step = {.kind = Step::scale, .operand = b};
    g.add({.op = op,
           .in = {a, b},
           .out = {y},
           .lower = [=](Lowering& l) { l.each(op, push.count, {}, {a, b, y}, push); },
           .adjoint = std::move(adjoint),
           .step = step});
    return y;
}

} // namespace

Tensor add(Graph& g, Tensor a, Tensor b) {
    Shape sb = g.shape(b);
    return binary(g, "add", a, b, [=](Adjoint& d) {
        d.dx[0] = d.dy[0];
        if (d.wanted[1])
            d.dx[1] = sum_repeats(d.graph, d.dy[0], sb);
    });
}

Tensor sub(Graph& g, Tensor a, Tensor b) {
    Shape sb = g.shape(b);
    return binary(g, "sub", a, b, [=](Adjoint& d) {
        d.dx[0] = d.dy[0];
        if (d.wanted[1])
            d.dx[1] = scale(d.graph, sum_repeats(d.graph, d.dy[0], sb), -1);
    });
}

Tensor mul(Graph& g, Tensor a, Tensor b) {
    Shape sb = g.shape(b);
    return binary(g, "mul", a, b, [=](Adjoint& d) {
        if (d.wanted[0])
            d.dx[0] = mul(d.graph, d.dy[0], b);
        if (d.wanted[1])
            d.dx[1] = sum_repeats(d.graph, mul(d.graph, d.dy[0], a), sb);
    });
}

Tensor scale(Graph& g, Tensor x, float factor, float offset) {
    Shape shape = g.shape(x);
    if (g.info(x).constant)
        return g.constant(factor * *g.info(x).constant + offset, shape);
    Tensor y = g.tensor(shape, "scale");
    struct Push {
        uint32_t count;
        float factor, offset;
    } push = {uint32_t(element_count(shape)), factor, offset};
    g.add({.op = "scale",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("scale", push.count, {}, {x, y}, push); },
           .adjoint = [=](Adjoint& d) { d.dx[0] = scale(d.graph, d.dy[0], factor); }});
    return y;
}

Tensor scale_by_beta(Graph& g, Tensor x) {
    Tensor y = g.tensor(g.shape(x), "scale_by_beta");
    struct Push {
        uint32_t count;
    } push = {uint32_t(element_count(g.shape(x)))};
    g.add({.op = "scale_by_beta",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("scale_by_beta", push.count, {}, {x, y}, push); },
           .adjoint = [=](Adjoint& d) { d.dx[0] = scale_by_beta(d.graph, d.dy[0]); }});
    return y;
}

} // namespace vkvae
