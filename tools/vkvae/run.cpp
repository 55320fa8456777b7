// The training loop of a run directory: steps between events, and what each event writes.
#include "vkvae/run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "dataset/image.hpp"
#include "io/file.hpp"
#include "report/progress.hpp"
#include "report/report.hpp"
#include "vkvae/generate.hpp"
#include "vkvae/latents.hpp"
#include "vkvae/run_files.hpp"
#include "vkvae/version.hpp"

namespace vkvae {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kGrid = 8;                 // columns of the pictures
constexpr int64_t kLeastSteps = 20;      // between evaluations
constexpr int64_t kProfiledStep = 10;    // of a session: everything is compiled and warm
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
    int64_t first = 0; // step of this session
    int64_t total = 0, log_every = 0;
    double best = std::numeric_limits<double>::infinity(); // lowest -ELBO on the test split
    double seconds_per_step = 0;
    Evaluation last; // evaluation
    std::vector<double> highest_kl; // of each dimension, at the evaluations of this session
    std::vector<bool> collapsed;    // and said so
    Clock::time_point start = Clock::now();
    double elapsed_before = 0; // of the sessions before this one

    double elapsed() const { return elapsed_before + std::chrono::duration<double>(Clock::now() - start).count(); }
    double epoch_of(int64_t step) const { return double(step * settings.train.batch) / double(data.count); }
    int64_t epochs_at(int64_t step) const { return step * settings.train.batch / data.count; } // whole ones
    // The end of the next epoch; of a group of epochs if they are so short that evaluating would be most of the work.
    int64_t next_epoch(int64_t step) const {
        int64_t group = (kLeastSteps * settings.train.batch + data.count - 1) / data.count;
        return settings.epoch_end((epochs_at(step) / group + 1) * group, data.count);
    }
    int64_t next_save(int64_t step) const {
        int64_t every = settings.save_every;
        return every > 0 ? (step / every + 1) * every : next_epoch(step);
    }
    bool saves_at(int64_t step) const { return step > 0 && (step == total || step == next_save(step - 1)); }
    bool evaluates_at(int64_t step) const { return step > 0 && (step == total || step == next_epoch(step - 1)); }
    const Dataset& shown() const { return test.count > 0 ? test : data; } // in evaluations and pictures
    int64_t next_event(int64_t step) const { return std::min({total, next_save(step), next_epoch(step)}); }
};

std::string fingerprint_of(const Dataset& data) { return concat_text(std::hex, data.fingerprint); }

