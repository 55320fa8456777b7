// vkvae train and resume.
#include <iostream>

#include "vkvae/run.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

struct Options {
    Common common;
    RunSettings settings;
    std::string model, out;
    int64_t latent = 0;
    CLI::Option* epochs = nullptr;
    CLI::Option* steps = nullptr;
    CLI::Option* autotune = nullptr;
};

// `autotune`: what the default is called.
void add_schedule(CLI::App* verb, Options& o, const char* autotune) {
    auto count = CLI::Range(int64_t(1), int64_t(1) << 31);
    o.epochs = verb->add_option("--epochs", o.settings.epochs, "passes over the data")
                   ->check(count)
                   ->capture_default_str();
    o.steps = verb->add_option("--steps", o.settings.steps, "training steps; instead of --epochs")->check(count);
    o.steps->excludes(o.epochs);
    o.autotune = add_autotune(*verb, o.settings.train.autotune, autotune);
}

// With --latent the model's JSON is changed, so that everything after it sees one model.
std::string with_latent(const std::string& model, int64_t latent) {
    if (latent == 0)
        return model;
    Json json = Json::parse(model);
    json["latent"] = latent;
    return parse_model(json.dump()).json;
}

// Resuming may happen in another directory.
std::string absolute_source(const std::string& source) {
    return is_drawn(source) || !fs::exists(source) ? source : fs::absolute(source).lexically_normal().string();
}

Json run_train(Options& o) {
    RunSettings& s = o.settings;
    s.model_json = with_latent(find_model(o.model).json, o.latent);
    s.data.source = absolute_source(s.data.source);
    s.data.seed = s.train.seed = o.common.seed;
    s.train.binarize = binarize_of(s.data);
    return train_run(o.out, s, o.common, false);
}

Json run_resume(Options& o, bool seed_given) {
    fs::path out = o.out;
    if (!fs::exists(out / "config.json"))
        fail(Status::data, o.out, " is not a run directory: it has no config.json");
    RunSettings settings = settings_from(read_json(out / "config.json"));
    if (seed_given && o.common.seed != settings.train.seed)
        fail(Status::usage, "the run's seed is ", settings.train.seed, "; a run that is resumed keeps it");
    if (o.epochs->count() > 0) {
        settings.epochs = o.settings.epochs;
        settings.steps = 0;
    }
    if (o.steps->count() > 0)
        settings.steps = o.settings.steps;
    if (o.autotune->count() > 0) { // or else the run's own choices, so that it ends with the same bytes
        settings.train.autotune = o.settings.train.autotune;
        settings.tuned_for.clear();
    }
    return train_run(out, settings, o.common, true);
}

} // namespace

void add_train(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("train", "train a model into a run directory");
    add_common(*verb, o->common);
    add_data(*verb, o->settings.data, true, "train");
    verb->add_option("--model", o->model, "a preset (mlp, conv28, ladder, vq28, ...; vkvae info MODEL shows one) or a .json file")->required();
    verb->add_option("--out", o->out, "run directory")->required();
    add_schedule(verb, *o, "cached");
    TrainOptions& t = o->settings.train;
    auto positive = CLI::Range(int64_t(1), int64_t(1) << 31);
    auto not_negative = number_within(0, 1e30);
    verb->add_option("--batch", t.batch, "samples in a step")->check(positive)->capture_default_str();
    verb->add_option("--lr", t.lr, "learning rate")->check(not_negative)->capture_default_str();
    verb->add_option("--optimizer", t.optimizer, "adam, adamw or sgd")
        ->check(CLI::IsMember({"adam", "adamw", "sgd"}))
        ->capture_default_str();
    verb->add_option("--momentum", t.momentum, "of sgd")->check(number_within(0, 1))->capture_default_str();
    verb->add_option("--weight-decay", t.weight_decay, "weight decay")->check(not_negative)->capture_default_str();
    verb->add_option("--clip-norm", t.clip_norm, "largest gradient norm; 0: not clipped")
        ->check(not_negative)
        ->capture_default_str();
    verb->add_option("--beta", t.beta, "weight of the KL term, instead of the model's objective's")->check(not_negative);
    verb->add_option("--lr-schedule", t.lr_schedule, "constant, or falling to nothing at the end: linear, cosine")
        ->check(CLI::IsMember({"constant", "linear", "cosine"}))
        ->capture_default_str();
    verb->add_option("--lr-warmup", t.lr_warmup, "steps over which the learning rate rises linearly")
        ->check(CLI::Range(int64_t(0), int64_t(1) << 31))
        ->capture_default_str();
    add_precision(*verb, o->settings.precision);
    verb->add_option("--latent", o->latent, "latent dimensions, instead of the model's")
        ->check(CLI::Range(int64_t(1), int64_t(65536)));
    verb->add_option("--save-every", o->settings.save_every, "steps between checkpoints; an epoch unless given")
        ->check(positive);
    verb->add_option("--keep", o->settings.keep, "checkpoints that stay")->check(positive)->capture_default_str();
    verb->add_option("--log-every", o->settings.log_every, "steps between lines of metrics.jsonl")->check(positive);
    verb->callback([o] {
        watch_interrupts();
        print_result(run_train(*o), o->common);
    });
}

void add_resume(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("resume", "go on with a run, to where it was meant to end or further");
    add_common(*verb, o->common);
    verb->add_option("run", o->out, "run directory")->required();
    add_schedule(verb, *o, "what the run was started with");
    verb->callback([o, verb] {
        watch_interrupts();
        print_result(run_resume(*o, verb->count("--seed") > 0), o->common);
    });
}

} // namespace vkvae
