// The contract of ops/elementwise and ops/activation.
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

using Binary = Tensor (*)(Graph&, Tensor, Tensor);

void check_binary(const char* name, Binary op, double (*f)(double, double), Shape a, Shape b, size_t samples = 10) {
    OpCase c;
    c.name = concat_text(name, " of ", to_text(a), " and ", to_text(b));
    c.inputs = {{a}, {b}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return op(g, in[0], in[1]); };
    c.formula = [=](const std::vector<Values>& in) { return reference::broadcast(in[0], in[1], f); };
    c.samples = samples;
    check(c);
}

void check_all_binary(Shape a, Shape b, size_t samples = 10) {
    check_binary("add", add, [](double x, double y) { return x + y; }, a, b, samples);
    check_binary("sub", sub, [](double x, double y) { return x - y; }, a, b, samples);
    check_binary("mul", mul, [](double x, double y) { return x * y; }, a, b, samples);
}

OpCase activation_case(reference::Activation a, double reach) {
    Activation activation = Activation(uint32_t(a) + 1);
    OpCase c;
    c.name = concat_text(activation_name(activation), " within ", reach);
    c.inputs = {{.shape = {7, 31}, .low = -reach, .high = reach, .away_from_zero = 0.01}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return activate(g, in[0], activation); };
    c.formula = [=](const std::vector<Values>& in) { return reference::activate(a, in[0]); };
    return c;
}

} // namespace

TEST_CASE("add, sub and mul repeat the second operand along the first one's leading axes") {
    check_all_binary({1}, {1});
    check_all_binary({7, 13}, {7, 13});
    check_all_binary({7, 13}, {13});
    check_all_binary({3, 5, 7}, {5, 7});
    check_all_binary({3, 5, 7}, {1});
    check_all_binary({1031, 67}, {67}, 3); // a bias whose gradient adds 1031 rows
}

TEST_CASE("elements beyond 65535 groups are reached") {
    check_binary("add", add, [](double x, double y) { return x + y; }, {65537 * 65}, {1}, 1);
}

TEST_CASE("operands that do not match are refused with both shapes") {
    Graph g;
    Tensor a = g.input({3, 4}, "a"), b = g.input({3}, "b");
    CHECK_THROWS_WITH_AS(add(g, a, b), doctest::Contains("(3, 4)"), Error);
    CHECK_THROWS_WITH_AS(mul(g, a, b), doctest::Contains("(3)"), Error);
    CHECK_THROWS_AS(sub(g, b, a), Error);
}

TEST_CASE("a tensor that is used twice collects both gradients") {
    OpCase c;
    c.name = "x x + 3 x + x";
    c.inputs = {{{5, 7}}};
    c.build = [](Graph& g, std::span<const Tensor> in) {
        return add(g, add(g, mul(g, in[0], in[0]), scale(g, in[0], 3)), in[0]);
    };
    c.formula = [](const std::vector<Values>& in) {
        return reference::map(in[0], [](double x) { return x * x + 4 * x; });
    };
    check(c);
}

TEST_CASE("scale and scale_by_beta are affine") {
    OpCase c;
    c.name = "scale";
    c.inputs = {{{11, 3}}};
    c.build = [](Graph& g, std::span<const Tensor> in) { return scale(g, in[0], -2.5f, 0.75f); };
    c.formula = [](const std::vector<Values>& in) {
        return reference::map(in[0], [](double x) { return -2.5 * x + 0.75; });
    };
    check(c);
    c.name = "scale_by_beta";
    c.step.beta = 0.25f;
    c.build = [](Graph& g, std::span<const Tensor> in) { return scale_by_beta(g, in[0]); };
    c.formula = [](const std::vector<Values>& in) { return reference::scale(in[0], 0.25); };
    check(c);
}

TEST_CASE("every activation and its derivative, near zero and in the tails") {
    for (reference::Activation a : reference::kActivations) {
        check(activation_case(a, 3));
        check(activation_case(a, 20));
    }
}

TEST_CASE("activations neither overflow nor become NaN where e^x does") {
    Graph g;
    std::vector<float> far = {-1e30f, -1000, -100, -89, 89, 100, 1000, 1e30f};
    Tensor x = g.input({int64_t(far.size())}, "x");
    std::vector<Tensor> y, dx;
    for (uint32_t a = 1; a <= uint32_t(Activation::softplus); a++) {
        y.push_back(activate(g, x, Activation(a)));
        Tensor wrt[] = {x};
        dx.push_back(g.backward(sum(g, y.back()), wrt)[0]);
        g.keep(y.back());
        g.keep(dx.back());
    }
    Plan plan(test_device(), g, plan_options());
    plan.write(x, std::span<const float>(far));
    plan.run();
    for (uint32_t a = 1; a <= uint32_t(Activation::softplus); a++) {
        INFO(std::string(activation_name(Activation(a))));
        std::vector<float> got = plan.read(y[a - 1]), slope = plan.read(dx[a - 1]);
        for (size_t i = 0; i < far.size(); i++) {
            INFO("at ", far[i]);
            double expected = reference::activate(reference::Activation(a - 1), far[i]);
            CHECK(std::abs(got[i] - expected) <= 1e-6 * std::abs(expected) + 1e-6);
            double derivative = reference::activation_derivative(reference::Activation(a - 1), far[i]);
            CHECK(std::abs(slope[i] - derivative) <= 1e-6);
        }
    }
}

TEST_CASE("activations are found by name, and unknown names are told which there are") {
    for (uint32_t a = 0; a <= uint32_t(Activation::softplus); a++)
        CHECK(activation_from_name(activation_name(Activation(a))) == Activation(a));
    CHECK_THROWS_WITH_AS(activation_from_name("swish2"), doctest::Contains("silu"), Error);
}
