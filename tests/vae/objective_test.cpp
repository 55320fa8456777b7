// The contract of vae/objective.cpp: each objective is the formula of its paper, with its gradient; schedules; which
// models it goes with.
#include "op_check.hpp"
#include "vae/objective.hpp"

#include <numbers>

using namespace vkvae;
using namespace vkvae::test;

namespace {

constexpr size_t N = 5, D = 3, P = 4; // samples, latents, pixels

Vae model_with(const std::string& objective, const std::string& more = "") {
    return Vae(parse_model(R"({"input": [4], "latent": 3, "encoder": [], "decoder": [{"type": "linear", "out": 4}],
                               "objective": )" + objective + more + "}"));
}

// What an objective is made of, in double, from the inputs of a case: x (N, P), mu and logvar (N, D), eps (N K, D) and
// the decoder's matrix (D, P).
struct Terms {
    size_t draws;
    Values mu, logvar, z, nll, kl_analytic, kl_sampled; // z and both kl (N K, D), nll (N K)

    Terms(const std::vector<Values>& in, size_t k) : draws(k), mu(in[1]), logvar(in[2]), z(N * k * D), nll(N * k),
                                                     kl_analytic(N * k * D), kl_sampled(N * k * D) {
        for (size_t row = 0; row < N * k; row++) {
            for (size_t d = 0; d < D; d++) {
                size_t at = row * D + d, from = row / k * D + d;
                z[at] = mu[from] + std::exp(0.5 * logvar[from]) * in[3][at];
                kl_analytic[at] = 0.5 * (mu[from] * mu[from] + std::exp(logvar[from]) - 1 - logvar[from]);
                kl_sampled[at] = 0.5 * (z[at] * z[at] - in[3][at] * in[3][at] - logvar[from]);
            }
            for (size_t p = 0; p < P; p++) {
                double logit = 0;
                for (size_t d = 0; d < D; d++)
                    logit += z[row * D + d] * in[4][d * P + p];
                nll[row] += std::log1p(std::exp(logit)) - in[0][row / k * P + p] * logit;
            }
        }
    }
    static double mean_of(const Values& v, size_t rows) {
        double sum = 0;
        for (double value : v)
            sum += value;
        return sum / double(rows);
    }
    double mean_nll() const { return mean_of(nll, N * draws); }
    double mean_kl() const { return mean_of(kl_analytic, N * draws); }
    double log_q(size_t point, size_t component, size_t d) const { // log N(z_point; q(z|x_component)), of dimension d
        double difference = z[point * D + d] - mu[component * D + d], lv = logvar[component * D + d];
        return -0.5 * (difference * difference * std::exp(-lv) + lv + std::log(2 * std::numbers::pi));
    }
    double total_correlation() const {
        double tc = 0;
        for (size_t i = 0; i < N; i++) {
            double joint = 0;
            Values each(D, 0);
            for (size_t j = 0; j < N; j++) {
                double sum = 0;
                for (size_t d = 0; d < D; d++) {
                    sum += log_q(i, j, d);
                    each[d] += std::exp(log_q(i, j, d)) / N;
                }
                joint += std::exp(sum) / N;
            }
            tc += std::log(joint);
            for (double density : each)
                tc -= std::log(density);
        }
        return tc / N;
    }
    double dip(double off_diagonal, double diagonal) const {
        double total = 0;
        for (size_t a = 0; a < D; a++)
            for (size_t b = 0; b < D; b++) {
                double ma = 0, mb = 0, cov = 0;
                for (size_t i = 0; i < N; i++) {
                    ma += mu[i * D + a] / N;
                    mb += mu[i * D + b] / N;
                }
                for (size_t i = 0; i < N; i++)
                    cov += (mu[i * D + a] - ma) * (mu[i * D + b] - mb) / N;
                total += a == b ? diagonal * (cov - 1) * (cov - 1) : off_diagonal * cov * cov;
            }
        return total;
    }
    double importance_bound(double beta) const {
        double bound = 0;
        for (size_t i = 0; i < N; i++) {
            double weights = 0;
            for (size_t k = 0; k < draws; k++) {
                double log_w = -nll[i * draws + k];
                for (size_t d = 0; d < D; d++)
                    log_w -= beta * kl_sampled[(i * draws + k) * D + d];
                weights += std::exp(log_w) / double(draws);
            }
            bound += std::log(weights) / N;
        }
        return bound;
    }
};


// `which` picks what is checked of the Elbo that the objective builds.
OpCase objective_case(const std::string& json, size_t draws, std::function<Tensor(const Elbo&)> which,
                      std::function<double(const Terms&)> formula) {
    auto vae = std::make_shared<Vae>(model_with(json));
    OpCase c;
    c.name = json;
    c.inputs = {{.shape = {N, P}, .gradient = false, .low = 0, .high = 1},
                {{N, D}},
                {{N, D}},
                {.shape = {int64_t(N * draws), D}, .gradient = false},
                {{D, P}}};
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        const Objective& objective = find_objective(vae->config().objective.name);
        Tensor moments = concat(g, in[1], in[2]);
        Rsample r = rsample(g, moments, in[3], {objective.kl, int64_t(draws), objective.gradient});
        Tensor x = repeat_rows(g, in[0], int64_t(draws)), logits = matmul(g, r.z, in[4]);
        Bound bound = {N, int64_t(draws), {moments, r.z, r.kl, logits}, [&](float factor) {
                           return bernoulli_nll(g, x, logits, factor);
                       }};
        Elbo e;
        objective.build(g, *vae, bound, e);
        return which(e);
    };
    c.formula = [=](const std::vector<Values>& in) { return Values{formula(Terms(in, draws))}; };
    c.samples = 12;
    c.step.beta = 2.5f;
    c.step.capacity = 0.75f;
    return c;
}

