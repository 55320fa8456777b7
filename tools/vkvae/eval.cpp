// vkvae eval: how well a model explains data.
#include <chrono>
#include <cstdio>

#include "vkvae/common.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

struct Options {
    Common common;
    DataOptions data;
    std::string model;
    int64_t importance_samples = 0, batch = 128;
};

void run_eval(Options& o) {
    OpenModel model = open_model(o.model, o.common);
    default_data(o.data, model, o.common);
    Dataset data = load_data(o.data, model.vae->config(), o.common.quiet);
    EvaluateOptions options;
    options.batch = o.batch;
    options.importance_samples = o.importance_samples;
    options.seed = o.common.seed;
    options.binarize = binarize_of(o.data);
    auto told = std::chrono::steady_clock::now();
    options.progress = [&](int64_t samples, int64_t total) {
        auto now = std::chrono::steady_clock::now();
        if (!o.common.quiet && now - told > std::chrono::seconds(5)) {
            std::fprintf(stderr, "%lld of %lld samples\n", static_cast<long long>(samples),
                         static_cast<long long>(total));
            told = now;
        }
        return !interrupted();
    };
    Evaluation e = evaluate(*model.device, *model.vae, *model.parameters, view_of(data), options);
    save_pipeline_cache(*model.device);
    Json result = {{"data", data.name},  {"split", o.data.split}, {"binarize", o.data.binarize},
                   {"count", e.count},   {"elbo", e.elbo},        {"nll", e.nll},
                   {"kl", e.kl},         {"mse", e.mse},          {"active_units", e.active_units},
                   {"kl_dims", e.kl_dims}};
    if (o.importance_samples > 0) {
        result["iw_samples"] = o.importance_samples;
        result["iw_nll"] = e.iw_nll;
    }
    if (!e.perplexity.empty())
        result["perplexity"] = e.perplexity;
    result["seed"] = o.common.seed;
    print_result(result, o.common);
}

} // namespace

void add_eval(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("eval", "ELBO, NLL and KL in nats per sample, active units, importance bound");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    add_data(*verb, o->data, false, "test");
    verb->add_option("--iw", o->importance_samples, "samples K of the importance-weighted NLL")
        ->check(CLI::Range(int64_t(0), int64_t(1) << 20));
    verb->add_option("--batch", o->batch, "samples at a time")
        ->check(CLI::Range(int64_t(1), int64_t(1) << 20))
        ->capture_default_str();
    verb->callback([o] {
        watch_interrupts();
        run_eval(*o);
    });
}

} // namespace vkvae
