// The reference is what every kernel is judged by, so it is checked first: by identities, by hand-worked values and by
// central differences.
#include "reference.hpp"

#include "ops/philox.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

using reference::Values;

namespace {

// Fixed noise; `which` keeps the tensors of a test apart.
Values noise(size_t count, uint32_t which) {
    Values x(count);
    for (size_t i = 0; i < count; ++i)
        x[i] = vkvae::random_normal(2024, vkvae::Stream::data, 0, which, static_cast<uint32_t>(i));
    return x;
}

void check_near(const Values& got, const Values& expected, double tolerance = 1e-12) {
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
        CAPTURE(i);
        CHECK(std::abs(got[i] - expected[i]) <= tolerance * (1.0 + std::abs(expected[i])));
    }
}

double total(const Values& x) {
    double sum = 0.0;
    for (double value : x)
        sum += value;
    return sum;
}

// (rows, cols) -> (cols, rows)
Values transpose(const Values& x, size_t rows, size_t cols) {
    Values y(x.size());
    for (size_t r = 0; r < rows; ++r)
        for (size_t c = 0; c < cols; ++c)
            y[c * rows + r] = x[r * cols + c];
    return y;
}

} // namespace

TEST_CASE("reference matmul: a worked product, and the three forms agree through transposes") {
    using reference::MatmulForm;
    check_near(reference::matmul({1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}, 2, 2, 3), {58, 64, 139, 154});
    const size_t m = 3, n = 5, k = 7;
    const Values a = noise(m * k, 0), b = noise(k * n, 1);
    const Values c = reference::matmul(a, b, m, n, k);
    check_near(reference::matmul(a, transpose(b, k, n), m, n, k, MatmulForm::nt), c);
    check_near(reference::matmul(transpose(a, m, k), b, m, n, k, MatmulForm::tn), c);
}

TEST_CASE("reference linear adds its bias to every row") {
    check_near(reference::linear({1, 2, 3, 4}, {1, 0, 2, 0, 1, 3}, {10, 20, 30}, 2, 2, 3), {11, 22, 38, 13, 24, 48});
    check_near(reference::linear({1, 2}, {1, 0, 2, 0, 1, 3}, {}, 1, 2, 3), {1, 2, 8});
}

TEST_CASE("reference conv2d: a worked 3x3 image, with pads on two sides and a stride") {
    const Values x = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    reference::Conv2d c{.h = 3, .w = 3, .kh = 2, .kw = 2};
    check_near(reference::conv2d(x, {1, 10, 100, 1000}, {0.5}, c), {5421.5, 6532.5, 8754.5, 9865.5});
    c.pads = {.top = 1, .left = 1};
    c.stride = 2; // windows (pad, pad, pad, 1) (pad, pad, 2, 3) (pad, 4, pad, 7) (5, 6, 8, 9)
    check_near(reference::conv2d(x, {1, 10, 100, 1000}, {}, c), {1000, 3200, 7040, 9865});
}

TEST_CASE("reference conv2d with a 1x1 kernel is a linear layer over the pixels") {
    const reference::Conv2d c{.n = 2, .h = 3, .w = 4, .cin = 5, .cout = 3};
    const Values x = noise(2 * 3 * 4 * 5, 0), weight = noise(5 * 3, 1), bias = noise(3, 2);
    check_near(reference::conv2d(x, weight, bias, c), reference::linear(x, weight, bias, 2 * 3 * 4, 5, 3));
}

