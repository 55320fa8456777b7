// Evaluation over a whole data set: the ELBO and its parts, active units, and the importance-weighted bound.
//
//   iw_nll = -mean over x of log( 1/K sum_k w_k ),  log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x),  z_k ~ q(z|x)
//
// Source: Burda, Grosse and Salakhutdinov 2015, "Importance Weighted Autoencoders", sections 3 and 5.2.
#include <algorithm>
#include <cmath>
#include <limits>

#include "vae/quantizer.hpp"

namespace vkvae {
namespace {

constexpr double kActiveVariance = 0.01; // Burda et al. 2015, section 5.2
constexpr uint32_t kDrawsPerSubmit = 16;

// One batch of the data through encoder and decoder: what does not depend on K.
struct ElboPass {
    Tensor data, indices, x, moments, mu, nll, kl, mean;
    Weights w;
    std::unique_ptr<Plan> plan;
};

ElboPass build_elbo_pass(Device& device, const Vae& vae, const EvaluateOptions& o, DType type) {
    ElboPass p;
    Graph g;
    p.data = g.input({o.batch, vae.config().pixels()}, "data", type);
    p.indices = g.input({1, o.batch}, "indices", DType::u32);
    p.w = vae.add_weights(g);
    p.x = gather(g, p.data, p.indices, o.binarize);
    p.moments = vae.encode(g, p.w, p.x);
    p.mu = slice(g, p.moments, 1, 0, vae.config().latent);
    Rsample drawn = standard_normal().posterior_sample(g, p.moments, {}, KlEstimate::analytic);
    p.nll = vae.nll(g, p.w, p.x, vae.decode(g, p.w, drawn.z), 1);
    p.mean = vae.mean(g, vae.decode(g, p.w, p.mu));
    p.kl = drawn.kl;
    for (Tensor t : {p.x, p.moments, p.mu, p.nll, p.kl, p.mean})
        g.keep(t);
    p.plan = std::make_unique<Plan>(device, g);
    return p;
}

// K draws for one batch: encoder results go in, -log w comes out in a ring.
struct ImportancePass {
    Tensor x, moments, ring;
    Weights w;
    std::unique_ptr<Plan> plan;
};

ImportancePass build_importance_pass(Device& device, const Vae& vae, const EvaluateOptions& o) {
    ImportancePass p;
    Graph g;
    p.w = vae.add_weights(g);
    p.x = g.input({o.batch, vae.config().pixels()}, "x");
    p.moments = g.input({o.batch, 2 * vae.config().latent}, "moments");
    p.ring = g.input({kDrawsPerSubmit, o.batch}, "log weights");
    Rsample drawn = standard_normal().posterior_sample(g, p.moments, {}, KlEstimate::sampled);
    Tensor nll = vae.nll(g, p.w, p.x, vae.decode(g, p.w, drawn.z), 1);
    ring_store(g, {{add(g, nll, sum(g, drawn.kl, 1, 1))}}, p.ring, 0);
    p.plan = std::make_unique<Plan>(device, g, PlanOptions{.max_steps = kDrawsPerSubmit});
    return p;
}

// log sum exp, one term at a time.
struct LogSum {
    double largest = -std::numeric_limits<double>::infinity(), scaled = 0;
    void add(double value) {
        if (value > largest) {
            scaled = scaled * std::exp(largest - value) + 1;
            largest = value;
        } else {
            scaled += std::exp(value - largest);
        }
    }
    double value() const { return largest + std::log(scaled); }
};

// Sums over the data, in double.
struct Totals {
    double nll = 0, kl = 0, squared_error = 0, iw = 0;
    std::vector<double> kl_dims, mu, mu_squared;
};

void add_batch(Totals& t, ElboPass& p, int64_t valid, int64_t latent, int64_t pixels) {
    std::vector<float> nll = p.plan->read(p.nll), kl = p.plan->read(p.kl), mu = p.plan->read(p.mu);
    std::vector<float> x = p.plan->read(p.x), mean = p.plan->read(p.mean);
    for (int64_t i = 0; i < valid; i++) {
        t.nll += nll[size_t(i)];
        for (int64_t d = 0; d < latent; d++) {
            size_t at = size_t(i * latent + d);
            t.kl += kl[at];
            t.kl_dims[size_t(d)] += kl[at];
            t.mu[size_t(d)] += mu[at];
            t.mu_squared[size_t(d)] += double(mu[at]) * mu[at];
        }
    }
    for (int64_t i = 0; i < valid * pixels; i++)
        t.squared_error += (double(x[size_t(i)]) - mean[size_t(i)]) * (double(x[size_t(i)]) - mean[size_t(i)]);
}

void add_importance(Totals& t, ImportancePass& p, const ElboPass& elbo, StepParams params, int64_t valid,
                    const EvaluateOptions& o) {
    p.plan->write(p.x, std::span<const float>(elbo.plan->read(elbo.x)));
    p.plan->write(p.moments, std::span<const float>(elbo.plan->read(elbo.moments)));
    std::vector<LogSum> sums;
    sums.resize(size_t(valid));
    for (int64_t first = 0; first < o.importance_samples; first += kDrawsPerSubmit) {
        int64_t draws = std::min<int64_t>(kDrawsPerSubmit, o.importance_samples - first);
        std::vector<StepParams> steps(size_t(draws), params);
        for (int64_t k = 0; k < draws; k++)
            steps[size_t(k)].sample = uint32_t(first + k);
        p.plan->submit(steps);
        std::vector<float> ring = p.plan->read(p.ring);
        for (int64_t k = 0; k < draws; k++)
            for (int64_t i = 0; i < valid; i++)
                sums[size_t(i)].add(-double(ring[size_t(k * o.batch + i)]));
    }
    for (const LogSum& sum : sums)
        t.iw += std::log(double(o.importance_samples)) - sum.value();
}

Evaluation means(const Totals& t, int64_t count, int64_t pixels) {
    Evaluation e;
    double n = double(count);
    e.count = count;
    e.nll = t.nll / n;
    e.kl = t.kl / n;
    e.elbo = -(e.nll + e.kl);
    e.mse = t.squared_error / n / double(pixels);
    e.iw_nll = t.iw / n;
    for (size_t d = 0; d < t.mu.size(); d++) {
        e.kl_dims.push_back(t.kl_dims[d] / n);
        double mean = t.mu[d] / n;
        e.active_units += t.mu_squared[d] / n - mean * mean > kActiveVariance;
    }
    return e;
}

} // namespace

Evaluation evaluate(Device& device, const Vae& vae, const Parameters& parameters, const DataView& data,
                    const EvaluateOptions& options) {
    data.check(vae.config());
    if (options.batch < 1 || options.importance_samples < 0)
        fail(Status::usage, "evaluation with a batch of ", options.batch, " and ", options.importance_samples,
             " importance samples");
    if (vae.config().vq)
        return evaluate_codes(device, vae, parameters, data, options);
    EvaluateOptions o = options;
    o.batch = std::min(o.batch, data.count);
    int64_t latent = vae.config().latent, pixels = vae.config().pixels();
    uint64_t weights = parameters.offset_bytes(Parameters::Region::weights);

    ElboPass elbo = build_elbo_pass(device, vae, o, data.type);
    elbo.plan->bind(elbo.w.flat, parameters.buffer(), weights);
    ImportancePass importance;
    if (o.importance_samples > 0) {
        importance = build_importance_pass(device, vae, o);
        importance.plan->bind(importance.w.flat, parameters.buffer(), weights);
    }
    Totals totals;
    for (auto* values : {&totals.kl_dims, &totals.mu, &totals.mu_squared})
        values->assign(size_t(latent), 0.0);
    std::vector<uint32_t> identity;
    for (int64_t i = 0; i < o.batch; i++)
        identity.push_back(uint32_t(i));
    elbo.plan->write(elbo.indices, std::as_bytes(std::span(identity)));

    std::vector<std::byte> rows(size_t(o.batch) * data.row_bytes());
    for (int64_t first = 0; first < data.count; first += o.batch) {
        int64_t valid = std::min(o.batch, data.count - first);
        std::memcpy(rows.data(), data.bytes.data() + uint64_t(first) * data.row_bytes(),
                    uint64_t(valid) * data.row_bytes());
        elbo.plan->write(elbo.data, std::span<const std::byte>(rows));
        // Batches draw different noise: their step is the number of their first sample.
        StepParams params;
        params.set_seed(o.seed);
        params.step = uint32_t(first);
        elbo.plan->run(params);
        add_batch(totals, elbo, valid, latent, pixels);
        if (o.importance_samples > 0)
            add_importance(totals, importance, elbo, params, valid, o);
        if (o.progress && !o.progress(first + valid, data.count))
            fail(Status::interrupted, "evaluation interrupted");
    }
    return means(totals, data.count, pixels);
}

} // namespace vkvae
