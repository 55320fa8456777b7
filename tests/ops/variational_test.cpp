// The contract of ops/rsample and ops/likelihood: the terms of the evidence lower bound.
#include "op_check.hpp"

#include <numbers>
#include <numeric>

using namespace vkvae;
using namespace vkvae::test;

namespace {

OpCase bernoulli_case(int64_t n, int64_t d, double reach, float scale) {
    OpCase c;
    c.name = concat_text("bernoulli_nll (", n, ", ", d, ") logits within ", reach);
    c.inputs = {{.shape = {n, d}, .gradient = false, .low = 0, .high = 1}, {.shape = {n, d}, .low = -reach, .high = reach}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return sum(g, bernoulli_nll(g, in[0], in[1], scale), 1, 1); };
    c.formula = [=](const std::vector<Values>& in) {
        return reference::scale(reference::bernoulli_nll(in[1], in[0], size_t(n), size_t(d)), double(scale));
    };
    return c;
}

OpCase gaussian_case(int64_t n, int64_t d, float scale) {
    OpCase c;
    c.name = concat_text("gaussian_nll (", n, ", ", d, ")");
    c.inputs = {{{n, d}, false}, {{n, d}}, {{1}}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return sum(g, gaussian_nll(g, in[0], in[1], in[2], scale), 1, 1); };
    c.formula = [=](const std::vector<Values>& in) {
        return reference::scale(reference::gaussian_nll(in[1], in[0], size_t(n), size_t(d), in[2][0]), double(scale));
    };
    return c;
}

// One output that depends on z and on kl, so that both gradients meet.
Tensor join(Graph& g, const Rsample& r) { return concat(g, r.z, r.kl); }

Values join(const Values& z, const Values& kl, size_t n, size_t d) { return reference::concat({z, kl}, n, {d, d}, 1); }

} // namespace

TEST_CASE("rsample with a given eps moves and scales it, and knows the divergence from the prior") {
    for (Shape shape : {Shape{1, 1}, Shape{7, 13}, Shape{1031, 67}}) {
        size_t n = size_t(shape[0]), d = size_t(shape[1]);
        OpCase c;
        c.name = concat_text("rsample ", to_text(shape));
        c.inputs = {{shape}, {.shape = shape, .low = -3, .high = 3}, {shape, false}};
        c.build = [](Graph& g, std::span<const Tensor> in) { return join(g, rsample(g, concat(g, in[0], in[1]), in[2])); };
        c.formula = [=](const std::vector<Values>& in) {
            return join(reference::rsample(in[0], in[1], in[2]), reference::kl(in[0], in[1]), n, d);
        };
        c.samples = n > 100 ? 3 : 10;
        check(c);
    }
}

TEST_CASE("z alone and kl alone have gradients too") {
    OpCase c;
    c.name = "rsample z";
    c.inputs = {{{5, 3}}, {{5, 3}}, {{5, 3}, false}};
    c.build = [](Graph& g, std::span<const Tensor> in) { return rsample(g, concat(g, in[0], in[1]), in[2]).z; };
    c.formula = [](const std::vector<Values>& in) { return reference::rsample(in[0], in[1], in[2]); };
    check(c);
    c.name = "rsample kl";
    c.build = [](Graph& g, std::span<const Tensor> in) { return rsample(g, concat(g, in[0], in[1]), in[2]).kl; };
    c.formula = [](const std::vector<Values>& in) { return reference::kl(in[0], in[1]); };
    check(c);
}

TEST_CASE("elbo_sums adds up nll, kl and the loss, and passes their gradients on") {
    for (auto [parts, shape] : {std::pair<Shape, Shape>{{1}, {1, 1}},
                                {{37}, {5, 3}},
                                {{5, 4}, {2, 64}},
                                {{64, 7}, {64, 65}},
                                {{3}, {9, 257}},
                                {{70001}, {1031, 67}}}) {
        OpCase c;
        c.name = concat_text("elbo_sums of ", to_text(parts), " parts and kl ", to_text(shape));
        c.step.beta = 0.25f;
        c.inputs = {{parts}, {shape}};
        c.samples = 3;
        size_t n = size_t(shape[0]), d = size_t(shape[1]);
        auto sums = [=](const std::vector<Values>& in) {
            Values all = {std::accumulate(in[0].begin(), in[0].end(), 0.0), 0, 0};
            for (size_t k = 0; k < d; k++) {
                all.push_back(0);
                for (size_t i = 0; i < n; i++)
                    all.back() += in[1][i * d + k] / double(n);
                all[1] += all.back();
            }
            all[2] = all[0] + 0.25 * all[1];
            return all;
        };
        c.build = [](Graph& g, std::span<const Tensor> in) {
            ElboSums s = elbo_sums(g, in[0], in[1]);
            return concat(g, concat(g, concat(g, s.nll, s.kl), s.loss), s.kl_dims);
        };
        c.formula = sums;
        check(c);
        c.name += ", the loss alone"; // whose gradient is known before anything runs
        c.build = [](Graph& g, std::span<const Tensor> in) { return elbo_sums(g, in[0], in[1]).loss; };
        c.formula = [=](const std::vector<Values>& in) { return Values{sums(in)[2]}; };
        check(c);
    }
    Graph g;
    Tensor row = g.input({3}, "row");
    CHECK_THROWS_WITH_AS(elbo_sums(g, row, row), doctest::Contains("(3)"), Error);
}