TEST_CASE("reference conv_transpose2d is the adjoint of conv2d: <conv(x), y> = <x, convT(y)>") {
    struct Case {
        size_t h, w, kernel, stride, padding, output_padding;
    };
    for (const Case& k : {Case{5, 6, 3, 1, 1, 0}, Case{8, 6, 4, 2, 1, 0}, Case{7, 9, 3, 2, 1, 0},
                          Case{8, 8, 3, 2, 1, 1}, Case{5, 5, 5, 1, 0, 0}, Case{10, 13, 3, 3, 0, 1}}) {
        CAPTURE(k.h);
        CAPTURE(k.kernel);
        CAPTURE(k.stride);
        const reference::Conv2d conv{.n = 2,
                                     .h = k.h,
                                     .w = k.w,
                                     .cin = 3,
                                     .cout = 4,
                                     .kh = k.kernel,
                                     .kw = k.kernel,
                                     .stride = k.stride,
                                     .pads = {k.padding, k.padding, k.padding, k.padding}};
        const reference::ConvTranspose2d back{.n = 2,
                                              .h = conv.out_h(),
                                              .w = conv.out_w(),
                                              .cin = 4,
                                              .cout = 3,
                                              .kh = k.kernel,
                                              .kw = k.kernel,
                                              .stride = k.stride,
                                              .padding = k.padding,
                                              .output_padding = k.output_padding};
        REQUIRE(back.out_h() == k.h);
        REQUIRE(back.out_w() == k.w);
        const Values x = noise(2 * k.h * k.w * 3, 0), weight = noise(k.kernel * k.kernel * 3 * 4, 1);
        const Values y = noise(2 * conv.out_h() * conv.out_w() * 4, 2);
        const double forward = reference::dot(reference::conv2d(x, weight, {}, conv), y);
        const double backward = reference::dot(x, reference::conv_transpose2d(y, weight, {}, back));
        CHECK(forward == doctest::Approx(backward).epsilon(1e-12));
    }
}

TEST_CASE("reference conv_transpose2d: a worked stride-2 row, its bias, and PyTorch's output size") {
    const reference::ConvTranspose2d c{.h = 1, .w = 2, .kh = 1, .kw = 3, .stride = 2};
    check_near(reference::conv_transpose2d({1, 10}, {1, 2, 3}, {0.5}, c), {1.5, 2.5, 13.5, 20.5, 30.5});
    const reference::ConvTranspose2d doubling{
        .h = 7, .w = 4, .kh = 3, .kw = 3, .stride = 2, .padding = 1, .output_padding = 1};
    CHECK(doubling.out_h() == 14);
    CHECK(doubling.out_w() == 8);
}

TEST_CASE("reference activations: known values") {
    using reference::Activation;
    const auto at = [](Activation activation, double x) { return reference::activate(activation, x); };
    CHECK(at(Activation::relu, -2.0) == 0.0);
    CHECK(at(Activation::leaky_relu, -2.0) == doctest::Approx(-0.02));
    CHECK(at(Activation::elu, -1.0) == doctest::Approx(-0.6321205588));
    CHECK(at(Activation::silu, 1.0) == doctest::Approx(0.7310585786));
    CHECK(at(Activation::gelu, 1.0) == doctest::Approx(0.8413447461));
    CHECK(at(Activation::sigmoid, -1.0) == doctest::Approx(0.2689414214));
    CHECK(at(Activation::tanh, 0.5) == doctest::Approx(0.4621171573));
    CHECK(at(Activation::softplus, 0.0) == doctest::Approx(0.6931471806));
    for (double x : {-1000.0, 1000.0}) // no overflow far out
        for (Activation activation : reference::kActivations) {
            CHECK(std::isfinite(reference::activate(activation, x)));
            CHECK(std::isfinite(reference::activation_derivative(activation, x)));
        }
}

TEST_CASE("reference activation derivatives agree with central differences") {
    for (reference::Activation activation : reference::kActivations)
        for (double x : {-6.3, -2.0, -0.7, -0.05, 0.05, 0.4, 1.1, 3.0, 8.0}) { // none within 2h of the kinks at 0
            CAPTURE(static_cast<int>(activation));
            CAPTURE(x);
            const double numeric = reference::numeric_gradient(
                [&](const std::vector<Values>& in) { return reference::activate(activation, in[0][0]); }, {{x}}, 0, 0);
            CHECK(std::abs(numeric - reference::activation_derivative(activation, x)) < 1e-10);
        }
}

