// The contract of ops/likelihood_wide and ops/multinomial: log-probabilities and their gradients, against formulas as the
// textbooks have them, in double precision; sums to one; no parameter gives an infinity.
#include "op_check.hpp"

#include <numeric>

using namespace vkvae;
using namespace vkvae::test;

namespace {

// -log p(x | p[0], p[1], ...) of one element.
using Nll = std::function<double(double x, std::span<const double> p)>;
// Of which the x are uniform in [0, 1), or one of 0 ... levels - 1 times `unit`.
struct Data {
    uint32_t levels = 0;
    float unit = 1;
};

std::vector<float> draw_data(int64_t count, const Data& data) {
    std::vector<float> x(static_cast<size_t>(count));
    for (size_t i = 0; i < x.size(); i++)
        x[i] = data.levels > 0 ? data.unit * float(random_below(7, Stream::data, 3, uint32_t(i), data.levels))
                               : random_uniform(7, Stream::data, 0, 3, uint32_t(i));
    return x;
}

OpCase wide_case(Wide kind, int64_t n, int64_t d, int64_t size, double reach, const Data& data, const Nll& nll) {
    OpCase c;
    c.name = concat_text("likelihood ", int(kind), " (", n, ", ", d, ") of ", size, " parameters within ", reach);
    c.inputs = {{.shape = {n, d}, .gradient = false, .values = draw_data(n * d, data)},
                {.shape = {n, d * size}, .low = -reach, .high = reach}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return sum(g, wide_nll(g, kind, in[0], in[1], 0.5f), 1, 1); };
    c.formula = [=](const std::vector<Values>& in) {
        Values y(size_t(n), 0.0);
        for (size_t i = 0; i < in[0].size(); i++)
            y[i / size_t(d)] += 0.5 * nll(in[0][i], std::span(in[1]).subspan(i * size_t(size), size_t(size)));
        return y;
    };
    c.samples = n > 1000 ? 2 : 10;
    c.gradient_tolerance = 2e-4; // of sums of logarithms whose derivative is small
    return c;
}

// Odd shapes, whole vectors, long rows and many of them.
void check_shapes(Wide kind, int64_t size, double reach, const Data& data, const Nll& nll) {
    for (auto [n, d] : {std::pair<int64_t, int64_t>{1, 1}, {7, 13}, {8, 16}, {5, 785}})
        check(wide_case(kind, n, d, size, reach, data, nll));
}

std::vector<float> values_of(const std::function<Tensor(Graph&, Tensor, Tensor)>& build, const Shape& x_shape,
                             std::vector<float> x, const Shape& p_shape, std::vector<float> p, bool gradient) {
    Graph g;
    Tensor tx = g.input(x_shape, "x"), tp = g.input(p_shape, "p"), y = build(g, tx, tp);
    Tensor wrt[] = {tp};
    Tensor result = gradient ? g.backward(sum(g, y), wrt)[0] : y;
    g.keep(result);
    Plan plan(test_device(), g, plan_options());
    plan.write(tx, std::span<const float>(x));
    plan.write(tp, std::span<const float>(p));
    plan.run();
    return plan.read(result);
}

// The nll of each of `x` with the same parameters.
std::vector<float> nll_of(Wide kind, const std::vector<float>& x, const std::vector<float>& p) {
    std::vector<float> repeated;
    for (size_t i = 0; i < x.size(); i++)
        repeated.insert(repeated.end(), p.begin(), p.end());
    int64_t n = int64_t(x.size()), size = int64_t(p.size());
    return values_of([&](Graph& g, Tensor a, Tensor b) { return wide_nll(g, kind, a, b); }, {n, 1}, x, {n, size},
                     repeated, false);
}

std::vector<float> gradient_of(Wide kind, float x, const std::vector<float>& p) {
    return values_of([&](Graph& g, Tensor a, Tensor b) { return wide_nll(g, kind, a, b); }, {1, 1}, {x},
                     {1, int64_t(p.size())}, p, true);
}

std::vector<float> mean_of(Wide kind, const std::vector<float>& p, int64_t size) {
    Graph g;
    Tensor tp = g.input({1, int64_t(p.size())}, "p"), y = wide_mean(g, kind, tp, size);
    g.keep(y);
    Plan plan(test_device(), g, plan_options());
    plan.write(tp, std::span<const float>(p));
    plan.run();
    return plan.read(y);
}

void check_finite(Wide kind, std::span<const float> x, const std::vector<std::vector<float>>& parameters) {
    for (const std::vector<float>& p : parameters)
        for (float value : x) {
            INFO("likelihood ", int(kind), " x ", value, " p[0] ", p[0], " p[last] ", p.back());
            CHECK(std::isfinite(nll_of(kind, {value}, p)[0]));
            for (float d : gradient_of(kind, value, p))
                CHECK(std::isfinite(d));
        }
}

double total_probability(const std::vector<float>& nll) {
    double total = 0;
    for (float value : nll)
        total += std::exp(-double(value));
    return total;
}

std::vector<float> integers(int count, float unit = 1) {
    std::vector<float> x;
    for (int i = 0; i < count; i++)
        x.push_back(unit * float(i));
    return x;
}

double log_sum_exp(std::span<const double> values) {
    double largest = *std::max_element(values.begin(), values.end()), total = 0;
    for (double v : values)
        total += std::exp(v - largest);
    return largest + std::log(total);
}

double poisson(double x, std::span<const double> p) { return std::exp(p[0]) - x * p[0] + std::lgamma(x + 1); }

double negative_binomial(double x, std::span<const double> p) {
    double m = std::exp(p[0]), r = std::exp(-p[1]);
    return -(std::lgamma(x + r) - std::lgamma(r) - std::lgamma(x + 1) + r * std::log(r / (r + m)) +
             x * std::log(m / (r + m)));
}

// In the paper's parameter lambda: the normaliser is 2 atanh(1 - 2 lambda) / (1 - 2 lambda).
double continuous_bernoulli(double x, std::span<const double> p) {
    double lambda = 1 / (1 + std::exp(-p[0])), u = 1 - 2 * lambda;
    double c = std::abs(u) < 1e-4 ? 2 + 2 * u * u / 3 : 2 * std::atanh(u) / u;
    return -(x * std::log(lambda) + (1 - x) * std::log1p(-lambda) + std::log(c));
}

double gaussian_pair(double x, std::span<const double> p) {
    return 0.5 * std::pow((x - p[0]) / std::exp(p[1]), 2) + p[1] + 0.5 * std::log(2 * std::numbers::pi);
}

double categorical(double x, std::span<const double> p) { return log_sum_exp(p) - p[size_t(x)]; }

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double logistic_level(double x, double mean, double log_scale) {
    double y = 2 * x - 1, s = std::exp(log_scale);
    double a = (y - mean + 1.0 / 255) / s, b = (y - mean - 1.0 / 255) / s;
    if (x < 0.001)
        return sigmoid(a);
    if (x > 0.999)
        return sigmoid(-b);
    return a + b < 0 ? sigmoid(a) - sigmoid(b) : sigmoid(-b) - sigmoid(-a); // of the smaller ones
}

double discretised_logistic(double x, std::span<const double> p) {
    if (p.size() == 2)
        return -std::log(logistic_level(x, p[0], p[1]));
    size_t k = p.size() / 3;
    double weights = log_sum_exp(p.first(k)), total = 0;
    for (size_t i = 0; i < k; i++)
        total += std::exp(p[i] - weights) * logistic_level(x, p[k + i], p[2 * k + i]);
    return -std::log(total);
}

OpCase laplace_case(int64_t n, int64_t d) {
    OpCase c;
    c.name = concat_text("laplace_nll (", n, ", ", d, ")");
    // The data are apart from the medians: at a kink there is no gradient to compare with.
    c.inputs = {{.shape = {n, d}, .gradient = false, .low = -3, .high = 3, .away_from_zero = 1.5},
                {.shape = {n, d}},
                {{1}}};
    c.build = [](Graph& g, std::span<const Tensor> in) { return sum(g, laplace_nll(g, in[0], in[1], in[2], 0.5f), 1, 1); };
    c.formula = [=](const std::vector<Values>& in) {
        Values y(size_t(n), 0.0);
        for (size_t i = 0; i < in[0].size(); i++)
            y[i / size_t(d)] += 0.5 * (std::abs(in[0][i] - in[1][i]) / std::exp(in[2][0]) + in[2][0] + std::log(2.0));
        return y;
    };
    return c;
}

OpCase multinomial_case(int64_t n, int64_t d, double reach) {
    OpCase c;
    c.name = concat_text("multinomial_nll (", n, ", ", d, ")");
    c.inputs = {{.shape = {n, d}, .gradient = false, .values = draw_data(n * d, {4})},
                {.shape = {n, d}, .low = -reach, .high = reach}};
    c.build = [](Graph& g, std::span<const Tensor> in) { return sum(g, multinomial_nll(g, in[0], in[1], 0.5f), 1, 1); };
    c.formula = [=](const std::vector<Values>& in) {
        Values y;
        for (size_t row = 0; row < size_t(n); row++) {
            std::span<const double> x(in[0].data() + row * size_t(d), size_t(d));
            std::span<const double> l(in[1].data() + row * size_t(d), size_t(d));
            double s = log_sum_exp(l), total = 0, nll = 0;
            for (size_t i = 0; i < x.size(); i++) {
                nll += x[i] * (s - l[i]) + std::lgamma(x[i] + 1);
                total += x[i];
            }
            y.push_back(0.5 * (nll - std::lgamma(total + 1)));
        }
        return y;
    };
    return c;
}

} // namespace