TEST_CASE("the eps that rsample draws is the CPU twin's, in the forward and in the backward pass") {
    const Shape shape = {257, 131};
    const size_t count = 257 * 131;
    StepParams step = {.step = 9, .element_base = 1000, .sample = 3};
    step.set_seed(0xfeedfacecafe);
    Values eps(count);
    for (uint32_t i = 0; i < count; i++)
        eps[i] = random_normal(0xfeedfacecafe, Stream::reparam, 9, 3, 1000 + i);

    Graph g; // mu = 0 and logvar = 0 leave eps itself
    Tensor mu = g.input(shape, "mu"), logvar = g.input(shape, "logvar");
    Rsample r = rsample(g, concat(g, mu, logvar));
    g.keep(r.z);
    Plan plan(test_device(), g, plan_options());
    plan.run(step);
    std::vector<float> z = plan.read(r.z);
    size_t different = 0;
    for (size_t i = 0; i < count; i++)
        different += bits_of(z[i]) != bits_of(float(eps[i]));
    CHECK(different == 0);

    OpCase c;
    c.name = "rsample that draws";
    c.step = step;
    c.inputs = {{shape}, {shape}};
    c.build = [](Graph& graph, std::span<const Tensor> in) { return join(graph, rsample(graph, concat(graph, in[0], in[1]))); };
    c.formula = [=](const std::vector<Values>& in) {
        return join(reference::rsample(in[0], in[1], eps), reference::kl(in[0], in[1]), 257, 131);
    };
    c.samples = 3;
    check(c);
}

TEST_CASE("the divergence keeps its digits near the prior") {
    Graph g;
    Values mu, logvar;
    for (double size : {1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.2499, 0.2501, 0.5, 1.0, 3.0})
        for (double sign : {-1.0, 1.0}) {
            logvar.push_back(double(float(sign * size)));
            mu.push_back(double(float(1e-3 * size)));
        }
    Shape shape = {int64_t(mu.size()), 1};
    Tensor m = g.input(shape, "mu"), l = g.input(shape, "logvar");
    Rsample r = rsample(g, concat(g, m, l));
    g.keep(r.kl);
    Plan plan(test_device(), g, plan_options());
    plan.write(m, std::vector<float>(mu.begin(), mu.end()));
    plan.write(l, std::vector<float>(logvar.begin(), logvar.end()));
    plan.run();
    std::vector<float> kl = plan.read(r.kl);
    Values expected = reference::kl(mu, logvar);
    for (size_t i = 0; i < kl.size(); i++) {
        INFO("logvar ", logvar[i], ": ", kl[i], " instead of ", expected[i]);
        CHECK(std::abs(kl[i] - expected[i]) <= 2e-5 * expected[i]);
    }
}

TEST_CASE("log variances beyond reason stay finite and get no gradient") {
    Graph g;
    Tensor mu = g.input({1, 4}, "mu"), logvar = g.input({1, 4}, "logvar"), eps = g.input({1, 4}, "eps");
    Rsample r = rsample(g, concat(g, mu, logvar), eps);
    Tensor wrt[] = {logvar};
    Tensor d = g.backward(sum(g, join(g, r)), wrt)[0];
    for (Tensor t : {r.z, r.kl, d})
        g.keep(t);
    Plan plan(test_device(), g, plan_options());
    plan.write(logvar, std::vector<float>{-1e6f, -31, 21, 1e6f});
    plan.write(eps, std::vector<float>(4, 1));
    plan.run();
    for (Tensor t : {r.z, r.kl})
        for (float value : plan.read(t))
            CHECK(std::isfinite(value));
    CHECK(plan.read(d) == std::vector<float>(4, 0));
}