TEST_CASE("reference add, sub, mul broadcast over the leading dimensions") {
    const Values a = {1, 2, 3, 4, 5, 6}, b = {10, 20, 30};
    check_near(reference::add(a, b), {11, 22, 33, 14, 25, 36});
    check_near(reference::sub(a, b), {-9, -18, -27, -6, -15, -24});
    check_near(reference::mul(a, b), {10, 40, 90, 40, 100, 180});
    check_near(reference::mul(a, {2}), reference::scale(a, 2.0));
    CHECK_THROWS(reference::add(a, {1, 2, 3, 4}));
}

TEST_CASE("reference reductions run over the middle axis") {
    using reference::Reduction;
    const Values x = {1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6}; // (2, 3, 2)
    check_near(reference::reduce(x, 2, 3, 2, Reduction::sum), {9, 12, -9, -12});
    check_near(reference::reduce(x, 2, 3, 2, Reduction::mean), {3, 4, -3, -4});
    check_near(reference::reduce(x, 2, 3, 2, Reduction::max), {5, 6, -1, -2});
    check_near(reference::reduce(x, 1, 12, 1, Reduction::sum), {0});
}

TEST_CASE("reference softmax sums to 1, ignores a shift, and survives large inputs") {
    const Values x = noise(4 * 9, 0);
    const Values y = reference::softmax(x, 4, 9);
    check_near(reference::reduce(y, 4, 9, 1, reference::Reduction::sum), {1, 1, 1, 1});
    check_near(reference::softmax(reference::add(x, {1000.0}), 4, 9), y, 1e-11);
    check_near(reference::softmax({0.0, std::log(3.0)}, 1, 2), {0.25, 0.75});
}

TEST_CASE("reference layer_norm has mean beta and variance gamma^2") {
    const size_t rows = 3, cols = 8;
    const Values y = reference::layer_norm(noise(rows * cols, 0), {}, {}, rows, cols, 0.0);
    for (size_t r = 0; r < rows; ++r) {
        const Values row = reference::slice(y, 1, rows, cols, r, 1);
        CHECK(std::abs(total(row)) < 1e-12);
        CHECK(reference::dot(row, row) == doctest::Approx(static_cast<double>(cols)));
    }
    check_near(reference::layer_norm({1, 3}, {2, 5}, {10, 20}, 1, 2, 0.0), {8, 25});
    check_near(reference::layer_norm({1, 3}, {}, {}, 1, 2, 3.0), {-0.5, 0.5}); // eps under the root: 1 / sqrt(1 + 3)
}

TEST_CASE("reference group_norm with one group and one pixel is layer_norm") {
    const Values x = noise(5 * 6, 0), gamma = noise(6, 1), beta = noise(6, 2);
    check_near(reference::group_norm(x, gamma, beta, 5, 1, 6, 1, 1e-5),
               reference::layer_norm(x, gamma, beta, 5, 6, 1e-5));
}

TEST_CASE("reference group_norm normalizes each group over its channels and all pixels") {
    const size_t n = 2, s = 5, c = 6, groups = 3, width = c / groups;
    const Values x = noise(n * s * c, 0);
    const Values y = reference::group_norm(x, {}, {}, n, s, c, groups, 1e-5);
    for (size_t g = 0; g < groups; ++g) // a group, cut out, is a layer norm of its (S, width) numbers
        check_near(
            reference::slice(y, n * s, c, 1, g * width, width),
            reference::layer_norm(reference::slice(x, n * s, c, 1, g * width, width), {}, {}, n, s * width, 1e-5));
}

TEST_CASE("reference upsample_nearest2x repeats every pixel four times") {
    check_near(reference::upsample_nearest2x({1, 2, 3, 4}, 1, 1, 2, 2),
               {1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4});
    const Values x = noise(2 * 3 * 5 * 4, 0);
    CHECK(total(reference::upsample_nearest2x(x, 2, 3, 5, 4)) == doctest::Approx(4.0 * total(x)));
}