TEST_CASE("laplace_nll and its gradients, with a learned scale") {
    for (auto [n, d] : {std::pair<int64_t, int64_t>{1, 1}, {7, 13}, {8, 16}, {5, 785}})
        check(laplace_case(n, d));
}

TEST_CASE("a constant Laplace scale and a constant seed, as in training: the gradient is a sign, not a residual") {
    OpCase c = laplace_case(4, 9);
    c.inputs.pop_back();
    c.build = [](Graph& g, std::span<const Tensor> in) {
        return mean(g, sum(g, laplace_nll(g, in[0], in[1], g.constant(-0.5f, {1})), 1, 1));
    };
    c.formula = [](const std::vector<Values>& in) {
        double total = 0;
        for (size_t i = 0; i < in[0].size(); i++)
            total += std::abs(in[0][i] - in[1][i]) * std::exp(0.5) - 0.5 + std::log(2.0);
        return Values{total / 4};
    };
    check(c);
}

TEST_CASE("wide likelihoods: log-probabilities and gradients") {
    check_shapes(Wide::continuous_bernoulli, 1, 3, {}, continuous_bernoulli);
    check_shapes(Wide::poisson, 1, 3, {.levels = 40}, poisson);
    check_shapes(Wide::gaussian_pair, 2, 1, {}, gaussian_pair);
    check_shapes(Wide::negative_binomial, 2, 2, {.levels = 40}, negative_binomial);
    check_shapes(Wide::categorical, 5, 3, {.levels = 5}, categorical);
    check_shapes(Wide::discretised_logistic, 2, 2, {.levels = 256, .unit = 1.0f / 255}, discretised_logistic);
    check_shapes(Wide::discretised_logistic, 15, 2, {.levels = 256, .unit = 1.0f / 255}, discretised_logistic);
    check(wide_case(Wide::categorical, 3, 20, 27, 4, {.levels = 27}, categorical));
    check(wide_case(Wide::categorical, 65537, 2, 2, 3, {.levels = 2}, categorical));
}