Tensor loss_of(const Elbo& e) { return e.loss; }

} // namespace

TEST_CASE("the ELBO with beta, of one draw and of the mean of several") {
    for (size_t draws : {1u, 3u})
        check(objective_case(concat_text(R"({"type": "elbo", "samples": )", draws, "}"), draws, loss_of,
                             [](const Terms& t) { return t.mean_nll() + 2.5 * t.mean_kl(); }));
}

TEST_CASE("free bits: a dimension whose KL is below them counts as they do, and is not pulled any lower") {
    check(objective_case(R"({"type": "elbo", "free_bits": 0.2})", 1, loss_of, [](const Terms& t) {
        double rate = 0;
        int below = 0;
        for (size_t d = 0; d < D; d++) {
            double kl = 0;
            for (size_t i = 0; i < N; i++)
                kl += t.kl_analytic[i * D + d] / N;
            rate += std::max(kl, 0.2);
            below += kl < 0.2;
        }
        CHECK(below > 0); // or the case would show nothing
        CHECK(below < int(D));
        return t.mean_nll() + 2.5 * rate;
    }));
}

TEST_CASE("capacity holds the KL to the step's target, from either side") {
    check(objective_case(R"({"type": "capacity", "capacity": 1, "steps": 10})", 1, loss_of,
                         [](const Terms& t) { return t.mean_nll() + 2.5 * std::abs(t.mean_kl() - 0.75); }));
    OpCase above = objective_case(R"({"type": "capacity", "capacity": 1, "steps": 10})", 1, loss_of,
                                  [](const Terms& t) { return t.mean_nll() + 2.5 * std::abs(t.mean_kl() - 9); });
    above.step.capacity = 9;
    check(above);
}

TEST_CASE("beta-TCVAE weighs the total correlation of the batch's aggregate posterior") {
    check(objective_case(R"({"type": "beta_tc"})", 1, loss_of, [](const Terms& t) {
        return t.mean_nll() + t.mean_kl() + 1.5 * t.total_correlation();
    }));
    check(objective_case(R"({"type": "beta_tc"})", 1, [](const Elbo& e) { return e.extras[0].second; },
                         [](const Terms& t) { return t.total_correlation(); }));
}

TEST_CASE("the decomposition of beta-TCVAE adds up to the KL") {
    Vae vae = model_with(R"({"type": "beta_tc"})");
    Graph g;
    Weights w = vae.add_weights(g);
    Tensor x = g.input({64, P}, "x");
    Elbo e = vae.elbo(g, w, x);
    for (auto& [name, tensor] : e.extras)
        g.keep(tensor);
    g.keep(e.kl);
    Plan plan(test_device(), g, plan_options());
    std::vector<float> weights(size_t(g.dim(w.flat, 0))), data(64 * P);
    for (size_t i = 0; i < weights.size(); i++)
        weights[i] = float(std::sin(double(i)));
    for (size_t i = 0; i < data.size(); i++)
        data[i] = float(0.5 + 0.5 * std::cos(7 * double(i)));
    plan.write(w.flat, std::span<const float>(weights));
    plan.write(x, std::span<const float>(data));
    plan.run();
    double sum = 0;
    for (auto& [name, tensor] : e.extras)
        sum += plan.read(tensor)[0];
    CHECK(sum == doctest::Approx(plan.read(e.kl)[0]).epsilon(1e-4));
    CHECK(vae.extras() == std::vector<std::string>{"tc", "mi", "dwkl"});
}

