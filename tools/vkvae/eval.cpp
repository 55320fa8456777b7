// vkvae eval: how well a model explains data, and what its latents stand for.
#include <algorithm>

#include "dataset/npy.hpp"
#include "metrics/aggregate.hpp"
#include "metrics/disentanglement.hpp"
#include "metrics/image_quality.hpp"
#include "ops/philox.hpp"
#include "vkvae/common.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

struct Options {
    Common common;
    DataOptions data;
    std::string model, factors;
    int64_t importance_samples = 0, batch = 128, aggregate = 0;
    bool images = false, disentanglement = false;
};

// What the host keeps of the batches.
struct Collected {
    std::vector<float> moments; // (N, 2 D)
    double psnr = 0, ssim = 0;  // sums over the images
};

void add_images(Collected& c, const EvaluatedBatch& b, const ModelConfig& model) {
    size_t pixels = size_t(model.pixels());
    for (size_t i = 0; i < size_t(b.count); i++) {
        std::span<const float> x = b.x.subspan(i * pixels, pixels), mean = b.mean.subspan(i * pixels, pixels);
        double squares = 0;
        for (size_t p = 0; p < pixels; p++)
            squares += (double(x[p]) - mean[p]) * (double(x[p]) - mean[p]);
        c.psnr += psnr(squares / double(pixels));
        c.ssim += ssim(x, mean, model.height, model.width, model.channels);
    }
}

// The data's own factors or those of --factors; checked before anything is computed.
Factors factors_for(const Options& o, const Dataset& data) {
    if (o.factors.empty()) {
        if (data.factors.empty())
            fail(Status::usage, data.name, " has no known factors; --factors FILE.npy (N, F) gives them");
        return make_factors(data.factors, data.factor_names);
    }
    NpyArray array = read_npy(o.factors);
    require_data(array.shape.size() == 2 && array.shape[0] == data.count, o.factors, " has the shape ",
                 to_text(array.shape), "; factors are (N, F) with a row for each of the ", data.count, " samples");
    std::vector<std::string> names;
    for (int64_t f = 0; f < array.shape[1]; f++)
        names.push_back(std::to_string(f));
    return make_factors(npy_to_f32(array, o.factors), names);
}

void add_disentanglement(Json& result, const Collected& c, const Factors& factors, size_t latent, uint64_t seed) {
    std::vector<float> mu;
    for (size_t i = 0; i < c.moments.size(); i += 2 * latent)
        mu.insert(mu.end(), c.moments.begin() + ptrdiff_t(i), c.moments.begin() + ptrdiff_t(i + latent));
    Codes codes = {mu, latent, factors};
    Dci parts = dci(codes, seed);
    result["factors"] = factors.names;
    result["mig"] = mutual_information_gap(codes);
    result["sap"] = separated_predictability(codes, seed);
    result["beta_vae"] = beta_vae_score(codes, seed);
    result["factor_vae"] = factor_vae_score(codes, seed);
    result["dci_disentanglement"] = parts.disentanglement;
    result["dci_completeness"] = parts.completeness;
    result["dci_informativeness"] = parts.informativeness;
}

// Over at most so many of the samples, chosen by the seed: folders come sorted by class.
void add_aggregate(Json& result, const Collected& c, int64_t most, int64_t latent, uint64_t seed) {
    size_t width = size_t(2 * latent), all = c.moments.size() / width, n = std::min(size_t(most), all);
    std::vector<float> moments;
    for (uint32_t i : permutation(uint32_t(all), seed, 0)) {
        auto row = c.moments.begin() + ptrdiff_t(i * width);
        if (moments.size() < n * width)
            moments.insert(moments.end(), row, row + ptrdiff_t(width));
    }
    AggregatePosterior q = aggregate_posterior(moments, latent, seed);
    result["aggregate_count"] = n;
    result["mutual_information"] = q.mutual_information;
    result["aggregate_kl"] = q.kl;
    result["total_correlation"] = q.total_correlation;
    result["dimension_kl"] = q.dimension_kl;
}