TEST_CASE("the mean of the rows, as in training: gradients through a constant seed") {
    OpCase c = wide_case(Wide::negative_binomial, 6, 100, 2, 2, {.levels = 30}, negative_binomial);
    Nll nll = negative_binomial;
    c.build = [](Graph& g, std::span<const Tensor> in) {
        return mean(g, sum(g, wide_nll(g, Wide::negative_binomial, in[0], in[1]), 1, 1));
    };
    c.formula = [=](const std::vector<Values>& in) {
        double total = 0;
        for (size_t i = 0; i < in[0].size(); i++)
            total += nll(in[0][i], std::span(in[1]).subspan(2 * i, 2));
        return Values{total / 6};
    };
    check(c);
}

TEST_CASE("probabilities add up to one") {
    const std::vector<float> levels = integers(256, 1.0f / 255);
    for (std::vector<float> p : {std::vector<float>{0, 0}, {0.3f, -4}, {-1.2f, -2}, {40, -3}, {0.01f, -9}})
        CHECK(total_probability(nll_of(Wide::discretised_logistic, levels, p)) == doctest::Approx(1).epsilon(1e-5));
    CHECK(total_probability(nll_of(Wide::discretised_logistic, levels, {1, -1, 0.5f, -0.2f, -3, -4})) ==
          doctest::Approx(1).epsilon(1e-5));
    CHECK(total_probability(nll_of(Wide::poisson, integers(60), {2.5f})) == doctest::Approx(1).epsilon(1e-5));
    CHECK(total_probability(nll_of(Wide::negative_binomial, integers(400), {2, -1})) == doctest::Approx(1).epsilon(1e-5));
    CHECK(total_probability(nll_of(Wide::categorical, integers(4), {1, -2, 5, 0})) == doctest::Approx(1).epsilon(1e-5));
    std::vector<float> rows, logits; // all ways for three to fall on three places
    for (int a = 0; a <= 3; a++)
        for (int b = 0; a + b <= 3; b++) {
            rows.insert(rows.end(), {float(a), float(b), float(3 - a - b)});
            logits.insert(logits.end(), {0.5f, -1, 2});
        }
    CHECK(total_probability(values_of([](Graph& g, Tensor x, Tensor l) { return multinomial_nll(g, x, l); }, {10, 3}, rows,
                                      {10, 3}, logits, false)) == doctest::Approx(1).epsilon(1e-5));
}