TEST_CASE("reference slice takes apart what concat put together") {
    const Values a = noise(3 * 2 * 4, 0), b = noise(3 * 5 * 4, 1), c = noise(3 * 1 * 4, 2);
    const Values joined = reference::concat({a, b, c}, 3, {2, 5, 1}, 4);
    check_near(reference::slice(joined, 3, 8, 4, 0, 2), a);
    check_near(reference::slice(joined, 3, 8, 4, 2, 5), b);
    check_near(reference::slice(joined, 3, 8, 4, 7, 1), c);
    check_near(reference::concat({{1, 2}, {3, 4, 5, 6}}, 2, {1, 2}, 1), {1, 3, 4, 2, 5, 6});
    CHECK_THROWS(reference::slice(joined, 3, 8, 4, 7, 2));
}

TEST_CASE("reference rsample shifts by mu and scales by sigma, not by the variance") {
    check_near(reference::rsample({1, 2}, {0, 2 * std::log(3.0)}, {0.5, -1}), {1.5, -1});
}

TEST_CASE("reference kl is 0 at the prior, and the integral of q log(q / p) elsewhere") {
    CHECK(reference::kl({0.0}, {0.0})[0] == 0.0);
    for (double mu : {-1.5, 0.0, 0.8})
        for (double logvar : {-2.0, 0.3}) {
            const double sigma = std::exp(0.5 * logvar), dz = 1e-3 * sigma;
            double integral = 0.0;
            for (int i = -10000; i <= 10000; ++i) { // ten sigma each way
                const double t = i * 1e-3, z = mu + sigma * t;
                const double log_q = -0.5 * (t * t + logvar), log_p = -0.5 * z * z; // both less log(2 pi) / 2
                integral += std::exp(log_q) / std::sqrt(2.0 * std::numbers::pi) * (log_q - log_p) * dz;
            }
            CHECK(reference::kl({mu}, {logvar})[0] == doctest::Approx(integral).epsilon(1e-9));
            CHECK(reference::kl({mu}, {logvar})[0] ==
                  doctest::Approx(0.5 * (mu * mu + std::exp(logvar) - 1.0 - logvar)).epsilon(1e-12));
        }
}

TEST_CASE("reference bernoulli_nll is the plain cross-entropy, and stays finite for sure logits") {
    const Values logits = noise(6, 0), x = {0, 1, 0.25, 1, 0, 0.5};
    Values expected(2, 0.0);
    for (size_t i = 0; i < 6; ++i) {
        const double p = 1.0 / (1.0 + std::exp(-logits[i]));
        expected[i / 3] -= x[i] * std::log(p) + (1.0 - x[i]) * std::log(1.0 - p);
    }
    check_near(reference::bernoulli_nll(logits, x, 2, 3), expected);
    check_near(reference::bernoulli_nll({1000, -1000}, {0, 1}, 2, 1), {1000, 1000});
    check_near(reference::bernoulli_nll({1000, -1000}, {1, 0}, 2, 1), {0, 0});
}

TEST_CASE("reference gaussian_nll is minus the log of a density that integrates to 1") {
    for (double log_sigma : {-1.0, 0.0, 0.7}) {
        double integral = 0.0;
        const double sigma = std::exp(log_sigma), dx = 1e-3 * sigma;
        for (int i = -10000; i <= 10000; ++i)
            integral += std::exp(-reference::gaussian_nll({0.4}, {0.4 + i * dx}, 1, 1, log_sigma)[0]) * dx;
        CHECK(integral == doctest::Approx(1.0).epsilon(1e-9));
    }
    // Standard normal at its mean: log(2 pi) / 2 an element, summed over D and not over N.
    check_near(reference::gaussian_nll(Values(6, 1.0), Values(6, 1.0), 2, 3, 0.0), Values(2, 3 * 0.9189385332046727));
}

TEST_CASE("reference gaussian_nll has its best shared sigma at the root mean square error") {
    const Values mean = noise(12, 0), x = noise(12, 1), error = reference::sub(x, mean);
    const double best = 0.5 * std::log(reference::dot(error, error) / 12.0);
    const auto nll = [&](const std::vector<Values>& in) {
        return total(reference::gaussian_nll(mean, x, 3, 4, in[0][0]));
    };
    CHECK(std::abs(reference::numeric_gradient(nll, {{best}}, 0, 0)) < 1e-8);
}

