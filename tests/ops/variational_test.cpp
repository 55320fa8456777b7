// The contract of ops/rsample and ops/likelihood: the terms of the evidence lower bound.
#include "op_check.hpp"

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

TEST_CASE("the sampled divergence is log q(z|x) - log p(z) at the drawn z, and has no gradient") {
    OpCase c;
    c.name = "sampled kl";
    c.inputs = {{{5, 7}, false}, {{5, 7}, false}, {{5, 7}, false}};
    c.build = [](Graph& g, std::span<const Tensor> in) {
        return rsample(g, concat(g, in[0], in[1]), in[2], KlEstimate::sampled).kl;
    };
    c.formula = [](const std::vector<Values>& in) {
        Values z = reference::rsample(in[0], in[1], in[2]), y(z.size());
        for (size_t i = 0; i < z.size(); i++)
            y[i] = 0.5 * (z[i] * z[i] - in[2][i] * in[2][i] - in[1][i]);
        return y;
    };
    check(c);
    Graph g;
    Tensor mu = g.input({2, 2}, "mu");
    Tensor kl = sum(g, rsample(g, concat(g, mu, mu), {}, KlEstimate::sampled).kl);
    Tensor wrt[] = {mu};
    CHECK_THROWS_WITH_AS(g.backward(kl, wrt), doctest::Contains("not differentiated"), Error);
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
