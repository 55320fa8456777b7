// The contract of fusion: whole networks compute the same with and without it (check() runs both ways), and with it in
// fewer dispatches. Which elementwise nodes move, and which must stay, is in tests/graph/fuse_test.cpp.
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

reference::Activation in_reference(Activation a) { return reference::Activation(uint32_t(a) - 1); }

// y = act(act(x w1 + b1) w2 + b2 + x): what a step needs is there before (x), after (the gradients), or kept (silu).
OpCase residual_mlp(int64_t rows, int64_t width, Activation activation) {
    OpCase c;
    c.name = concat_text("residual mlp ", rows, "x", width, " ", activation_name(activation));
    for (const Shape& shape : std::vector<Shape>{{rows, width}, {width, width}, {width}, {width, width}, {width}})
        c.inputs.push_back({shape});
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        Tensor h = linear(g, in[0], in[1], in[2], activation);
        return activate(g, add(g, linear(g, h, in[3], in[4]), in[0]), activation);
    };
    c.formula = [=](const std::vector<Values>& in) {
        auto product = [&](const Values& x, size_t w) {
            return reference::linear(x, in[w], in[w + 1], size_t(rows), size_t(width), size_t(width));
        };
        Values h = reference::activate(in_reference(activation), product(in[0], 1));
        return reference::activate(in_reference(activation), reference::add(product(h, 3), in[0]));
    };
    c.samples = 6;
    c.gradient_tolerance = 3e-4;
    return c;
}

// y = act(conv^T(act(conv(x)))) with as many channels as asked for: whole vec4s of the result, and others.
OpCase conv_chain(int64_t channels, int64_t hidden, Activation activation) {
    OpCase c;
    c.name = concat_text("conv chain ", channels, "-", hidden, " ", activation_name(activation));
    for (const Shape& shape : std::vector<Shape>{
             {2, 5, 6, channels}, {3, 3, channels, hidden}, {hidden}, {4, 4, channels, hidden}, {channels}})
        c.inputs.push_back({shape});
    Conv2d same = Conv2d::same_sides(1, 1), up = Conv2d::same_sides(2, 1);
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        Tensor h = conv2d(g, in[0], in[1], in[2], same, activation);
        return conv_transpose2d(g, h, in[3], in[4], up, 0, activation);
    };
    reference::Conv2d first = {.n = 2, .h = 5, .w = 6, .cin = size_t(channels), .cout = size_t(hidden), .kh = 3,
                               .kw = 3, .pads = {1, 1, 1, 1}};
    reference::ConvTranspose2d second = {.n = 2, .h = 5, .w = 6, .cin = size_t(hidden), .cout = size_t(channels),
                                         .kh = 4, .kw = 4, .stride = 2, .padding = 1};
    c.formula = [=](const std::vector<Values>& in) {
        Values h = reference::activate(in_reference(activation), reference::conv2d(in[0], in[1], in[2], first));
        return reference::activate(in_reference(activation), reference::conv_transpose2d(h, in[3], in[4], second));
    };
    c.samples = 6;
    c.gradient_tolerance = 3e-4;
    return c;
}

// y = a x + x and y = a x + a: what a step adds is one of the factors.
OpCase factor_added(int64_t rows, int64_t columns, bool first) {
    OpCase c;
    c.name = concat_text("a x + ", first ? "a" : "x", " ", rows, "x", columns);
    c.inputs = {{{rows, rows}}, {{rows, columns}}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return add(g, matmul(g, in[0], in[1]), in[first ? 0 : 1]); };
    c.formula = [=](const std::vector<Values>& in) {
        return reference::add(reference::matmul(in[0], in[1], size_t(rows), size_t(columns), size_t(rows)),
                              in[first ? 0 : 1]);
    };
    return c;
}

// y = act(norm(act(norm(x))) + x): norms end with the steps of both directions.
OpCase residual_norms(const Shape& shape, int groups, Activation activation) {
    size_t n = size_t(shape.front()), channels = size_t(shape.back());
    size_t positions = size_t(element_count(shape)) / n / channels;
    OpCase c;
    c.name = concat_text("residual norms ", to_text(shape), " in ", groups, " ", activation_name(activation));
    c.inputs = {{shape}};
    for (int i = 0; i < 4; i++)
        c.inputs.push_back({{int64_t(channels)}});
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        Tensor h = activate(g, group_norm(g, in[0], in[1], in[2], groups), activation);
        return activate(g, add(g, group_norm(g, h, in[3], in[4], groups), in[0]), activation);
    };
    c.formula = [=](const std::vector<Values>& in) {
        auto norm = [&](const Values& x, size_t gamma) {
            return reference::group_norm(x, in[gamma], in[gamma + 1], n, positions, channels, size_t(groups), 1e-5);
        };
        Values h = reference::activate(in_reference(activation), norm(in[0], 1));
        return reference::activate(in_reference(activation), reference::add(norm(h, 3), in[0]));
    };
    c.samples = 6;
    c.gradient_tolerance = 3e-4;
    return c;
}

enum class Seed { known, runtime };

