// The contract of ops/norm and ops/softmax.
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

constexpr float kEps = 1e-5f;

OpCase group_case(Shape x, int groups) {
    size_t n = size_t(x.front()), c = size_t(x.back()), s = size_t(element_count(x)) / n / c;
    OpCase result;
    result.name = concat_text("group_norm ", to_text(x), " in ", groups);
    result.inputs = {{x}, {{int64_t(c)}}, {{int64_t(c)}}};
    result.build = [=](Graph& g, std::span<const Tensor> in) {
        return group_norm(g, in[0], in[1], in[2], groups, kEps);
    };
    result.formula = [=](const std::vector<Values>& in) {
        return reference::group_norm(in[0], in[1], in[2], n, s, c, size_t(groups), double(kEps));
    };
    return result;
}

OpCase layer_case(Shape x) {
    size_t c = size_t(x.back()), rows = size_t(element_count(x)) / c;
    OpCase result;
    result.name = concat_text("layer_norm ", to_text(x));
    result.inputs = {{x}, {{int64_t(c)}}, {{int64_t(c)}}};
    result.build = [=](Graph& g, std::span<const Tensor> in) { return layer_norm(g, in[0], in[1], in[2], kEps); };
    result.formula = [=](const std::vector<Values>& in) {
        return reference::layer_norm(in[0], in[1], in[2], rows, c, double(kEps));
    };
    return result;
}

OpCase softmax_case(int64_t rows, int64_t columns, double low, double high) {
    OpCase c;
    c.name = concat_text("softmax ", rows, "x", columns, " from ", low, " to ", high);
    c.inputs = {{.shape = {rows, columns}, .low = low, .high = high}};
    c.build = [](Graph& g, std::span<const Tensor> in) { return softmax(g, in[0]); };
    c.formula = [=](const std::vector<Values>& in) {
        return reference::softmax(in[0], size_t(rows), size_t(columns));
    };
    return c;
}

} // namespace

TEST_CASE("group_norm of many shapes, and its gradients") {
    check(group_case({2, 3, 5, 6}, 1));
    check(group_case({2, 3, 5, 6}, 2));
    check(group_case({2, 3, 5, 6}, 6));
    check(group_case({3, 7}, 1));
    check(group_case({5, 29, 31, 3}, 1)); // groups of several chunks
    check(group_case({3, 17, 19, 32}, 8));
    check(group_case({2, 9, 8, 32}, 32));  // a group for each channel
    check(group_case({3, 5, 4, 12}, 2));   // four neighbouring channels in two groups
    check(group_case({1, 40, 40, 64}, 32)); // few groups, which several work items merge
    check(group_case({1, 40, 40, 64}, 1));
    check(group_case({1, 1, 1, 64}, 32));
    check(group_case({700, 2, 3, 8}, 4)); // many pictures
    for (OpCase pairs : {group_case({1, 1, 1, 4}, 2), group_case({65537, 2}, 1)}) {
        pairs.samples = 2;
        pairs.tolerance = 3e-4; // two numbers become +1 and -1: what the gradient is made of cancels almost entirely
        pairs.nmse = 1e-9;
        pairs.gradient_tolerance = 1e-2;
        check(pairs);
    }
}

TEST_CASE("layer_norm of many shapes, and its gradients") {
    check(layer_case({5, 7}));
    check(layer_case({2, 3, 64}));
    check(layer_case({3, 1031}));
    check(layer_case({700, 12}));
    check(layer_case({2, 4096}));
}

TEST_CASE("group_norm keeps a small variance beside a large mean") {
    OpCase c = group_case({2, 16, 16, 8}, 2);
    c.inputs[0].low = 1e4 - 1;
    c.inputs[0].high = 1e4 + 1;
    // f32 holds numbers near 1e4, and so their mean, to 5e-4: an offset of 1e-3 deviations and some rounding.
    c.tolerance = 1e-2;
    c.nmse = 1e-5;
    c.gradient_tolerance = 1e-2;
    check(c);
}

TEST_CASE("gradients of a norm's parameters are written where they belong, without copies") {
    OpGraph one_chunk(group_case({2, 4, 4, 8}, 2)), chunks(group_case({2, 16, 16, 8}, 2));
    // Sums, statistics, y; sums, means, dx, dgamma with dbeta; and one that adds the sums of several chunks.
    CHECK(Plan(test_device(), one_chunk.graph, plan_options()).dispatch_count() == 7);
    CHECK(Plan(test_device(), chunks.graph, plan_options()).dispatch_count() == 8);
}

TEST_CASE("a constant group becomes beta, not NaN") {
    Graph g;
    Tensor x = g.input({1, 2, 2, 4}, "x"), gamma = g.input({4}, "gamma"), beta = g.input({4}, "beta");
    Tensor y = group_norm(g, x, gamma, beta, 2, kEps);
    g.keep(y);
    Plan plan(test_device(), g, plan_options());
    plan.write(x, std::vector<float>(16, 123.25f));
    plan.write(gamma, std::vector<float>(4, 2));
    plan.write(beta, std::vector<float>{1, 2, 3, 4});
    plan.run();
    std::vector<float> got = plan.read(y);
    for (size_t i = 0; i < got.size(); i++)
        CHECK(std::abs(got[i] - float(i % 4 + 1)) < 1e-2f);
}

TEST_CASE("softmax of any length adds up to one and does not overflow") {
    check(softmax_case(1, 1, -1, 1));
    check(softmax_case(7, 13, -1, 1));
    check(softmax_case(3, 1031, -5, 5));
    check(softmax_case(5, 11, 1e4, 1e4 + 8));
    OpCase wild = softmax_case(5, 11, -1e4, 1e4);
    wild.inputs[0].gradient = false; // one element takes all
    check(wild);
    OpCase rows = softmax_case(65537, 3, -1, 1);
    rows.samples = 2;
    check(rows);
}

TEST_CASE("norms refuse parameters that do not fit, and say the shapes") {
    Graph g;
    Tensor x = g.input({2, 3, 5, 6}, "x"), gamma = g.input({6}, "gamma"), wrong = g.input({5}, "wrong");
    CHECK_THROWS_WITH_AS(group_norm(g, x, gamma, wrong, 2), doctest::Contains("(5)"), Error);
    CHECK_THROWS_WITH_AS(group_norm(g, x, gamma, gamma, 4), doctest::Contains("6 channels"), Error);
    CHECK_THROWS_AS(layer_norm(g, x, wrong, wrong), Error);
}