TEST_CASE("the continuous Bernoulli keeps its digits around logits of 0 and far away") {
    for (double p : {0.0, 1e-6, 1e-3, 0.1, 0.999, 1.001, 5.0, 30.0, 100.0})
        for (double sign : {-1.0, 1.0}) {
            double at = double(float(sign * p));
            // The integral of e^(p x) over [0, 1] by Taylor's series of (e^p - 1) / p, or itself.
            double series = 1 + at / 2 + at * at / 6 + at * at * at / 24;
            double expected = std::log(std::abs(at) < 1e-2 ? series : std::expm1(at) / at) - 0.25 * at;
            float got = nll_of(Wide::continuous_bernoulli, {0.25f}, {float(at)})[0];
            INFO("logit ", at, ": ", got, " instead of ", expected);
            CHECK(std::abs(got - expected) <= 2e-6 * std::max(1.0, std::abs(expected)));
            double mean = std::abs(at) < 1e-2 ? 0.5 + at / 12 : -1 / std::expm1(-at) - 1 / at;
            CHECK(std::abs(mean_of(Wide::continuous_bernoulli, {float(at)}, 1)[0] - mean) <= 1e-6);
        }
}

TEST_CASE("the negative binomial with hardly any dispersion is a Poisson") {
    for (float x : {0.0f, 1.0f, 7.0f, 300.0f, 20000.0f}) {
        float rate = x > 100 ? std::log(x) + 0.1f : 1.5f;
        float poisson_nll = nll_of(Wide::poisson, {x}, {rate})[0];
        float nll = nll_of(Wide::negative_binomial, {x}, {rate, -15})[0];
        INFO("x ", x, ": ", nll, " instead of ", poisson_nll);
        CHECK(std::abs(nll - poisson_nll) <= 2e-4 * x + 1e-4); // 3e-7 m of dispersion, and digits of x log r
    }
}