TEST_CASE("DIP-VAE-I draws the covariance of the posterior means towards the identity") {
    check(objective_case(R"({"type": "dip", "off_diagonal": 3, "diagonal": 5})", 1, loss_of, [](const Terms& t) {
        return t.mean_nll() + 2.5 * t.mean_kl() + t.dip(3, 5);
    }));
}

TEST_CASE("IWAE's bound is the log of the mean importance weight") {
    for (size_t draws : {2u, 5u}) {
        OpCase c = objective_case(concat_text(R"({"type": "iwae", "samples": )", draws, "}"), draws, loss_of,
                                  [](const Terms& t) { return -t.importance_bound(1); });
        c.step.beta = 1;
        check(c);
    }
    check(objective_case(R"({"type": "iwae", "samples": 3})", 3, loss_of,
                         [](const Terms& t) { return -t.importance_bound(2.5); }));
    check(objective_case(R"({"type": "iwae", "samples": 3})", 3, [](const Elbo& e) { return e.nll; },
                         [](const Terms& t) { return t.mean_nll(); }));
}

TEST_CASE("DReG has IWAE's bound, and its gradient for the decoder") {
    OpCase c = objective_case(R"({"type": "dreg", "samples": 4})", 4, loss_of,
                              [](const Terms& t) { return -t.importance_bound(1); });
    c.step.beta = 1;
    c.inputs[1].gradient = c.inputs[2].gradient = false; // the encoder's is another estimate: see rsample's test
    check(c);
}

TEST_CASE("beta warms up, cycles, and capacity rises, as a function of the step") {
    auto at = [](ObjectiveConfig o, float beta, int64_t step) {
        StepParams p;
        set_schedule(p, o, beta, step);
        return p;
    };
    ObjectiveConfig warm = {.warmup = 100};
    CHECK(at(warm, 4, 0).beta == 0);
    CHECK(at(warm, 4, 25).beta == 1);
    CHECK(at(warm, 4, 100).beta == 4);
    CHECK(at(warm, 4, 100000).beta == 4);
    ObjectiveConfig cyclical = {.cycle = 40};
    CHECK(at(cyclical, 1, 10).beta == 0.5f);
    CHECK(at(cyclical, 1, 30).beta == 1);
    CHECK(at(cyclical, 1, 50).beta == 0.5f);
    ObjectiveConfig both = {.warmup = 10, .cycle = 40};
    CHECK(at(both, 1, 45).beta == 0.5f);
    CHECK(at(both, 1, 50).beta == 1);
    ObjectiveConfig capacity = {.capacity = 20, .capacity_steps = 10};
    CHECK(at(capacity, 1000, 5).capacity == 10);
    CHECK(at(capacity, 1000, 50).capacity == 20);
    CHECK(at(capacity, 1000, 50).beta == 1000);
    CHECK(at({}, 1, 7).capacity == 0);
}

TEST_CASE("an objective that does not go with its model is refused, with what does") {
    auto says = [](const std::string& objective, const std::string& more, const char* text) {
        INFO(objective, more);
        CHECK_THROWS_WITH_AS(model_with(objective, more), doctest::Contains(text), Error);
    };
    says(R"({"type": "elbow"})", "", "known are elbo, capacity, beta_tc, dip, iwae, dreg");
    says(R"({"type": "elbo", "gamma": 3})", "", "it takes beta samples free_bits warmup cycle");
    says(R"({"type": "iwae"})", "", "needs \"samples\"");
    says(R"({"type": "iwae", "samples": 1})", "", "2 samples or more");
    says(R"({"type": "elbo", "warmup": 10, "cycle": 5})", "", "longer than");
    says(R"({"type": "elbo", "free_bits": -1})", "", "free_bits");
    says(R"({"type": "beta_tc"})", R"(, "posterior": "none")", "has the objective elbo");
    says(R"({"type": "elbo", "free_bits": 1})", R"(, "prior": {"type": "vamp", "components": 3})", "no product");
    says(R"({"type": "elbo"})", R"(, "prior": {"type": "vamp"})", "needs \"components\"");
    says(R"({"type": "elbo"})", R"(, "prior": {"type": "vampire"})", "known are standard_normal, vamp");
    says(R"({"type": "elbo"})", R"(, "posterior": "laplace")", "known are gaussian, none and vq");
    says(R"({"type": "elbo"})", R"(, "corruption": {"type": "blur", "amount": 1})", "known are gaussian, masking");
    says(R"({"type": "elbo"})", R"(, "corruption": {"type": "masking", "amount": 2})", "amount");
    says(R"({"type": "elbo"})", R"(, "condition": {"classes": 1})", "classes");
    says(R"({"type": "elbo"})", R"(, "condition": 10)", "must be {\"classes\": N}");
}