// The gradient for w of -ELBO's nll of x w, with the data t: what training makes of the last layer. With a runtime seed the
// gradient is multiplied by a number that only kernels know, as by the loss scale.
OpCase last_layer(int64_t rows, int64_t inner, int64_t width, bool bernoulli, Seed seed) {
    OpCase c;
    c.name = concat_text("last layer ", rows, "x", inner, "x", width, bernoulli ? " bernoulli" : " gaussian",
                         seed == Seed::known ? "" : ", runtime seed");
    c.inputs = {{{rows, inner}, false}, {{inner, width}, false}, {.shape = {rows, width}, .gradient = false, .low = 0},
                {.shape = {1}, .gradient = false, .low = 0.5}};
    float scale = 1.0f / float(rows), log_sigma = -0.4f;
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        Tensor p = linear(g, in[0], in[1]);
        Tensor parts = bernoulli ? bernoulli_nll(g, in[2], p, scale)
                                 : gaussian_nll(g, in[2], p, g.constant(log_sigma, {1}), scale);
        Tensor kl = g.constant(0, {1, 1}), wrt[] = {in[1]};
        Tensor loss = elbo_sums(g, parts, kl).loss;
        return g.backward(loss, wrt, {}, seed == Seed::runtime ? in[3] : Tensor{})[0];
    };
    c.formula = [=](const std::vector<Values>& in) {
        size_t m = size_t(rows), k = size_t(inner), n = size_t(width);
        Values p = reference::linear(in[0], in[1], Values(n, 0), m, k, n);
        Values dw(k * n, 0);
        double factor = (seed == Seed::runtime ? in[3][0] : 1) / double(rows);
        for (size_t r = 0; r < m; r++)
            for (size_t j = 0; j < n; j++) {
                double v = p[r * n + j], t = in[2][r * n + j];
                double residual = bernoulli ? 1 / (1 + std::exp(-v)) - t : (v - t) * std::exp(-2 * double(log_sigma));
                for (size_t i = 0; i < k; i++)
                    dw[i * n + j] += factor * residual * in[0][r * k + i];
            }
        return dw;
    };
    return c;
}

// relu and leaky_relu have kinks, where differences are no gradient: their steps are those of the others.
const Activation kSmooth[] = {Activation::elu,     Activation::silu, Activation::gelu,
                              Activation::sigmoid, Activation::tanh, Activation::softplus};
// One whose derivative is computed from its input, and one from its output.
const Activation kBoth[] = {Activation::silu, Activation::tanh};

size_t dispatches(const OpCase& c, bool fuse) {
    OpGraph g(c);
    PlanOptions options = plan_options();
    options.fuse = fuse;
    return Plan(test_device(), g.graph, options).dispatch_count();
}

} // namespace

TEST_CASE("products with activations, their gradients and residual sums are the same with and without fusion") {
    for (Activation activation : kSmooth)
        check(residual_mlp(7, 12, activation)); // rows of whole vec4s
    for (Activation activation : kBoth) {
        check(residual_mlp(5, 7, activation)); // others
        check(conv_chain(4, 8, activation));
        check(conv_chain(3, 5, activation));
    }
    check(residual_mlp(70, 68, Activation::silu)); // more than one tile, and not a multiple of it
    check(conv_chain(3, 40, Activation::silu));
}

TEST_CASE("norms with activations, their gradients and residual sums are the same with and without fusion") {
    for (Activation activation : kBoth) {
        check(residual_norms({2, 3, 3, 8}, 2, activation)); // whole vec4s
        check(residual_norms({2, 3, 3, 6}, 3, activation)); // others
    }
    check(residual_norms({1, 9, 15, 32}, 32, Activation::silu)); // more than one chunk
    check(residual_norms({3, 10, 7, 5}, 1, Activation::silu));
}

TEST_CASE("the product before a likelihood ends with its gradient, the same with and without fusion") {
    for (bool bernoulli : {true, false})
        for (Seed seed : {Seed::known, Seed::runtime})
            for (auto [rows, inner, width] : {std::array<int64_t, 3>{12, 20, 68}, {7, 5, 13}, {1, 1, 1}, {33, 64, 100}}) {
                OpCase c = last_layer(rows, inner, width, bernoulli, seed);
                check(c);
                // The gradient; and what multiplies it, if that is a number of its own.
                CHECK(dispatches(c, false) - dispatches(c, true) == (seed == Seed::known ? 1 : 2));
            }
}

TEST_CASE("a factor of the product can be what a step adds to it") {
    for (int64_t columns : {7, 20, 68})
        check(factor_added(12, columns, false));
    check(factor_added(20, 20, true));
    check(factor_added(9, 9, true));
}

TEST_CASE("fusion takes the elementwise dispatches out of a network") {
    // Forward two activations and a sum, backward the gradient of the inner activation; the gradient of the outer one
    // has no product before it, and that of the residual joins two products.
    OpCase mlp = residual_mlp(7, 12, Activation::silu);
    CHECK(dispatches(mlp, false) - dispatches(mlp, true) == 5);
    OpCase chain = conv_chain(4, 8, Activation::tanh);
    CHECK(dispatches(chain, false) - dispatches(chain, true) == 3);
    // Forward two activations and a sum, backward the gradient of the inner activation and a sum of two gradients.
    OpCase norms = residual_norms({2, 3, 3, 8}, 2, Activation::silu);
    CHECK(dispatches(norms, false) - dispatches(norms, true) == 5);
}