void write_config(const Run& run) {
    const RunSettings& s = run.settings;
    const Caps& caps = run.device->caps();
    TrainOptions options = s.train;
    options.tuning = run.trainer->tuning();
    TrainMemory memory = train_memory(*run.device, *run.vae, options, run.data.count, view_of(run.data).type);
    Json config = {{"version", kVersion},
                   {"seed", s.train.seed},
                   {"device",
                    {{"name", caps.name},
                     {"driver", caps.driver},
                     {"api", concat_text(VK_API_VERSION_MAJOR(caps.api_version), ".",
                                         VK_API_VERSION_MINOR(caps.api_version))}}},
                   {"data",
                    {{"source", s.data.source},
                     {"split", s.data.split},
                     {"count", run.data.count},
                     {"test_count", run.test.count},
                     {"height", run.data.height},
                     {"width", run.data.width},
                     {"channels", run.data.channels},
                     {"binarize", s.data.binarize},
                     {"limit", s.data.limit},
                     {"with_labels", s.data.with_labels},
                     {"without_labels", s.data.without_labels},
                     {"fingerprint", fingerprint_of(run.data)},
                     {"test_fingerprint", fingerprint_of(run.test)},
                     {"skipped", run.data.skipped}}},
                   {"model", Json::parse(s.model_json)},
                   {"train", to_json(s)},
                   {"tuning", {{"for", tuning_key(*run.device)}, {"choices", run.trainer->tuning()}}},
                   {"total_steps", run.total},
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
    state.extra["vkvae_data"] = fingerprint_of(run.data);
    state.extra["vkvae_seed"] = std::to_string(run.settings.train.seed);
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

std::string precision_text(const Run& run) {
    DType precision = run.settings.train.precision;
    return precision == DType::f32 ? "" : concat_text(" in ", type_name(precision));
}

// A grid of the same 64 latents, to watch the model learn.
void write_samples(Run& run, const fs::path& file) {
    const ModelConfig& config = run.vae->config();
    if (!can_be_png(config))
        return;
    Sampler sampler(*run.device, *run.vae, *run.parameters, kGrid * kGrid);
    std::vector<float> z = sampler.sample_latents(kGrid * kGrid, run.settings.train.seed);
    std::vector<uint8_t> labels; // one class after the other
    for (int64_t i = 0; config.label_classes > 0 && i < kGrid * kGrid; i++)
        labels.push_back(uint8_t(i % config.label_classes));
    write_images(file, sampler.decode(z, labels), config, kGrid);
}

// Warns of latent dimensions whose KL has fallen to nothing: the decoder does without them.
void tell_collapsed(Run& run, const Evaluation& e) {
    static constexpr double kAlive = 0.05, kDead = 0.01; // nats
    constexpr size_t kNamed = 20;
    run.highest_kl.resize(e.kl_dims.size());
    run.collapsed.resize(e.kl_dims.size());
    std::string names;
    size_t count = 0;
    bool all = std::all_of(e.kl_dims.begin(), e.kl_dims.end(), [](double kl) { return kl < kDead; }); // from the start
    for (size_t d = 0; d < e.kl_dims.size(); d++) {
        run.highest_kl[d] = std::max(run.highest_kl[d], e.kl_dims[d]);
        bool dead = (all || run.highest_kl[d] > kAlive) && e.kl_dims[d] < kDead;
        if (dead && !run.collapsed[d] && ++count <= kNamed)
            names += concat_text(count > 1 ? ", " : "", d);
        run.collapsed[d] = dead;
    }
    if (count > 0)
        run.progress->message(concat_text("warning: latent dimension", count > 1 ? "s " : " ", names,
                                          count > kNamed ? ", ..." : "", count > 1 ? " have" : " has",
                                          " collapsed: KL below ", kDead,
                                          " nats; a lower beta, a warm-up or free bits would help"));
}

void evaluate_run(Run& run) {
    DataView view = view_of(run.shown());
    view.count = std::min(view.count, kTestSamples);
    view.bytes = view.bytes.first(size_t(view.count) * view.row_bytes());
    view.labels = view.labels.first(std::min(view.labels.size(), size_t(view.count)));
    EvaluateOptions options;
    options.batch = std::min<int64_t>(run.settings.train.batch, 256);
    options.seed = run.settings.train.seed;
    options.binarize = run.settings.train.binarize;
    options.progress = [](int64_t, int64_t) { return !interrupted(); };
    const Evaluation& e = run.last = evaluate(*run.device, *run.vae, *run.parameters, view, options);
    int64_t step = run.trainer->step();
    const VqConfig& vq = run.vae->config().vq;
    Json line = {{"kind", "eval"},
                 {"step", step},
                 {"epoch", run.epoch_of(step)},
                 {"split", run.test.count > 0 ? "test" : "train"},
                 {"elbo", e.elbo},
                 {"nll", e.nll},
                 {"kl", e.kl}};
    if (vq)
        line["perplexity"] = e.perplexity;
    else
        line["active_units"] = e.active_units;
    line["kl_dims"] = e.kl_dims;
    run.metrics->write(line);
    char text[160], latents[80];
    std::snprintf(latents, sizeof(latents), "active units %lld of %lld", static_cast<long long>(e.active_units),
                  static_cast<long long>(run.vae->config().latent));
    if (vq)
        std::snprintf(latents, sizeof(latents), "perplexity %.1f of %lld codes", e.perplexity.front(),
                      static_cast<long long>(vq.codes));
    std::snprintf(text, sizeof(text), "epoch %.4g: %s -elbo %.3f  nll %.3f  kl %.3f  %s", run.epoch_of(step),
                  run.test.count > 0 ? "test" : "train", -e.elbo, e.nll, e.kl, latents);
    run.progress->message(text);
    if (!run.vae->config().deterministic && !run.vae->config().vq)
        tell_collapsed(run, e);
    if (-e.elbo < run.best) {
        run.best = -e.elbo;
        save_model(run.dir / "best.safetensors", *run.vae, *run.parameters);
    }
    char name[64];
    std::snprintf(name, sizeof(name), "step-%09lld.png", static_cast<long long>(step));
    write_samples(run, run.dir / "samples" / name);
}

void write_pictures(Run& run) {
    const ModelConfig& config = run.vae->config();
    if (!can_be_png(config))
        return;
    write_samples(run, run.dir / "samples.png");
    const Dataset& set = run.shown();
    Sampler sampler(*run.device, *run.vae, *run.parameters, kGrid * kGrid);
    auto labels = [&](int64_t count) { return labels_for(config, set, 0, count); };
    std::vector<float> images = first_images(set, 0, 2 * kGrid);
    write_images(run.dir / "reconstructions.png",
                 reconstruction_rows(sampler, images, config.pixels(), kGrid, labels(2 * kGrid)), config, kGrid);
    if (const int64_t count = std::min<int64_t>(kGrid, set.count) / 2 * 2; count >= 2)
        write_images(run.dir / "interpolation.png",
                     interpolation_rows(sampler, first_images(set, 0, count), config.pixels(), config.latent,
                                        kGrid + 1, false, labels(count)),
                     config, kGrid + 1);
    if (config.vq)
        return; // a number of one place of a map has no meaning of its own
    std::vector<int> dims = dims_by_kl(run.last.kl_dims, config.latent, 10);
    std::vector<float> base = sampler.encode(first_images(set, 0, 1), labels(1)).mu;
    write_images(run.dir / "traversal.png", traversal_rows(sampler, base, dims, kGrid + 1, 2.5f, labels(1)), config,
                 kGrid + 1);
}

// Trains one step, as any other.
StepStats write_profile(Run& run) {
    Json kernels = Json::array();
    StepStats stats;
    std::vector<KernelTime> times = run.trainer->profile_step(&stats);
    for (const KernelTime& time : times)
        kernels.push_back({{"name", time.name}, {"calls", time.calls}, {"ms", time.ms}});
    if (!times.empty())
        write_json(run.dir / "profile.json", {{"steps", 1}, {"kernels", kernels}});
    return stats;
}

void log_steps(Run& run, const std::vector<StepStats>& stats) {
    const TrainOptions& t = run.settings.train;
    double rate = run.seconds_per_step > 0 ? double(t.batch) / run.seconds_per_step : 0;
    for (const StepStats& s : stats) {
        if ((s.step + 1) % run.log_every != 0 && !s.skipped)
            continue;
        Json line = {{"kind", "train"},
                     {"step", s.step + 1},
                     {"epoch", run.epoch_of(s.step + 1)},
                     {"loss", s.loss},
                     {"nll", s.nll},
                     {"kl", s.kl},
                     {"grad_norm", s.gradient_norm}, // null where it is not finite
                     {"lr", tidy(s.lr)},
                     {"beta", tidy(s.beta)},
                     {"images_per_s", rate},
                     {"elapsed_s", run.elapsed()}};
        const std::vector<std::string> extras = run.vae->extras();
        for (size_t i = 0; i < extras.size(); i++)
            line[extras[i]] = s.extras[i];
        if (!s.perplexity.empty())
            line["perplexity"] = s.perplexity;
        if (t.precision == DType::f16) {
            line["loss_scale"] = s.loss_scale;
            line["skipped"] = s.skipped;
        }
        run.metrics->write(line);
    }
    const StepStats& last = stats.back();
    run.progress->update({last.step + 1, run.epoch_of(last.step + 1), last.loss, last.nll, last.kl, rate});
}

// Runs up to `until`, in pieces short enough to notice Ctrl-C.
void advance(Run& run, int64_t until) {
    while (run.trainer->step() < until && !interrupted()) {
        int64_t step = run.trainer->step(), profiled = run.first + kProfiledStep;
        if (step == profiled) {
            log_steps(run, {write_profile(run)});
            continue;
        }
        int64_t left = (step < profiled ? std::min(until, profiled) : until) - step;
        int64_t piece = run.seconds_per_step > 0 ? int64_t(kPieceSeconds / run.seconds_per_step) : 1;
        piece = std::clamp<int64_t>(piece, 1, left);
        auto start = Clock::now();
        std::vector<StepStats> stats = run.trainer->run(piece);
        double seconds = std::chrono::duration<double>(Clock::now() - start).count() / double(piece);
        bool compiled = step > run.first + 1; // what the steps before this one took says nothing
        run.seconds_per_step = compiled ? 0.7 * run.seconds_per_step + 0.3 * seconds : seconds;
        log_steps(run, stats);
    }
}

// A checkpoint is saved before its step is evaluated, and a resumed run evaluates again: an evaluation that was cut
// short is never missing, and one that only the former end of an extended run called for leaves no trace in it.
void loop(Run& run, bool evaluate_first) {
    if (evaluate_first)
        evaluate_run(run);
    while (run.trainer->step() < run.total) {
        advance(run, run.next_event(run.trainer->step()));
        int64_t step = run.trainer->step();
        if (run.saves_at(step) || interrupted())
            save(run);
        if (interrupted())
            fail(Status::interrupted, "");
        if (run.evaluates_at(step))
            evaluate_run(run);
    }
}

// For the report's scatter plot: what the first samples of the test split look like in the plane.
void write_latents(Run& run) {
    constexpr int64_t kShown = 2000;
    const Dataset& set = run.shown();
    int64_t count = std::min(kShown, set.count), latent = run.vae->config().latent;
    if (latent > 1024) // a billion multiplications a sweep: no longer cheap
        return;
    Sampler sampler(*run.device, *run.vae, *run.parameters, std::min<int64_t>(count, 128));
    std::vector<float> mu = sampler.encode(first_images(set, 0, count), labels_for(run.vae->config(), set, 0, count)).mu;
    ScatterChart chart = latent_scatter(set, fit_pca(mu, latent), mu);
    auto rounded = [](const std::vector<double>& values) { // what can be seen
        Json list = Json::array();
        for (double value : values)
            list.push_back(std::round(value * 1000) / 1000);
        return list;
    };
    write_file_atomic(run.dir / "latents.json", json_text({{"title", chart.title},
                                                           {"unit", chart.unit},
                                                           {"x_name", chart.x_name},
                                                           {"y_name", chart.y_name},
                                                           {"classes", chart.classes},
                                                           {"labels", chart.labels},
                                                           {"x", rounded(chart.x)},
                                                           {"y", rounded(chart.y)}}) +
                                                    "\n");
}

void finish(Run& run) {
    run.progress->finish();
    write_pictures(run);
    write_latents(run);
    write_report(run.dir);
    save_pipeline_cache(*run.device);
}

// Everything that can be wrong with what the user gave, before any file is touched.
void prepare(Run& run) {
    const RunSettings& s = run.settings;
    run.vae = std::make_unique<Vae>(parse_model(s.model_json));
    const ModelConfig& config = run.vae->config();
    run.data = load_data(s.data, config, run.common.quiet);
    DataOptions test = s.data;
    test.split = "test";
    run.test = load_data(test, config, true, true);
    // Random numbers are counted by 32-bit steps; samples of a run by 63 bits.
    if (s.epochs > (int64_t(1) << 40) / run.data.count || s.total_steps(run.data.count) > UINT32_MAX)
        fail(Status::usage, "the run would be longer than ", UINT32_MAX, " steps");
    run.total = run.settings.train.total_steps = s.total_steps(run.data.count);
    run.log_every = s.log_every > 0 ? s.log_every : std::max<int64_t>(1, run.data.count / s.train.batch / 50);
    run.device = open_device(run.common);
    run.settings.train.precision = precision_on(*run.device, s.precision);
    run.parameters = std::make_unique<Parameters>(run.vae->make_parameters());
    run.parameters->allocate(*run.device, true, s.train.precision);
    if (s.tuned_for == tuning_key(*run.device)) // on another device the run's choices are no good, and no promise holds
        run.settings.train.tuning = s.tuning;
    bool measures = !s.train.tuning && (s.train.autotune == Autotune::quick || s.train.autotune == Autotune::full);
    if (measures)
        run.parameters->initialise(s.train.seed); // zeros would hide a wrong kernel
    run.trainer = std::make_unique<Trainer>(*run.device, *run.vae, *run.parameters, view_of(run.data), s.train);
    const TuneReport& tuned = run.trainer->tuned();
    if (!measures || run.common.quiet)
        return;
    if (tuned.tuning.empty())
        std::fprintf(stderr, "autotune: there is nothing to choose on this device\n");
    else if (tuned.changed == 0)
        std::fprintf(stderr, "autotune: the step is no faster for any other of its %zu choices (%.0f s)\n",
                     tuned.tuning.size(), tuned.seconds);
    else
        std::fprintf(stderr, "autotune: %zu of %zu choices are others now, %.1f ms a step become %.1f (%.0f s)\n",
                     tuned.changed, tuned.tuning.size(), tuned.before_ms, tuned.after_ms, tuned.seconds);
    if (!tuned.not_kept.empty())
        std::fprintf(stderr, "autotune: what was found is not kept: %s\n", tuned.not_kept.c_str());
    if (tuned.refused > 0)
        std::fprintf(stderr, "autotune: %zu candidates failed or gave other results, and were refused\n",
                     tuned.refused);
}

void refuse_other_run(const Run& run) {
    if (holds_run(run.dir) && !run.common.force)
        fail(Status::usage, run.dir.string(), " holds a run; vkvae resume ", run.dir.string(),
             " goes on with it, --force starts it again");
}

void start_afresh(Run& run) {
    refuse_other_run(run);
    clear_run(run.dir);
    initialise(*run.parameters, *run.vae, view_of(run.data), run.settings.train.seed);
}

void load_checkpoint(Run& run) {
    require_data(run.settings.fingerprint == fingerprint_of(run.data) &&
                     run.settings.test_fingerprint == fingerprint_of(run.test),
                 run.settings.data.source, " holds other data than when the run was started");
    std::optional<TrainState> state = load_newest_checkpoint(run.dir, *run.vae, *run.parameters);
    if (!state) { // killed before the first
        initialise(*run.parameters, *run.vae, view_of(run.data), run.settings.train.seed);
        return;
    }
    if (run.total < state->step)
        fail(Status::usage, run.dir.string(), " has already trained ", state->step, " steps, ", run.total,
             " would be a step back");
    run.first = state->step;
    run.best = std::strtod(state->extra["vkvae_best"].c_str(), nullptr);
}

} // namespace

Json train_run(const fs::path& dir, const RunSettings& settings, const Common& common, bool resume) {
    std::error_code ignored;
    if (fs::exists(dir, ignored) && !fs::is_directory(dir, ignored))
        fail(Status::usage, dir.string(), " is not a directory");
    Run run = {.dir = dir, .settings = settings, .common = common};
    if (!resume)
        refuse_other_run(run); // now rather than after the data are loaded
    prepare(run);
    fs::create_directories(dir);
    RunLock lock(dir);
    resume ? load_checkpoint(run) : start_afresh(run);
    for (const fs::path& folder : {dir, dir / "checkpoints", dir / "samples"}) {
        fs::create_directories(folder);
        remove_stale_temporaries(folder);
    }
    run.trainer->set_step(run.first);
    write_config(run);
    run.metrics = std::make_unique<Metrics>(dir / "metrics.jsonl", run.first);
    run.elapsed_before = run.metrics->elapsed_seconds();
    run.start = Clock::now();
    run.progress = std::make_unique<Progress>(run.vae->config().name, run.total, run.first, common.quiet);
    run.progress->message(concat_text(resume ? "resuming " : "training ", run.vae->config().name, " (",
                                      run.parameters->count(), " parameters) on ", run.data.name, " (", run.data.count,
                                      ") with ", run.device->caps().name, precision_text(run), ", seed ",
                                      settings.train.seed));
    if (run.first > 0)
        save(run); // the same checkpoint, and what a kill kept from being written after it
    try {
        loop(run, run.evaluates_at(run.first));
    } catch (const Error& error) {
        run.progress->finish();
        if (error.status() != Status::interrupted)
            throw;
        save(run);
        save_pipeline_cache(*run.device);
        fail(Status::interrupted, "interrupted at step ", run.trainer->step(), " of ", run.total, "; vkvae resume ",
             dir.string(), " goes on");
    }
    finish(run);
    return {{"run", dir.string()},     {"steps", run.total},   {"elbo", run.last.elbo},
            {"nll", run.last.nll},     {"kl", run.last.kl},    {"best_elbo", -run.best},
            {"report", (dir / "report.html").string()}};
}

} // namespace vkvae
