// Evaluation of a vq posterior over a whole data set: it draws nothing, so nll and kl are those of the one z there is.
//
//   elbo = -(nll + kl),  kl = -log p(codes) of the prior: log K a code if it is uniform
//   perplexity = exp(-sum_k p_k log p_k), p_k the part of all codes of the data that are k
#include <algorithm>
#include <cmath>

#include "vae/quantizer.hpp"

namespace vkvae {
namespace {

struct Pass {
    Tensor data, indices, x, nll, kl, mean;
    std::vector<Tensor> codes;
    Weights w;
    std::unique_ptr<Plan> plan;
};

Pass build_pass(Device& device, const Vae& vae, int64_t batch, Binarize binarize, DType type) {
    Pass p;
    Graph g;
    p.data = g.input({batch, vae.config().pixels()}, "data", type);
    p.indices = g.input({1, batch}, "indices", DType::u32);
    p.w = vae.add_weights(g);
    p.x = gather(g, p.data, p.indices, binarize);
    Quantized q = vae.quantize(g, p.w, vae.encode(g, p.w, p.x));
    Tensor prediction = vae.decode(g, p.w, reshape(g, q.z, {batch, vae.config().latent}));
    p.nll = vae.nll(g, p.w, p.x, prediction, 1);
    p.mean = vae.mean(g, prediction);
    p.codes = q.codes;
    for (Tensor t : {p.x, p.nll, p.mean})
        g.keep(t);
    for (Tensor t : p.codes)
        g.keep(t);
    if (vae.config().vq.prior_channels > 0) {
        p.kl = vae.code_nll(g, p.w, p.codes);
        g.keep(p.kl);
    }
    p.plan = std::make_unique<Plan>(device, g);
    return p;
}

double perplexity_of(std::span<const uint64_t> counts) {
    double total = 0, entropy = 0;
    for (uint64_t n : counts)
        total += double(n);
    for (uint64_t n : counts)
        if (n > 0)
            entropy -= double(n) / total * std::log(double(n) / total);
    return std::exp(entropy);
}

// Adds what one run has found of the first `valid` samples.
void add_batch(Evaluation& e, std::vector<std::vector<uint64_t>>& counts, Pass& p, int64_t first, int64_t valid,
               const ModelConfig& config, const EvaluateOptions& o) {
    const int64_t positions = config.vq.positions(), pixels = config.pixels();
    std::vector<float> nll = p.plan->read(p.nll), x = p.plan->read(p.x), mean = p.plan->read(p.mean), kl;
    for (int64_t i = 0; i < valid; i++)
        e.nll += double(nll[size_t(i)]);
    for (size_t i = 0; i < size_t(valid * pixels); i++)
        e.mse += (double(x[i]) - mean[i]) * (double(x[i]) - mean[i]);
    if (p.kl) {
        kl = p.plan->read(p.kl);
        for (size_t i = 0; i < size_t(valid) * counts.size(); i++)
            e.kl_dims[i % counts.size()] += double(kl[i]);
    }
    std::vector<uint32_t> codes(nll.size() * size_t(positions));
    for (size_t level = 0; level < counts.size(); level++) {
        p.plan->read(p.codes[level], std::as_writable_bytes(std::span(codes)));
        for (size_t i = 0; i < size_t(valid * positions); i++)
            counts[level][codes[i]]++;
    }
    if (!o.each_batch)
        return;
    if (!p.kl)
        kl.assign(size_t(valid) * counts.size(), float(double(positions) * std::log(double(config.vq.codes))));
    auto rows = [&](const std::vector<float>& all, int64_t width) { return std::span(all).first(size_t(valid * width)); };
    o.each_batch({first, valid, rows(x, pixels), rows(mean, pixels), {}, rows(nll, 1),
                  rows(kl, int64_t(counts.size())), {}});
}

} // namespace

Evaluation evaluate_codes(Device& device, const Vae& vae, const Parameters& parameters, const DataView& data,
                          const EvaluateOptions& o) {
    const VqConfig& vq = vae.config().vq;
    if (o.importance_samples > 0)
        fail(Status::usage, "a vq posterior has one z for each x: there is no importance-weighted bound");
    int64_t batch = std::min(o.batch, data.count), pixels = vae.config().pixels();
    Pass pass = build_pass(device, vae, batch, o.binarize, data.type);
    pass.plan->bind(pass.w.flat, parameters.buffer(), parameters.offset_bytes(Parameters::Region::weights));
    std::vector<uint32_t> identity;
    for (int64_t i = 0; i < batch; i++)
        identity.push_back(uint32_t(i));
    pass.plan->write(pass.indices, std::as_bytes(std::span(identity)));

    Evaluation e;
    e.count = data.count;
    e.kl_dims.resize(size_t(vq.levels));
    std::vector<std::vector<uint64_t>> counts(size_t(vq.levels), std::vector<uint64_t>(size_t(vq.codes)));
    std::vector<std::byte> rows(size_t(batch) * data.row_bytes());
    for (int64_t first = 0; first < data.count; first += batch) {
        int64_t valid = std::min(batch, data.count - first);
        std::memcpy(rows.data(), data.bytes.data() + uint64_t(first) * data.row_bytes(),
                    uint64_t(valid) * data.row_bytes());
        pass.plan->write(pass.data, std::span<const std::byte>(rows));
        StepParams params; // binarisation draws other numbers for each batch
        params.set_seed(o.seed);
        params.step = uint32_t(first);
        pass.plan->run(params);
        add_batch(e, counts, pass, first, valid, vae.config(), o);
        if (o.progress && !o.progress(first + valid, data.count))
            fail(Status::interrupted, "evaluation interrupted");
    }
    double n = double(data.count);
    e.nll /= n;
    e.mse /= n * double(pixels);
    for (size_t level = 0; level < counts.size(); level++) {
        e.kl_dims[level] = pass.kl ? e.kl_dims[level] / n : double(vq.positions()) * std::log(double(vq.codes));
        e.kl += e.kl_dims[level];
        e.perplexity.push_back(perplexity_of(counts[level]));
    }
    e.elbo = -(e.nll + e.kl);
    return e;
}

} // namespace vkvae
