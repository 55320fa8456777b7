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
    Tensor data, indices, x, y, moments, nll, kl, mean;
    Weights w;
    std::unique_ptr<Plan> plan;
};

bool one_level(const Vae& vae) { return vae.config().levels.size() == 1; }

ElboPass build_elbo_pass(Device& device, const Vae& vae, const EvaluateOptions& o, DType type) {
    ElboPass p;
    Graph g;
    p.data = g.input({o.batch, vae.config().pixels()}, "data", type);
    p.indices = g.input({1, o.batch}, "indices", DType::u32);
    p.w = vae.add_weights(g);
    p.x = gather(g, p.data, p.indices, o.binarize);
    if (vae.config().label_classes > 0)
        p.y = g.input({o.batch, vae.config().label_classes}, "y");
    p.moments = vae.encode(g, p.w, p.x, p.y);
    Tensor mu = slice(g, p.moments, 1, 0, vae.config().latent);
    Vae::Inference drawn = one_level(vae) ? vae.infer_from(g, p.w, p.moments, p.y, {})
                                          : vae.infer(g, p.w, p.x, p.y, {}, {});
    p.nll = vae.nll(g, p.w, p.x, drawn.prediction, 1);
    p.mean = vae.mean(g, vae.decode(g, p.w, mu, p.y));
    p.kl = drawn.kl;
    for (Tensor t : {p.x, p.moments, p.nll, p.kl, p.mean})
        g.keep(t);
    p.plan = std::make_unique<Plan>(device, g);
    return p;
}

// K draws for one batch: -log w comes out in a ring. What the encoder says goes in, unless levels' posteriors depend on
// draws of those above.
struct ImportancePass {
    Tensor x, y, moments, ring;
    Weights w;
    std::unique_ptr<Plan> plan;
};

ImportancePass build_importance_pass(Device& device, const Vae& vae, const EvaluateOptions& o) {
    ImportancePass p;
    Graph g;
    p.w = vae.add_weights(g);
    p.x = g.input({o.batch, vae.config().pixels()}, "x");
    p.ring = g.input({kDrawsPerSubmit, o.batch}, "log weights");
    if (vae.config().label_classes > 0)
        p.y = g.input({o.batch, vae.config().label_classes}, "y");
    if (one_level(vae))
        p.moments = g.input({o.batch, 2 * vae.config().latent}, "moments");
    Vae::Inference drawn = p.moments ? vae.infer_from(g, p.w, p.moments, p.y, {.kl = KlEstimate::sampled})
                                     : vae.infer(g, p.w, p.x, p.y, {}, {.kl = KlEstimate::sampled});
    Tensor nll = vae.nll(g, p.w, p.x, drawn.prediction, 1);
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

// What one pass has left on the host.
struct BatchValues {
    std::vector<float> x, y, mean, moments, nll, kl;
    std::vector<double> iw_nll;
    EvaluatedBatch view(int64_t first, int64_t valid, const Vae& vae) const {
        int64_t latent = vae.config().latent, pixels = vae.config().pixels();
        auto rows = [&](const std::vector<float>& all, int64_t width) {
            return std::span(all).first(size_t(valid * width));
        };
        return {first,
                valid,
                rows(x, pixels),
                rows(mean, pixels),
                rows(moments, 2 * latent),
                rows(nll, 1),
                rows(kl, vae.kl_columns()),
                iw_nll};
    }
};

BatchValues read_batch(ElboPass& p) {
    return {p.plan->read(p.x),
            p.y ? p.plan->read(p.y) : std::vector<float>{},
            p.plan->read(p.mean),
            p.plan->read(p.moments),
            p.plan->read(p.nll),
            p.plan->read(p.kl),
            {}};
}

void add_batch(Totals& t, const EvaluatedBatch& b, const Vae& vae) {
    int64_t latent = vae.config().latent, columns = vae.kl_columns();
    for (int64_t i = 0; i < b.count; i++) {
        t.nll += b.nll[size_t(i)];
        for (int64_t d = 0; d < columns; d++) {
            t.kl += b.kl[size_t(i * columns + d)];
            t.kl_dims[size_t(d)] += b.kl[size_t(i * columns + d)];
        }
        for (int64_t d = 0; d < latent; d++) {
            double mu = b.moments[size_t(2 * i * latent + d)];
            t.mu[size_t(d)] += mu;
            t.mu_squared[size_t(d)] += mu * mu;
        }
    }
    for (size_t i = 0; i < b.x.size(); i++)
        t.squared_error += (double(b.x[i]) - b.mean[i]) * (double(b.x[i]) - b.mean[i]);
    for (double iw : b.iw_nll)
        t.iw += iw;
}

// -log 1/K sum_k w_k of each of the first `valid` samples.
std::vector<double> importance_nll(ImportancePass& p, const BatchValues& batch, StepParams params, int64_t valid,
                                   const EvaluateOptions& o) {
    p.plan->write(p.x, std::span<const float>(batch.x));
    if (p.moments)
        p.plan->write(p.moments, std::span<const float>(batch.moments));
    if (p.y)
        p.plan->write(p.y, std::span<const float>(batch.y));
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
    std::vector<double> nll;
    for (const LogSum& sum : sums)
        nll.push_back(std::log(double(o.importance_samples)) - sum.value());
    return nll;
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
    for (double kl : t.kl_dims)
        e.kl_dims.push_back(kl / n);
    for (size_t d = 0; d < t.mu.size(); d++) {
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
    if (options.importance_samples > 0 && vae.config().deterministic)
        fail(Status::usage, "the model has no posterior, so there is no importance-weighted bound");
    if (vae.config().vq)
        return evaluate_codes(device, vae, parameters, data, options);
    EvaluateOptions o = options;
    o.batch = std::min(o.batch, data.count);
    uint64_t weights = parameters.offset_bytes(Parameters::Region::weights);

    ElboPass elbo = build_elbo_pass(device, vae, o, data.type);
    elbo.plan->bind(elbo.w.flat, parameters.buffer(), weights);
    ImportancePass importance;
    if (o.importance_samples > 0) {
        importance = build_importance_pass(device, vae, o);
        importance.plan->bind(importance.w.flat, parameters.buffer(), weights);
    }
    Totals totals;
    totals.kl_dims.assign(size_t(vae.kl_columns()), 0.0);
    for (auto* values : {&totals.mu, &totals.mu_squared})
        values->assign(size_t(vae.config().latent), 0.0);
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
        if (elbo.y) {
            std::vector<uint8_t> labels(size_t(o.batch), 0);
            std::copy_n(data.labels.begin() + first, valid, labels.begin());
            elbo.plan->write(elbo.y, std::span<const float>(one_hot(labels, vae.config().label_classes)));
        }
        elbo.plan->run(params);
        BatchValues values = read_batch(elbo);
        if (o.importance_samples > 0)
            values.iw_nll = importance_nll(importance, values, params, valid, o);
        EvaluatedBatch batch = values.view(first, valid, vae);
        add_batch(totals, batch, vae);
        if (o.each_batch)
            o.each_batch(batch);
        if (o.progress && !o.progress(first + valid, data.count))
            fail(Status::interrupted, "evaluation interrupted");
    }
    return means(totals, data.count, vae.config().pixels());
}

} // namespace vkvae