TEST_CASE("no parameters make an infinity") {
    const float levels[] = {0, 1 / 255.0f, 0.5f, 254 / 255.0f, 1}, counts[] = {0, 1, 9, 1000, 1e6f}, tokens[] = {0, 2};
    check_finite(Wide::continuous_bernoulli, levels, {{-100}, {100}, {0}, {1e-30f}, {-1e30f}});
    check_finite(Wide::poisson, counts, {{-20}, {20}, {0}});
    check_finite(Wide::negative_binomial, counts, {{-20, -20}, {20, -20}, {-20, 20}, {20, 20}, {0, -100}, {0, 100}});
    check_finite(Wide::gaussian_pair, levels, {{100, -100}, {-100, 100}, {0, -1e30f}});
    check_finite(Wide::categorical, tokens, {{-100, 100, 0}, {100, -100, 100}, {1e30f, -1e30f, 0}});
    check_finite(Wide::discretised_logistic, levels, {{100, -100}, {-100, 100}, {-1, -7}, {0, 1e30f}});
    check_finite(Wide::discretised_logistic, levels, {{-100, 100, 100, -100, -100, 100}, {100, 100, 1, 1, -100, -100}});
    std::vector<float> x = {1000, 0, 3}, l = {-100, 100, 1e4f};
    for (bool gradient : {false, true})
        for (float v : values_of([](Graph& g, Tensor a, Tensor b) { return multinomial_nll(g, a, b); }, {1, 3}, x, {1, 3},
                                 l, gradient))
            CHECK(std::isfinite(v));
}

TEST_CASE("beyond their limits log scales have no gradient") {
    CHECK(gradient_of(Wide::gaussian_pair, 0.3f, {0, -8})[1] == 0);
    CHECK(gradient_of(Wide::gaussian_pair, 0.3f, {0, -6})[1] != 0);
    CHECK(gradient_of(Wide::negative_binomial, 3, {0, 16})[1] == 0);
    CHECK(gradient_of(Wide::discretised_logistic, 0.2f, {0, 7.5f})[1] == 0);
    CHECK(gradient_of(Wide::discretised_logistic, 0.2f, {0, 6.5f})[1] != 0);
}

TEST_CASE("means are in the data's range, and the most probable class stands for a mean") {
    auto near = [](const std::vector<float>& got, std::vector<double> expected) {
        REQUIRE(got.size() == expected.size());
        for (size_t i = 0; i < got.size(); i++)
            CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-5));
    };
    near(mean_of(Wide::poisson, {0, 2, -3}, 1), {1, std::exp(2.0), std::exp(-3.0)});
    near(mean_of(Wide::negative_binomial, {1, 5, -1, 0}, 2), {std::exp(1.0), std::exp(-1.0)});
    near(mean_of(Wide::gaussian_pair, {0.25f, 5, -1, 0}, 2), {0.25, -1});
    near(mean_of(Wide::categorical, {0, 3, 1, -2, -1, -2, 4, 0, 4}, 3), {1, 1, 0});
    near(mean_of(Wide::discretised_logistic, {0, -3, -1, -3, 7, 0}, 2), {0.5, 0, 1});
    near(mean_of(Wide::discretised_logistic, {1, 1, -1, 0.5f, -3, -3}, 6), {0.375});
}

TEST_CASE("multinomial_nll and its gradient") {
    for (auto [n, d] : {std::pair<int64_t, int64_t>{1, 1}, {7, 13}, {8, 16}, {5, 785}})
        check(multinomial_case(n, d, 3));
    check(multinomial_case(3, 7, 90));
    OpCase none = multinomial_case(2, 5, 1); // a row without any counts is certain
    none.inputs[0].values.assign(10, 0.0f);
    none.inputs[0].values[7] = 2;
    check(none);
}

TEST_CASE("wrong shapes and impossible numbers of parameters are refused") {
    Graph g;
    Tensor x = g.input({2, 3}, "x"), p = g.input({2, 12}, "p"), odd = g.input({2, 7}, "odd");
    CHECK_THROWS_WITH_AS(wide_nll(g, Wide::categorical, x, odd), doctest::Contains("(2, 7)"), Error);
    CHECK_THROWS_WITH_AS(wide_nll(g, Wide::poisson, x, p), doctest::Contains("4 parameters"), Error);
    CHECK_THROWS_WITH_AS(wide_nll(g, Wide::discretised_logistic, x, p), doctest::Contains("4 parameters"), Error);
    CHECK_THROWS_WITH_AS(multinomial_nll(g, x, p), doctest::Contains("(2, 12)"), Error);
    Tensor wrt[] = {x}, loss = sum(g, wide_nll(g, Wide::categorical, x, p));
    CHECK_THROWS_WITH_AS(g.backward(loss, wrt), doctest::Contains("no gradient"), Error);
}