// K draws of each of N samples from moments (N, D) each: rows of z, kl and eps one after the other.
Values draws_of(const Values& moments, size_t n, size_t d, size_t k) {
    Values rows;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++)
            rows.insert(rows.end(), moments.begin() + int64_t(i * d), moments.begin() + int64_t((i + 1) * d));
    return rows;
}

TEST_CASE("several draws, sampled divergences and log q(z|x) are what they say, with gradients for eps too") {
    for (auto [shape, draws] : {std::pair<Shape, int64_t>{{5, 7}, 1}, {{1, 1}, 3}, {{7, 4}, 5}})
        for (KlEstimate kl : {KlEstimate::analytic, KlEstimate::sampled, KlEstimate::log_q}) {
            size_t n = size_t(shape[0]), d = size_t(shape[1]), k = size_t(draws);
            OpCase c;
            c.name = concat_text("rsample ", to_text(shape), " by ", draws, ", kl ", uint32_t(kl));
            c.inputs = {{shape}, {.shape = shape, .low = -3, .high = 2}, {{shape[0] * draws, shape[1]}}};
            RsampleOptions options = {.kl = kl, .draws = draws};
            c.build = [=](Graph& g, std::span<const Tensor> in) {
                Rsample r = rsample(g, concat(g, in[0], in[1]), in[2], options);
                // What eps does to kl is no part of the gradient for a given eps: z's part alone is asked for.
                return kl == KlEstimate::analytic ? join(g, r) : r.z;
            };
            c.formula = [=](const std::vector<Values>& in) {
                Values mu = draws_of(in[0], n, d, k), lv = draws_of(in[1], n, d, k);
                Values z = reference::rsample(mu, lv, in[2]);
                return kl == KlEstimate::analytic ? join(z, reference::kl(mu, lv), n * k, d) : z;
            };
            check(c);
            c.inputs[2].gradient = false;
            c.build = [=](Graph& g, std::span<const Tensor> in) {
                return join(g, rsample(g, concat(g, in[0], in[1]), in[2], options));
            };
            c.formula = [=](const std::vector<Values>& in) {
                Values mu = draws_of(in[0], n, d, k), lv = draws_of(in[1], n, d, k);
                Values z = reference::rsample(mu, lv, in[2]), y = reference::kl(mu, lv);
                for (size_t i = 0; i < z.size() && kl != KlEstimate::analytic; i++) {
                    double log_q = -0.5 * (in[2][i] * in[2][i] + lv[i] + std::log(2 * std::numbers::pi));
                    double log_p = -0.5 * (z[i] * z[i] + std::log(2 * std::numbers::pi));
                    y[i] = kl == KlEstimate::log_q ? log_q : log_q - log_p;
                }
                return join(z, y, n * k, d);
            };
            check(c);
        }
}

TEST_CASE("along the path and doubly reparameterised, gradients are those of Roeder et al. and Tucker et al.") {
    constexpr size_t n = 3, d = 2, k = 4;
    Graph g;
    Tensor moments = g.input({n, 2 * d}, "moments"), eps = g.input({n * k, d}, "eps");
    Tensor dz = g.input({n * k, d}, "dz"), weights = g.input({n * k, d}, "dkl");
    std::vector<float> m(n * 2 * d), e(n * k * d), z_seed(n * k * d), w(n * k * d);
    for (size_t i = 0; i < m.size(); i++)
        m[i] = float(std::sin(1 + double(i)));
    for (size_t i = 0; i < e.size(); i++) {
        e[i] = float(std::cos(2 * double(i)));
        z_seed[i] = float(std::sin(3 * double(i)));
        w[i] = 0.1f + float(i / d % k) * 0.3f + float(i / d / k); // the same for all dimensions of a draw
    }
    for (PosteriorGradient mode : {PosteriorGradient::path, PosteriorGradient::doubly}) {
        Graph graph = g;
        Rsample r = rsample(graph, moments, eps, {.kl = KlEstimate::sampled, .draws = k, .gradient = mode});
        Tensor y = sum(graph, add(graph, mul(graph, r.z, dz), mul(graph, r.kl, weights)));
        Tensor wrt[] = {moments};
        Tensor got_tensor = graph.backward(y, wrt)[0];
        graph.keep(got_tensor);
        Plan plan(test_device(), graph, plan_options());
        plan.write(moments, std::span<const float>(m));
        plan.write(eps, std::span<const float>(e));
        plan.write(dz, std::span<const float>(z_seed));
        plan.write(weights, std::span<const float>(w));
        plan.run();
        std::vector<float> got = plan.read(got_tensor);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < d; j++) {
                double mu = m[i * 2 * d + j], sigma = std::exp(0.5 * m[i * 2 * d + d + j]), dmu = 0, dlv = 0, all = 0;
                for (size_t s = 0; s < k; s++)
                    all += w[(i * k + s) * d + j];
                for (size_t s = 0; s < k; s++) {
                    size_t at = (i * k + s) * d + j;
                    double z = mu + sigma * e[at], to_z = z_seed[at] + w[at] * (z - e[at] / sigma);
                    if (mode == PosteriorGradient::doubly)
                        to_z *= w[at] / all;
                    dmu += to_z;
                    dlv += to_z * 0.5 * sigma * e[at];
                }
                CHECK(got[i * 2 * d + j] == doctest::Approx(dmu).epsilon(1e-5));
                CHECK(got[i * 2 * d + d + j] == doctest::Approx(dlv).epsilon(1e-5));
            }
    }
    Graph wrong;
    Tensor given = wrong.input({2, 2}, "moments");
    CHECK_THROWS_AS(rsample(wrong, given, {}, {.gradient = PosteriorGradient::path}), Error);
}