void run_eval(Options& o) {
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    default_data(o.data, model, o.common);
    Dataset data = load_data(o.data, config, o.common.quiet);
    if (o.images && config.height == 1)
        fail(Status::usage, "--images: the model's samples are rows of numbers, not images");
    o.disentanglement = o.disentanglement || !o.factors.empty();
    if ((config.vq || config.deterministic) && o.aggregate > 0)
        fail(Status::usage, "--aggregate: the model has no Gaussian posterior");
    if (config.vq && o.disentanglement)
        fail(Status::usage, "--disentanglement: the latents of ", config.name, " are maps of codes");
    Factors factors = o.disentanglement ? factors_for(o, data) : Factors();
    Collected collected;
    EvaluateOptions options;
    options.batch = o.batch;
    options.importance_samples = o.importance_samples;
    options.seed = o.common.seed;
    options.binarize = binarize_of(o.data);
    options.progress = tell_samples(o.common);
    options.each_batch = [&](const EvaluatedBatch& batch) {
        if (o.images)
            add_images(collected, batch, config);
        if (o.disentanglement || o.aggregate > 0)
            collected.moments.insert(collected.moments.end(), batch.moments.begin(), batch.moments.end());
    };
    Evaluation e = evaluate(*model.device, *model.vae, *model.parameters, view_of(data), options);
    save_pipeline_cache(*model.device);
    bool density = find_likelihood(config.likelihood).density && data.type == PixelType::u8;
    Json result = {{"data", data.name},
                   {"split", o.data.split},
                   {"binarize", o.data.binarize},
                   {"count", e.count},
                   {"elbo", e.elbo},
                   {"nll", e.nll},
                   {"kl", e.kl},
                   {"mse", e.mse},
                   {"active_units", e.active_units},
                   {"kl_dims", e.kl_dims},
                   {"bits_per_dim", bits_per_dim(-e.elbo, config.pixels(), density)}};
    if (o.importance_samples > 0) {
        result["iw_samples"] = o.importance_samples;
        result["iw_nll"] = e.iw_nll;
        result["iw_bits_per_dim"] = bits_per_dim(e.iw_nll, config.pixels(), density);
    }
    if (o.images) {
        result["psnr"] = collected.psnr / double(e.count);
        result["ssim"] = collected.ssim / double(e.count);
    }
    if (!e.perplexity.empty())
        result["perplexity"] = e.perplexity;
    if (o.aggregate > 0)
        add_aggregate(result, collected, o.aggregate, config.latent, o.common.seed);
    if (o.disentanglement)
        add_disentanglement(result, collected, factors, size_t(config.latent), o.common.seed);
    result["seed"] = o.common.seed;
    print_result(result, o.common);
}

} // namespace

void add_eval(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb =
        app.add_subcommand("eval", "ELBO, NLL and KL in nats per sample, bits, active units; and on request "
                                   "the importance bound, image quality, latents and factors");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    add_data(*verb, o->data, false, "test");
    verb->add_option("--iw", o->importance_samples, "samples K of the importance-weighted NLL")
        ->check(CLI::Range(int64_t(0), int64_t(1) << 20));
    verb->add_flag("--images", o->images, "PSNR in dB and SSIM of the reconstructions, means over the images");
    verb->add_option(
            "--aggregate", o->aggregate,
            "I(x; z), and KL and total correlation of the aggregate posterior, over this many samples at most; "
            "I(x; z) cannot be more than their logarithm, time grows with their square")
        ->check(CLI::Range(int64_t(0), int64_t(1) << 20));
    verb->add_flag("--disentanglement", o->disentanglement,
                   "MIG, SAP, DCI, and the scores of beta-VAE and FactorVAE, for data with known factors");
    verb->add_option("--factors", o->factors, "those factors: .npy (N, F) of whole numbers, a row for each sample");
    verb->add_option("--batch", o->batch, "samples at a time")
        ->check(CLI::Range(int64_t(1), int64_t(1) << 20))
        ->capture_default_str();
    verb->callback([o] {
        watch_interrupts();
        run_eval(*o);
    });
}

} // namespace vkvae
