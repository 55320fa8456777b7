// The training loop of a run directory: steps between events, and what each event writes.
#include "vkvae/run.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

#include "dataset/image.hpp"
#include "io/file.hpp"
#include "report/progress.hpp"
#include "report/report.hpp"
#include "vkvae/generate.hpp"
#include "vkvae/run_files.hpp"
#include "vkvae/version.hpp"

namespace vkvae {
namespace {

// The shortest decimal that reads back as this float: 0.001, not 0.0010000000474974513.
double tidy(float value) {
    char text[32];
    std::to_chars_result end = std::to_chars(text, text + sizeof(text) - 1, value);
    *end.ptr = 0;
    return std::strtod(text, nullptr);
}

} // namespace

int64_t RunSettings::steps_per_epoch(int64_t count) const { return (count + train.batch - 1) / train.batch; }

int64_t RunSettings::total_steps(int64_t count) const {
    return steps > 0 ? steps : (epochs * count + train.batch - 1) / train.batch;
}

Json to_json(const RunSettings& s) {
    return {{"epochs", s.epochs},
            {"steps", s.steps},
            {"batch", s.train.batch},
            {"lr", tidy(s.train.lr)},
            {"optimizer", s.train.optimizer},
            {"momentum", tidy(s.train.momentum)},
            {"weight_decay", tidy(s.train.weight_decay)},
            {"beta", tidy(s.train.beta)},
            {"clip_norm", tidy(s.train.clip_norm)},
            {"save_every", s.save_every},
            {"keep", s.keep},
            {"log_every", s.log_every}};
}

RunSettings settings_from(const Json& config) {
    try {
        RunSettings s;
        const Json &t = config.at("train"), &d = config.at("data");
        s.model_json = config.at("model").dump();
        s.data.source = d.at("source");
        s.data.binarize = d.at("binarize");
        s.data.limit = d.at("limit");
        s.epochs = t.at("epochs");
        s.steps = t.at("steps");
        s.save_every = t.at("save_every");
        s.keep = t.at("keep");
        s.log_every = t.at("log_every");
        s.train.batch = t.at("batch");
        s.train.lr = t.at("lr");
        s.train.optimizer = t.at("optimizer");
        s.train.momentum = t.at("momentum");
        s.train.weight_decay = t.at("weight_decay");
        s.train.beta = t.at("beta");
        s.train.clip_norm = t.at("clip_norm");
        s.train.seed = config.at("seed");
        s.train.binarize = binarize_of(s.data);
        return s;
    } catch (const nlohmann::json::exception& error) {
        fail(Status::data, "the run's config.json does not describe a run: ", error.what());
    }
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kGrid = 8;                 // columns of the pictures
constexpr int64_t kTestSamples = 10000;  // most that the evaluation between epochs looks at
constexpr double kPieceSeconds = 0.25;   // how often Ctrl-C is looked at and progress drawn

// One run under way.
struct Run {
    fs::path dir;
    RunSettings settings;
    const Common& common;
    std::unique_ptr<Vae> vae;
    Dataset data, test;
    std::unique_ptr<Device> device;
    std::unique_ptr<Parameters> parameters;
    std::unique_ptr<Trainer> trainer;
    std::unique_ptr<Metrics> metrics;
    std::unique_ptr<Progress> progress;
    int64_t total = 0, per_epoch = 0, save_every = 0, log_every = 0;
    double best = std::numeric_limits<double>::infinity(); // lowest -ELBO on the test split
    double seconds_per_step = 0;
    std::vector<double> kl_dims;
    Clock::time_point start = Clock::now();
    double elapsed_before = 0; // of the sessions before this one

    double elapsed() const { return elapsed_before + std::chrono::duration<double>(Clock::now() - start).count(); }
    double epoch_of(int64_t step) const { return double(step * settings.train.batch) / double(data.count); }
    bool saves_at(int64_t step) const { return step % save_every == 0 || step == total; }
    bool evaluates_at(int64_t step) const { return step % per_epoch == 0 || step == total; }
    int64_t next_event(int64_t step) const {
        auto after = [&](int64_t period) { return (step / period + 1) * period; };
        return std::min({total, after(save_every), after(per_epoch)});
    }
};

void write_config(const Run& run) {
    const RunSettings& s = run.settings;
    const Caps& caps = run.device->caps();
    TrainMemory memory = train_memory(*run.device, *run.vae, s.train, run.data.count, view_of(run.data).type);
    Json config = {{"command", "train"},
                   {"version", kVersion},
                   {"seed", s.train.seed},
                   {"device",
                    {{"name", caps.name},
                     {"driver", caps.driver},
                     {"api", concat_text(VK_API_VERSION_MAJOR(caps.api_version), ".",
                                         VK_API_VERSION_MINOR(caps.api_version))}}},
                   {"data",
                    {{"source", s.data.source},
                     {"count", run.data.count},
                     {"test_count", run.test.count},
                     {"height", run.data.height},
                     {"width", run.data.width},
                     {"channels", run.data.channels},
                     {"binarize", s.data.binarize},
                     {"limit", s.data.limit},
                     {"fingerprint", concat_text(std::hex, run.data.fingerprint)},
                     {"skipped", run.data.skipped}}},
                   {"model", Json::parse(s.model_json)},
                   {"train", to_json(s)},
                   {"parameters", run.parameters->count()},
                   {"memory",
                    {{"parameters", memory.parameters},
                     {"intermediate", memory.intermediate},
                     {"data", memory.data},
                     {"rings", memory.rings},
                     {"total", memory.total()}}}};
    write_json(run.dir / "config.json", config);
}

TrainState state_of(const Run& run) {
    TrainState state;
    state.step = run.trainer->step();
    state.extra["vkvae_best"] = concat_text(std::hexfloat, run.best);
    state.extra["vkvae_data"] = concat_text(std::hex, run.data.fingerprint);
    state.extra["vkvae_train"] = to_json(run.settings).dump();
    state.extra["vkvae_seed"] = std::to_string(run.settings.train.seed);
    state.extra["vkvae_config"] = run.vae->config().json;
    // How long the run is does not change what it has computed so far: a run that was told to go further ends with
    // the same files as one that was started for as long.
    Json settings = to_json(run.settings);
    settings.erase("epochs");
    settings.erase("steps");
    state.extra["vkvae_train"] = settings.dump();
    return state;
}

void save(Run& run) {
    save_checkpoint(run.dir, *run.vae, *run.parameters, state_of(run), run.settings.keep,
                    [&](int64_t step) { return run.saves_at(step); });
}

void evaluate_run(Run& run) {
    const Dataset& set = run.test.count > 0 ? run.test : run.data;
    DataView view = view_of(set);
    view.count = std::min(view.count, kTestSamples);
    EvaluateOptions options;
    options.batch = std::min<int64_t>(run.settings.train.batch, 256);
    options.seed = run.settings.train.seed;
    options.binarize = run.settings.train.binarize;
    Evaluation e = evaluate(*run.device, *run.vae, *run.parameters, view, options);
    run.kl_dims = e.kl_dims;
    int64_t step = run.trainer->step();
    run.metrics->write({{"kind", "eval"},
                        {"step", step},
                        {"epoch", run.epoch_of(step)},
                        {"split", run.test.count > 0 ? "test" : "train"},
                        {"elbo", e.elbo},
                        {"nll", e.nll},
                        {"kl", e.kl},
                        {"active_units", e.active_units},
                        {"kl_dims", e.kl_dims}});
    char text[160];
    std::snprintf(text, sizeof(text), "epoch %.4g: %s -elbo %.3f  nll %.3f  kl %.3f  active units %lld of %lld",
                  run.epoch_of(step), run.test.count > 0 ? "test" : "train", -e.elbo, e.nll, e.kl,
                  static_cast<long long>(e.active_units), static_cast<long long>(run.vae->config().latent));
    run.progress->message(text);
    if (-e.elbo < run.best) {
        run.best = -e.elbo;
        save_model(run.dir / "best.safetensors", *run.vae, *run.parameters);
    }
}

bool can_be_png(const ModelConfig& config) {
    return config.channels == 1 || config.channels == 3 || config.channels == 4;
}

// A grid of the same 64 latents, to watch the model learn.
void write_samples(Run& run, const fs::path& file) {
    const ModelConfig& config = run.vae->config();
    if (!can_be_png(config) || config.height == 1)
        return;
    Sampler sampler(*run.device, *run.vae, *run.parameters, kGrid * kGrid);
    std::vector<float> z = sampler.sample_latents(kGrid * kGrid, run.settings.train.seed);
    write_images(file, sampler.decode(z), config, kGrid);
}

void write_pictures(Run& run) {
    const ModelConfig& config = run.vae->config();
    if (!can_be_png(config) || config.height == 1)
        return;
    write_samples(run, run.dir / "samples.png");
    const Dataset& set = run.test.count > 0 ? run.test : run.data;
    Sampler sampler(*run.device, *run.vae, *run.parameters, kGrid * kGrid);
    std::vector<float> images = first_images(set, 0, 2 * kGrid);
    write_images(run.dir / "reconstructions.png", reconstruction_rows(sampler, images, config.pixels(), kGrid), config,
                 kGrid);
    if (set.count >= 2)
        write_images(run.dir / "interpolation.png",
                     interpolation_rows(sampler, first_images(set, 0, std::min<int64_t>(kGrid, set.count) / 2 * 2),
                                        config.pixels(), config.latent, kGrid + 1, false),
                     config, kGrid + 1);
    std::vector<int> dims = dims_by_kl(run.kl_dims, config.latent, 10);
    std::vector<float> base = sampler.encode(first_images(set, 0, 1)).mu;
    write_images(run.dir / "traversal.png", traversal_rows(sampler, base, dims, kGrid + 1, 2.5f), config, kGrid + 1);
}

void write_profile(Run& run) {
    Json kernels = Json::array();
    std::vector<KernelTime> times = run.trainer->profile_step();
    for (const KernelTime& time : times)
        kernels.push_back({{"name", time.name}, {"calls", time.calls}, {"ms", time.ms}});
    if (!times.empty())
        write_json(run.dir / "profile.json", {{"steps", 1}, {"kernels", kernels}});
}

void log_steps(Run& run, const std::vector<StepStats>& stats) {
    const TrainOptions& t = run.settings.train;
    double rate = run.seconds_per_step > 0 ? double(t.batch) / run.seconds_per_step : 0;
    for (const StepStats& s : stats)
        if ((s.step + 1) % run.log_every == 0)
            run.metrics->write({{"kind", "train"},
                                {"step", s.step + 1},
                                {"epoch", run.epoch_of(s.step + 1)},
                                {"loss", s.loss},
                                {"nll", s.nll},
                                {"kl", s.kl},
                                {"grad_norm", s.gradient_norm},
                                {"lr", tidy(t.lr)},
                                {"beta", tidy(t.beta)},
                                {"images_per_s", rate},
                                {"elapsed_s", run.elapsed()}});
    const StepStats& last = stats.back();
    run.progress->update({last.step + 1, run.epoch_of(last.step + 1), last.loss, last.nll, last.kl, rate});
}

// Runs up to the next event, in pieces short enough to notice Ctrl-C.
void advance(Run& run, int64_t until) {
    while (run.trainer->step() < until && !interrupted()) {
        int64_t left = until - run.trainer->step();
        int64_t piece = run.seconds_per_step > 0 ? int64_t(kPieceSeconds / run.seconds_per_step) : 1;
        piece = std::clamp<int64_t>(piece, 1, left);
        auto start = Clock::now();
        std::vector<StepStats> stats = run.trainer->run(piece);
        double seconds = std::chrono::duration<double>(Clock::now() - start).count() / double(piece);
        run.seconds_per_step = run.seconds_per_step > 0 ? 0.7 * run.seconds_per_step + 0.3 * seconds : seconds;
        log_steps(run, stats);
    }
}

void loop(Run& run) {
    constexpr int64_t kProfiledStep = 10; // late enough that everything is compiled and warm
    bool profiled = false;
    while (run.trainer->step() < run.total) {
        int64_t step = run.trainer->step();
        if (!profiled && step >= kProfiledStep) {
            write_profile(run);
            profiled = true;
            if (run.saves_at(step + 1) || run.evaluates_at(step + 1))
                goto events;
            continue;
        }
        advance(run, profiled ? run.next_event(step) : std::min(run.next_event(step), std::max(step + 1, kProfiledStep)));
    events:
        step = run.trainer->step();
        bool stop = interrupted();
        if (run.evaluates_at(step) && !stop) {
            evaluate_run(run);
            char name[64];
            std::snprintf(name, sizeof(name), "step-%09lld.png", static_cast<long long>(step));
            write_samples(run, run.dir / "samples" / name);
        }
        if (run.saves_at(step) || stop)
            save(run);
        if (stop && step < run.total) {
            run.progress->finish();
            run.device->save_pipeline_cache();
            fail(Status::interrupted, "interrupted at step ", step, " of ", run.total, "; vkvae resume ",
                 run.dir.string(), " goes on");
        }
    }
}

void finish(Run& run) {
    run.progress->finish();
    write_pictures(run);
    write_report(run.dir);
    run.device->save_pipeline_cache();
}

} // namespace

void train_run(const fs::path& dir, const RunSettings& settings, const Common& common, bool resume) {
    Run run = {.dir = dir, .settings = settings, .common = common};
    run.vae = std::make_unique<Vae>(parse_model(settings.model_json));
    const ModelConfig& config = run.vae->config();
    run.data = load_data(settings.data, config, settings.train.seed, common.quiet);
    DataOptions test = settings.data;
    test.split = "test";
    run.test = load_data(test, config, settings.train.seed, true);
    run.total = settings.total_steps(run.data.count);
    run.per_epoch = settings.steps_per_epoch(run.data.count);
    run.save_every = settings.save_every > 0 ? settings.save_every : run.per_epoch;
    run.log_every = settings.log_every > 0 ? settings.log_every : std::max<int64_t>(1, run.per_epoch / 50);

    run.device = open_device(common);
    run.parameters = std::make_unique<Parameters>(run.vae->make_parameters());
    run.parameters->allocate(*run.device, true);
    fs::create_directories(dir / "checkpoints");
    fs::create_directories(dir / "samples");
    remove_stale_temporaries(dir);
    remove_stale_temporaries(dir / "checkpoints");
    int64_t start = 0;
    if (resume) {
        TrainState state = load_newest_checkpoint(dir, *run.vae, *run.parameters);
        require_data(state.extra["vkvae_data"] == concat_text(std::hex, run.data.fingerprint),
                     "the data are not those that the run was started with: ", settings.data.source);
        start = state.step;
        run.best = std::strtod(state.extra["vkvae_best"].c_str(), nullptr);
    } else {
        run.parameters->initialise(settings.train.seed);
    }
    write_config(run);
    run.metrics = std::make_unique<Metrics>(dir / "metrics.jsonl", start);
    run.elapsed_before = run.metrics->elapsed_seconds();
    run.trainer = std::make_unique<Trainer>(*run.device, *run.vae, *run.parameters, view_of(run.data), settings.train);
    run.trainer->set_step(start);
    run.progress = std::make_unique<Progress>(config.name, run.total, start, common.quiet);
    if (!common.quiet)
        run.progress->message(concat_text(resume ? "resuming " : "training ", config.name, " (", run.parameters->count(),
                                          " parameters) on ", run.data.name, " (", run.data.count, ") with ",
                                          run.device->caps().name, ", seed ", settings.train.seed));
    loop(run);
    finish(run);
}

} // namespace vkvae