TEST_CASE("bernoulli_nll and its gradient, for every width") {
    check(bernoulli_case(1, 1, 3, 1));
    check(bernoulli_case(7, 13, 3, 1));
    check(bernoulli_case(5, 785, 3, 0.25f));
    check(bernoulli_case(3, 12289, 3, 1));
    OpCase rows = bernoulli_case(65537, 2, 3, 1);
    rows.samples = 2;
    check(rows);
}

TEST_CASE("bernoulli_nll neither overflows nor loses the tail for logits of +-100") {
    check(bernoulli_case(7, 101, 100, 1));
    Graph g;
    std::vector<float> logits = {-100, 100, -100, 100, -1e30f, 1e30f}, data = {0, 1, 1, 0, 0, 1};
    Tensor x = g.input({6, 1}, "x"), l = g.input({6, 1}, "logits");
    Tensor nll = bernoulli_nll(g, x, l);
    g.keep(nll);
    Plan plan(test_device(), g, plan_options());
    plan.write(x, std::span<const float>(data));
    plan.write(l, std::span<const float>(logits));
    plan.run();
    std::vector<float> got = plan.read(nll);
    for (size_t i = 0; i < got.size(); i++)
        CHECK(std::abs(got[i] - (i == 2 || i == 3 ? 100.0f : 0.0f)) <= 1e-5f);
}

TEST_CASE("gaussian_nll and its gradients, with a learned scale") {
    check(gaussian_case(1, 1, 1));
    check(gaussian_case(7, 13, 1));
    check(gaussian_case(5, 785, 0.5f));
    check(gaussian_case(3, 12289, 1));
}

TEST_CASE("gaussian_nll with a constant scale, and with the data's gradient asked for") {
    OpCase c = gaussian_case(4, 9, 1);
    c.inputs.pop_back();
    c.build = [](Graph& g, std::span<const Tensor> in) {
        return sum(g, gaussian_nll(g, in[0], in[1], g.constant(-0.5f, {1})), 1, 1);
    };
    c.formula = [](const std::vector<Values>& in) { return reference::gaussian_nll(in[1], in[0], 4, 9, -0.5); };
    check(c);
    Graph g;
    Tensor x = g.input({2, 2}, "x"), wrt[] = {x};
    Tensor loss = sum(g, bernoulli_nll(g, x, x));
    CHECK_THROWS_WITH_AS(g.backward(loss, wrt), doctest::Contains("no gradient"), Error);
}

TEST_CASE("the mean of the rows is the usual loss: gradients through a constant seed") {
    OpCase c = bernoulli_case(6, 100, 3, 1);
    c.build = [](Graph& g, std::span<const Tensor> in) { return mean(g, sum(g, bernoulli_nll(g, in[0], in[1]), 1, 1)); };
    c.formula = [](const std::vector<Values>& in) {
        return reference::reduce(reference::bernoulli_nll(in[1], in[0], 6, 100), 1, 6, 1, reference::Reduction::mean);
    };
    check(c);
}
