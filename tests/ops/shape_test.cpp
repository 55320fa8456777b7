// The contract of ops/shape and ops/resample.
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

OpCase concat_case(size_t outer, size_t a, size_t b, size_t inner, int axis) {
    OpCase c;
    c.name = concat_text("concat ", outer, " x (", a, " + ", b, ") x ", inner);
    auto shape = [&](size_t middle) { return Shape{int64_t(outer), int64_t(middle), int64_t(inner)}; };
    c.inputs = {{shape(a)}, {shape(b)}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return concat(g, in[0], in[1], axis); };
    c.formula = [=](const std::vector<Values>& in) { return reference::concat(in, outer, {a, b}, inner); };
    return c;
}

OpCase slice_case(Shape shape, int axis, int64_t start, int64_t length) {
    size_t outer = 1, inner = 1, at = size_t(axis < 0 ? axis + int(shape.size()) : axis);
    for (size_t i = 0; i < shape.size(); i++)
        if (i != at)
            (i < at ? outer : inner) *= size_t(shape[i]);
    size_t middle = size_t(shape[at]);
    OpCase c;
    c.name = concat_text("slice of ", to_text(shape), " axis ", axis, " from ", start, " length ", length);
    c.inputs = {{shape}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return slice(g, in[0], axis, start, length); };
    c.formula = [=](const std::vector<Values>& in) {
        return reference::slice(in[0], outer, middle, inner, size_t(start), size_t(length));
    };
    return c;
}

} // namespace

TEST_CASE("concat joins along any axis") {
    check(concat_case(2, 3, 5, 7, 1));
    check(concat_case(1, 3, 5, 7, 1));
    check(concat_case(1, 1, 1, 1, -2));
    OpCase last = concat_case(6, 3, 5, 1, 1);
    last.inputs = {{{2, 3, 3}}, {{2, 3, 5}}};
    last.build = [](Graph& g, std::span<const Tensor> in) { return concat(g, in[0], in[1]); };
    check(last);
}

TEST_CASE("slice takes a part of any axis and spreads its gradient among zeros") {
    check(slice_case({5, 7, 3}, 0, 2, 2));
    check(slice_case({5, 7, 3}, 1, 0, 7));
    check(slice_case({5, 7, 3}, 1, 6, 1));
    check(slice_case({5, 7, 3}, -1, 1, 2));
    check(slice_case({70001}, 0, 65530, 17));
}

TEST_CASE("reshape keeps the elements, and gradients come back in the old shape") {
    OpCase c;
    c.name = "reshape, mul, reshape";
    c.inputs = {{{6, 5}}, {{2, 15}}};
    c.build = [](Graph& g, std::span<const Tensor> in) {
        return reshape(g, mul(g, reshape(g, in[0], {2, 15}), in[1]), {3, 10});
    };
    c.formula = [](const std::vector<Values>& in) { return reference::mul(in[0], in[1]); };
    check(c);
    c.name = "reshape alone";
    c.inputs = {{{6, 5}}};
    c.build = [](Graph& g, std::span<const Tensor> in) { return scale(g, reshape(g, in[0], {30}), 1); };
    c.formula = [](const std::vector<Values>& in) { return in[0]; };
    check(c);
}

TEST_CASE("upsample2x_conv2d is the convolution of the upsampled picture, at the edges too") {
    for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 4}, Shape{1, 4, 2, 3}})
        for (int64_t out : {1, 5, 8}) {
            size_t n = size_t(shape[0]), h = size_t(shape[1]), w = size_t(shape[2]), c = size_t(shape[3]);
            OpCase op;
            op.name = concat_text("upsample2x_conv2d ", to_text(shape), " to ", out);
            op.inputs = {{shape}, {{3, 3, shape[3], out}}, {{out}}};
            op.build = [](Graph& g, std::span<const Tensor> in) {
                return upsample2x_conv2d(g, in[0], in[1], in[2], Activation::tanh);
            };
            op.formula = [=](const std::vector<Values>& in) {
                reference::Conv2d conv = {.n = n, .h = 2 * h, .w = 2 * w, .cin = c, .cout = size_t(out), .kh = 3,
                                          .kw = 3, .pads = {1, 1, 1, 1}};
                Values up = reference::upsample_nearest2x(in[0], n, h, w, c);
                return reference::activate(reference::Activation::tanh, reference::conv2d(up, in[1], in[2], conv));
            };
            op.gradient_tolerance = 3e-4;
            check(op);
        }
    Graph g;
    Tensor x = g.input({1, 2, 2, 3}, "x");
    CHECK_THROWS_AS(upsample2x_conv2d(g, x, g.input({5, 5, 3, 4}, "w"), {}), Error);
    CHECK_THROWS_AS(upsample2x_conv2d(g, x, g.input({3, 3, 2, 4}, "w"), {}), Error);
}

TEST_CASE("upsample2x repeats every pixel four times, and adds up four gradients") {
    for (Shape shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 7}, Shape{3, 7, 2, 4}, Shape{1, 127, 131, 1}}) {
        OpCase c;
        c.name = concat_text("upsample2x ", to_text(shape));
        c.inputs = {{shape}};
        c.build = [](Graph& g, std::span<const Tensor> in) { return upsample2x(g, in[0]); };
        c.formula = [=](const std::vector<Values>& in) {
            return reference::upsample_nearest2x(in[0], size_t(shape[0]), size_t(shape[1]), size_t(shape[2]),
                                                 size_t(shape[3]));
        };
        c.samples = 5;
        check(c);
    }
}

TEST_CASE("shape operations refuse what does not fit, and say both shapes") {
    Graph g;
    Tensor a = g.input({2, 3}, "a"), b = g.input({4, 5}, "b");
    CHECK_THROWS_WITH_AS(concat(g, a, b, 0), doctest::Contains("(2, 3)"), Error);
    CHECK_THROWS_WITH_AS(concat(g, a, b, 0), doctest::Contains("(4, 5)"), Error);
    CHECK_THROWS_WITH_AS(slice(g, a, 1, 2, 2), doctest::Contains("(2, 3)"), Error);
    CHECK_THROWS_WITH_AS(reshape(g, a, {7}), doctest::Contains("(7)"), Error);
    CHECK_THROWS_AS(upsample2x(g, a), Error);
}