TEST_CASE("reference adam: the first step has length lr whatever the gradient, and decay acts as its kind says") {
    using reference::WeightDecay;
    Values w = {1.0, 1.0}, m(2, 0.0), v(2, 0.0);
    reference::adam_step(w, {100.0, -0.01}, m, v, 1, {.learning_rate = 0.1, .eps = 0.0});
    check_near(w, {0.9, 1.1});
    // No gradient: AdamW shrinks by 1 - lr wd; Adam with L2 sees the gradient wd w and takes a full step.
    Values decoupled = {2.0}, l2 = {2.0}, m1 = {0.0}, v1 = {0.0}, m2 = {0.0}, v2 = {0.0};
    reference::adam_step(decoupled, {0.0}, m1, v1, 1, {.learning_rate = 0.1, .weight_decay = 0.5});
    reference::adam_step(l2, {0.0}, m2, v2, 1,
                         {.learning_rate = 0.1, .eps = 0.0, .weight_decay = 0.5, .decay = WeightDecay::l2});
    check_near(decoupled, {1.9});
    check_near(l2, {1.9});
    check_near(m1, {0.0});
    check_near(m2, {0.1});
    // Two steps by hand, g = 1 then 2: m = 0.1, 0.29; v = 0.001, 0.004999.
    Values w2 = {0.0}, m3 = {0.0}, v3 = {0.0};
    reference::adam_step(w2, {1.0}, m3, v3, 1, {.learning_rate = 1.0, .eps = 0.0});
    reference::adam_step(w2, {2.0}, m3, v3, 2, {.learning_rate = 1.0, .eps = 0.0});
    check_near(m3, {0.29});
    check_near(v3, {0.004999});
    check_near(w2, {-1.0 - (0.29 / 0.19) / std::sqrt(0.004999 / 0.001999)});
}

TEST_CASE("reference sgd: momentum adds the earlier gradients, and decay is a gradient") {
    Values w = {1.0}, m = {0.0};
    reference::sgd_step(w, {1.0}, m, 0.1, 0.9);
    check_near(w, {0.9});
    reference::sgd_step(w, {1.0}, m, 0.1, 0.9);
    check_near(w, {0.71});
    Values w2 = {2.0}, m2 = {0.0};
    reference::sgd_step(w2, {0.0}, m2, 0.1, 0.0, 0.5);
    check_near(w2, {1.9});
}

TEST_CASE("reference clip_global_norm scales all gradients together, and leaves short ones alone") {
    std::vector<Values> gradients = {{3.0}, {0.0, 4.0}};
    CHECK(reference::clip_global_norm(gradients, 10.0) == doctest::Approx(5.0));
    check_near(gradients[0], {3.0});
    CHECK(reference::clip_global_norm(gradients, 1.0) == doctest::Approx(5.0));
    check_near(gradients[0], {0.6}, 1e-6);
    check_near(gradients[1], {0.0, 0.8}, 1e-6);
}

TEST_CASE("reference numeric_gradient is exact for quartics and finds the gradient of every input") {
    const auto f = [](const std::vector<Values>& in) {
        return std::pow(in[0][1], 4.0) + in[0][0] * in[1][0] * in[1][0];
    };
    const std::vector<Values> inputs = {{2.0, 3.0}, {5.0}};
    CHECK(reference::numeric_gradient(f, inputs, 0, 1, 0.1) == doctest::Approx(108.0).epsilon(1e-11));
    check_near(reference::numeric_gradients(f, inputs, 0), {25.0, 108.0}, 1e-10);
    check_near(reference::numeric_gradients(f, inputs, 1), {20.0}, 1e-10);
    // A matrix product: d sum(A B) / dA = rows of column sums of B'.
    const Values a = noise(2 * 3, 0), b = noise(3 * 4, 1);
    const auto sum_of_product = [](const std::vector<Values>& in) {
        return total(reference::matmul(in[0], in[1], 2, 4, 3));
    };
    check_near(reference::numeric_gradients(sum_of_product, {a, b}, 0),
               reference::matmul(Values(2 * 4, 1.0), b, 2, 3, 4, reference::MatmulForm::nt), 1e-10);
}
