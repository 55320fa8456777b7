// The contract of ops/reduce: sums, means and maxima over any run of neighbouring axes.
#include "op_check.hpp"

#include <numeric>

using namespace vkvae;
using namespace vkvae::test;

namespace {

OpCase reduce_case(reference::Reduction op, Shape shape, int axis, int count) {
    int rank = int(shape.size()), last = count < 0 ? rank : axis + count;
    size_t outer = 1, middle = 1, inner = 1;
    for (int i = 0; i < rank; i++)
        (i < axis ? outer : i < last ? middle : inner) *= size_t(shape[size_t(i)]);
    OpCase c;
    c.name = concat_text("reduction ", int(op), " of ", to_text(shape), " over ", count, " axes from ", axis);
    c.inputs = {{shape}};
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        return op == reference::Reduction::sum    ? sum(g, in[0], axis, count)
               : op == reference::Reduction::mean ? mean(g, in[0], axis, count)
                                                  : max(g, in[0], axis, count);
    };
    c.formula = [=](const std::vector<Values>& in) { return reference::reduce(in[0], outer, middle, inner, op); };
    if (op == reference::Reduction::max) {
        // Far enough apart that the differences of the reference do not change which is the largest.
        std::vector<float> values(outer * middle * inner);
        for (size_t i = 0; i < values.size(); i++)
            values[i] = float((i * 7919) % values.size()) / 64;
        c.inputs[0].values = values;
    }
    return c;
}

constexpr reference::Reduction kAll[] = {reference::Reduction::sum, reference::Reduction::mean,
                                         reference::Reduction::max};

} // namespace

TEST_CASE("reductions over first, middle, last and all axes") {
    for (reference::Reduction op : kAll) {
        check(reduce_case(op, {1}, 0, -1));
        check(reduce_case(op, {5, 7, 11}, 0, 1));
        check(reduce_case(op, {5, 7, 11}, 1, 1));
        check(reduce_case(op, {5, 7, 11}, 2, 1));
        check(reduce_case(op, {5, 7, 11}, 0, 2));
        check(reduce_case(op, {5, 7, 3, 2}, 1, 2));
        check(reduce_case(op, {5, 7, 11}, 0, -1));
        check(reduce_case(op, {5, 7, 12}, 1, 1)); // rows of whole vec4s
        check(reduce_case(op, {5, 12}, 1, 1));
        check(reduce_case(op, {8}, 0, -1));
    }
}

TEST_CASE("long axes go through a tree, whatever stands before and behind them") {
    for (reference::Reduction op : kAll)
        for (Shape shape : {Shape{1031}, Shape{3, 1031, 5}, Shape{2, 70001}, Shape{1032}, Shape{3, 1031, 8},
                            Shape{2, 70000}}) {
            OpCase c = reduce_case(op, shape, shape.size() > 1 ? 1 : 0, 1);
            c.samples = 3;
            check(c);
        }
    OpCase rows = reduce_case(reference::Reduction::sum, {65539, 3}, 1, 1);
    rows.samples = 2;
    check(rows);
}

TEST_CASE("a sum of a million terms keeps five digits") {
    Graph g;
    int64_t count = 1 << 20;
    Tensor x = g.input({count}, "x"), y = sum(g, x);
    g.keep(y);
    Plan plan(test_device(), g, plan_options());
    std::vector<float> values(size_t(count), 0.1f);
    plan.write(x, std::span<const float>(values));
    plan.run();
    CHECK(std::abs(plan.read(y)[0] - double(0.1f) * double(count)) <= 5e-6 * 0.1 * double(count));
}

TEST_CASE("the gradient of max is shared evenly between equal maxima") {
    Graph g;
    Tensor x = g.input({2, 4}, "x");
    Tensor wrt[] = {x};
    Tensor dx = g.backward(sum(g, max(g, x, 1, 1)), wrt)[0];
    g.keep(dx);
    Plan plan(test_device(), g, plan_options());
    plan.write(x, std::vector<float>{3, 1, 3, 2, -1, -1, -1, -1});
    plan.run();
    CHECK(plan.read(dx) == std::vector<float>{0.5f, 0, 0.5f, 0, 0.25f, 0.25f, 0.25f, 0.25f});
}

TEST_CASE("sum_of_squares adds the squares of everything") {
    for (int64_t count : {1, 4, 513, 516, 70000, 70001}) {
        OpCase c;
        c.name = concat_text("sum_of_squares of ", count);
        c.inputs = {{{count}, false}};
        c.build = [](Graph& g, std::span<const Tensor> in) { return sum_of_squares(g, in[0]); };
        c.formula = [](const std::vector<Values>& in) { return Values{reference::dot(in[0], in[0])}; };
        check(c);
    }
}

TEST_CASE("axes that a tensor does not have are refused with its shape") {
    Graph g;
    Tensor x = g.input({2, 3}, "x");
    CHECK_THROWS_WITH_AS(sum(g, x, 2, 1), doctest::Contains("(2, 3)"), Error);
    CHECK_THROWS_AS(mean(g, x, 1, 2), Error);
    CHECK_THROWS_AS(max(g, x, 0, 0), Error);
}
