// The training loop: one plan of gather, forward, backward and optimizer, replayed in submissions of many steps.
//
// Sample i of step s is number s batch + i of an endless stream: epoch e is a permutation of the data drawn from
// (seed, e), one after the other. Where a run stands is the step number alone, which makes resuming exact.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/gemm.hpp"
#include "ops/philox.hpp"
#include "vae/likelihood.hpp"
#include "vae/objective.hpp"

namespace vkvae {
namespace {

// Columns of the statistics ring, before those of kl_dims, the extras and perplexity. From kSquares on what optimizers return.
enum Column : int64_t { kLoss, kNll, kKl, kSquares, kFactor, kScale, kSkipped, kColumns };

int64_t ring_width(const Vae& vae) {
    return kColumns + vae.kl_columns() + int64_t(vae.extras().size()) + vae.config().vq.levels * bool(vae.config().vq);
}

struct TrainGraph {
    Graph graph;
    Tensor data, labels, indices, ring, halted, weights, narrow, loss_scale, gradients, m, v;
    std::vector<Tensor> gradient_parts; // views, one for each parameter that is trained
};

// Without `update` it ends at the gradients and changes nothing: for looking at a step that went wrong.
TrainGraph build_graph(const Vae& vae, const TrainOptions& o, int64_t rows, DType type, bool update = true) {
    TrainGraph t;
    Graph& g = t.graph;
    const ModelConfig& config = vae.config();
    t.data = g.input({rows, config.pixels()}, "data", type);
    t.indices = g.input({o.max_steps, o.batch}, "indices", DType::u32);
    t.ring = g.input({o.max_steps, ring_width(vae)}, "statistics");
    t.halted = g.input({1}, "halted", DType::u32);

    Weights w = vae.add_weights(g, o.precision);
    t.weights = w.flat;
    t.narrow = w.narrow;
    if (o.precision == DType::f16)
        t.loss_scale = g.input({3}, "loss scale");
    Tensor x = gather(g, t.data, t.indices, o.binarize), y;
    if (config.label_classes > 0) {
        t.labels = g.input({rows, config.label_classes}, "labels", DType::u8);
        y = gather(g, t.labels, t.indices);
    }
    Elbo e = vae.elbo(g, w, x, {}, y);

    Shape flat = g.shape(w.flat);
    t.gradients = g.input(flat, "gradients");
    Parameters layout = vae.make_parameters();
    std::vector<Tensor> all_parts = layout.views(g, t.gradients), trained;
    for (size_t i = 0; i < all_parts.size(); i++)
        if (layout.list()[i].trained) {
            trained.push_back(w.tensors[i]);
            t.gradient_parts.push_back(all_parts[i]);
        }
    g.backward(e.loss, trained, t.gradient_parts, t.loss_scale ? g.view(t.loss_scale, {1}) : Tensor{});
    // What the optimizer works on: all but the state that comes after it.
    auto part = [&](Tensor whole) {
        return whole && layout.trained() < layout.padded() ? g.view(whole, {layout.trained()}) : whole;
    };

    if (!update) {
        g.rename(sum_of_squares(g, part(t.gradients)), "gradient norm");
        return t;
    }
    t.m = g.input(flat, "m");
    OptimizerState state = {part(w.flat), part(t.gradients), t.halted, e.loss, part(t.narrow), t.loss_scale};
    Tensor control;
    if (o.optimizer == "sgd") {
        control = sgd(g, state, part(t.m), o.momentum, o.weight_decay);
    } else if (o.optimizer == "adam" || o.optimizer == "adamw") {
        t.v = g.input(flat, "v");
        control = adam(g, state, part(t.m), part(t.v),
                       {.weight_decay = o.weight_decay, .decoupled_decay = o.optimizer == "adamw"});
    } else {
        fail(Status::usage, "unknown optimizer '", o.optimizer, "'; known are adam, adamw, sgd");
    }
    ring_store(g, {{e.loss, e.nll, e.kl, control, e.kl_dims}}, t.ring, 0); // in the order of Column
    int64_t at = kColumns + vae.kl_columns();
    for (const auto& [name, value] : e.extras)
        ring_store(g, {{value}}, t.ring, at++);
    if (config.vq) {
        vae.update_codebooks(g, w, e, control);
        ring_store(g, {{e.perplexity}}, t.ring, at);
    }
    return t;
}

struct DataPlace {
    bool resident = true;
    int64_t rows = 0; // of the data tensor: all, or two halves of a window
};

// Half of the device memory is the data's at most; the rest is for the model. A window of two halves lets the host
// fill one while the GPU reads the other.
DataPlace place_data(const Caps& caps, const TrainOptions& o, int64_t count, uint64_t row_bytes) {
    constexpr uint64_t kTensorBytes = (uint64_t(1) << 31) - 1; // kernels count elements with 32 bits
    if (uint64_t(count) * row_bytes <= std::min({caps.max_storage_range, caps.heap_bytes / 2, kTensorBytes}))
        return {true, count};
    constexpr uint64_t kWindowBytes = 128u << 20;
    uint64_t room = std::min({caps.max_storage_range, caps.heap_bytes / 4, kWindowBytes});
    int64_t steps = std::min<int64_t>(o.max_steps, int64_t(room / row_bytes) / (2 * o.batch));
    if (steps < 1)
        fail(Status::device, "a batch of ", o.batch, " samples of ", row_bytes, " bytes does not fit into ", room,
             " bytes; try a smaller batch");
    return {false, 2 * steps * o.batch};
}

void check_options(const TrainOptions& o) {
    auto usage = [](bool ok, const auto&... parts) {
        if (!ok)
            fail(Status::usage, parts...);
    };
    usage(o.batch >= 1 && o.batch <= (1 << 20), "the batch is ", o.batch, ", it must be from 1 to 1048576");
    usage(std::isfinite(o.lr) && o.lr >= 0, "the learning rate is ", o.lr);
    usage(std::isfinite(o.beta.value_or(0)) && o.beta.value_or(0) >= 0, "beta is ", o.beta.value_or(0));
    usage(o.lr_schedule == "constant" || o.lr_schedule == "linear" || o.lr_schedule == "cosine",
          "the learning rate's schedule is '", o.lr_schedule, "'; known are constant, linear, cosine");
    usage(o.lr_warmup >= 0 && (o.lr_schedule == "constant" || o.total_steps > o.lr_warmup),
          "a ", o.lr_schedule, " schedule of ", o.total_steps, " steps with a warm-up of ", o.lr_warmup);
    usage(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "the weight decay is ", o.weight_decay);
    usage(std::isfinite(o.momentum) && o.momentum >= 0, "the momentum is ", o.momentum);
    usage(std::isfinite(o.clip_norm) && o.clip_norm >= 0, "the clip norm is ", o.clip_norm);
    usage(o.max_steps >= 1, "a submission has at least one step");
    usage(o.precision == DType::f32 || is_16_bit(o.precision), "training is in f32, f16 or bf16");
}

float learning_rate(const TrainOptions& o, int64_t step) {
    if (step < o.lr_warmup)
        return float(double(o.lr) * double(step + 1) / double(o.lr_warmup));
    if (o.lr_schedule == "constant")
        return o.lr;
    double done = std::min(1.0, double(step - o.lr_warmup) / double(o.total_steps - o.lr_warmup));
    return float(double(o.lr) * (o.lr_schedule == "linear" ? 1 - done : (1 + std::cos(std::numbers::pi * done)) / 2));
}

} // namespace

void DataView::check(const ModelConfig& model) const {
    require_data(count > 0, "the data set is empty");
    require_data(width == model.pixels(), "the data have ", width, " numbers a sample, the model takes ",
                 model.pixels());
    require_data((type == DType::u8 || type == DType::f32) && count <= std::numeric_limits<uint32_t>::max() &&
                     bytes.size() / row_bytes() == uint64_t(count),
                 "the data claim to be ", count, " samples of ", row_bytes(), " bytes, but have ", bytes.size());
    check_elements(*this, model);
    if (model.label_classes == 0)
        return;
    require_data(labels.size() == size_t(count), "the model is conditional: it needs a label for each of the ", count,
                 " samples, the data have ", labels.size());
    for (size_t i = 0; i < labels.size(); i++)
        require_data(labels[i] < model.label_classes, "sample ", i, " has the label ", int(labels[i]),
                     ", the model has ", model.label_classes, " classes, from 0 to ", model.label_classes - 1);
}

DType mixed_precision(const Caps& caps) {
    return prefers_coopmat(caps) || prefers_texels(caps) ? DType::f16 : DType::f32;
}

struct Trainer::State {
    Device& device;
    const Vae& vae;
    Parameters& parameters;
    DataView data;
    TrainOptions options;
    DataPlace place;
    TrainGraph train;
    std::vector<std::byte> one_hot; // (count, classes) of the labels: 255 or 0, which gather() makes 1 or 0
    Buffer data_buffer, label_buffer, index_buffer, ring_buffer;
    TuneReport tuned;
    std::unique_ptr<Plan> plan;
    int64_t step = 0;
    int64_t steps_per_submit = 1;
    double seconds_per_step = 0, device_seconds = 0;
    int64_t epoch = -1; // whose order is in `order`
    std::vector<uint32_t> order;
    int half = 0;                  // of the window that the next submission reads
    int64_t filled_from = -1, filled = 0; // what the next half of the window already holds: steps

    State(Device& d, const Vae& v, Parameters& p, const DataView& view, const TrainOptions& o)
        : device(d), vae(v), parameters(p), data(view), options(o) {}

    uint32_t sample_at(int64_t position) {
        int64_t e = position / data.count;
        if (e != epoch) {
            order = permutation(uint32_t(data.count), options.seed, uint32_t(e));
            epoch = e;
        }
        return order[size_t(position % data.count)];
    }
    void bind_all(Plan& p, const TrainGraph& t);
    Tuning tuning();
    StepParams params_of(int64_t s) const;
    void fill_window(int which, int64_t from, int64_t count);
    void write_indices(int64_t from, int64_t count);
    int64_t steps_in_window() const { return place.rows / (2 * options.batch); }
    void submit(int64_t count, bool profile);
    std::vector<StepStats> collect(int64_t count);
    [[noreturn]] void report_nonfinite(const StepStats& bad);
};

Trainer::Trainer(Device& device, const Vae& vae, Parameters& parameters, const DataView& data,
                 const TrainOptions& options)
    : state_(std::make_unique<State>(device, vae, parameters, data, options)) {
    State& s = *state_;
    check_options(options);
    if (vae.config().vq && options.beta.value_or(1) != 1)
        fail(Status::usage, "beta is ", *options.beta, ", but the KL of a vq posterior does not depend on its encoder: "
             "what pulls it to its codes is the model's \"commitment\"");
    require(parameters.training() && parameters.precision() == options.precision,
            "the parameters were not allocated for training in ", type_name(options.precision));
    data.check(vae.config());
    s.place = place_data(device.caps(), options, data.count, data.row_bytes());
    s.train = build_graph(vae, options, s.place.rows, data.type);
    s.index_buffer = Buffer(device, uint64_t(options.max_steps) * uint64_t(options.batch) * 4, Memory::upload,
                            "batch indices");
    uint64_t ring_bytes = byte_count(s.train.graph.shape(s.train.ring), DType::f32);
    s.ring_buffer = Buffer(device, ring_bytes, Memory::readback, "statistics");
    uint64_t data_bytes = uint64_t(s.place.rows) * data.row_bytes();
    s.data_buffer = Buffer(device, data_bytes, s.place.resident ? Memory::device : Memory::upload, "data set");
    if (s.place.resident)
        device.upload(s.data_buffer, 0, data.bytes);
    if (int64_t classes = vae.config().label_classes) {
        s.one_hot.resize(size_t(data.count * classes));
        for (int64_t i = 0; i < data.count; i++)
            s.one_hot[size_t(i * classes) + data.labels[size_t(i)]] = std::byte{255};
        s.label_buffer = Buffer(device, uint64_t(s.place.rows) * uint64_t(classes),
                                s.place.resident ? Memory::device : Memory::upload, "labels");
        if (s.place.resident)
            device.upload(s.label_buffer, 0, s.one_hot);
    }
    Tuning tuning = s.tuning();
    s.plan = std::make_unique<Plan>(device, s.train.graph,
                                    PlanOptions{.max_steps = options.max_steps,
                                                .precision = options.precision,
                                                .tuning = &tuning});
    s.bind_all(*s.plan, s.train);
}

Trainer::~Trainer() = default;

void Trainer::State::bind_all(Plan& p, const TrainGraph& t) {
    p.bind(t.data, data_buffer);
    if (t.labels)
        p.bind(t.labels, label_buffer);
    p.bind(t.indices, index_buffer);
    p.bind(t.ring, ring_buffer);
    using Region = Parameters::Region;
    std::pair<Tensor, Region> regions[] = {{t.weights, Region::weights},
                                           {t.gradients, Region::gradients},
                                           {t.m, Region::m},
                                           {t.v, Region::v}};
    for (auto [tensor, region] : regions)
        if (tensor)
            p.bind(tensor, parameters.buffer(), parameters.offset_bytes(region));
    if (t.narrow)
        p.bind(t.narrow, parameters.buffer(), parameters.narrow_offset());
    if (t.loss_scale)
        p.bind(t.loss_scale, parameters.buffer(), parameters.loss_scale_offset());
}

// Measured on a step that ends at the gradients: it can be run again and again, and changes no weight.
Tuning Trainer::State::tuning() {
    if (options.tuning)
        return *options.tuning;
    if (options.autotune == Autotune::off)
        return {};
    Tuning known = load_tuning(device);
    if (options.autotune == Autotune::cached)
        return known;
    TrainGraph gradients = build_graph(vae, options, place.rows, data.type, false);
    if (!place.resident)
        fill_window(0, 0, 1);
    write_indices(0, 1);
    bool full = options.autotune == Autotune::full, scaled = options.precision == DType::f16;
    std::array<float, 3> scale = scaled ? parameters.loss_scale() : std::array<float, 3>{};
    if (scaled)
        parameters.set_loss_scale({1, 0, 0}); // gradients that overflow would tell nothing
    tuned = tune(device, gradients.graph,
                 {.seconds = full ? 600.0 : 20.0,
                  .candidates = full ? size_t(64) : size_t(3),
                  .one_by_one = full,
                  .repeats = full ? 10 : 3,
                  .precision = options.precision,
                  .bind = [&](Plan& p) { bind_all(p, gradients); },
                  .results = gradients.gradient_parts,
                  .params = params_of(0)});
    if (scaled)
        parameters.set_loss_scale(scale);
    try {
        store_tuning(device, tuned.tuning);
    } catch (const Error& error) { // no reason not to train
        tuned.not_kept = error.what();
    }
    for (const auto& [name, choice] : tuned.tuning)
        known[name] = choice; // of everything that there is here: what was known of it is forgotten
    return known;
}

StepParams Trainer::State::params_of(int64_t s) const {
    StepParams p;
    p.step = uint32_t(s);
    p.set_seed(options.seed);
    p.lr = learning_rate(options, s);
    AdamOptions adam_options;
    p.bias1 = float(1 - std::pow(double(adam_options.beta1), double(s + 1)));
    p.bias2 = float(1 - std::pow(double(adam_options.beta2), double(s + 1)));
    const ObjectiveConfig& objective = vae.config().objective;
    set_schedule(p, objective, options.beta.value_or(objective.beta), s);
    p.clip_norm = options.clip_norm;
    return p;
}

void Trainer::State::fill_window(int which, int64_t from, int64_t count) {
    uint64_t bytes = data.row_bytes(), first = uint64_t(which) * uint64_t(place.rows / 2);
    uint64_t classes = uint64_t(vae.config().label_classes);
    for (int64_t i = 0; i < count * options.batch; i++) {
        uint64_t sample = sample_at(from * options.batch + i), to = first + uint64_t(i);
        std::memcpy(data_buffer.mapped + to * bytes, data.bytes.data() + sample * bytes, bytes);
        if (classes > 0)
            std::memcpy(label_buffer.mapped + to * classes, one_hot.data() + sample * classes, classes);
    }
}

void Trainer::State::write_indices(int64_t from, int64_t count) {
    auto* to = reinterpret_cast<uint32_t*>(index_buffer.mapped);
    for (int64_t i = 0; i < count * options.batch; i++)
        to[i] = place.resident ? sample_at(from * options.batch + i) : uint32_t(half * (place.rows / 2) + i);
}

void Trainer::State::submit(int64_t count, bool profile) {
    if (!place.resident && (filled_from != step || filled < count))
        fill_window(half, step, count);
    write_indices(step, count);
    std::vector<StepParams> params;
    for (int64_t i = 0; i < count; i++)
        params.push_back(params_of(step + i));
    plan->submit(params, profile);
    if (!place.resident) { // while the GPU works
        half = 1 - half;
        filled_from = step + count;
        filled = std::min(steps_in_window(), 2 * count);
        fill_window(half, filled_from, filled);
    }
}

std::vector<StepStats> Trainer::State::collect(int64_t count) {
    plan->wait();
    const int64_t width = ring_width(vae), kl_end = kColumns + vae.kl_columns();
    const int64_t extras_end = kl_end + int64_t(vae.extras().size());
    const float* ring = reinterpret_cast<const float*>(ring_buffer.mapped);
    std::vector<StepStats> stats;
    for (int64_t i = 0; i < count; i++) {
        const float* row = ring + i * width;
        StepParams params = params_of(step + i);
        StepStats entry = {.step = step + i,
                           .loss = row[kLoss],
                           .nll = row[kNll],
                           .kl = row[kKl],
                           .gradient_norm = std::sqrt(row[kSquares]),
                           .loss_scale = row[kScale],
                           .lr = params.lr,
                           .beta = params.beta,
                           .skipped = row[kSkipped] != 0,
                           .kl_dims = std::vector<float>(row + kColumns, row + kl_end),
                           .extras = std::vector<float>(row + kl_end, row + extras_end),
                           .perplexity = std::vector<float>(row + extras_end, row + width)};
        if (!std::isfinite(entry.loss) || (!std::isfinite(entry.gradient_norm) && !entry.skipped))
            report_nonfinite(entry);
        stats.push_back(std::move(entry));
    }
    step += count;
    return stats;
}

// The weights are still those before the bad step: `halted` saw to that. So the step is run again without sharing
// memory, and every tensor can be looked at.
void Trainer::State::report_nonfinite(const StepStats& bad) {
    step = bad.step;
    uint32_t halted = 0; // so that a caller who changes something can go on
    plan->write(train.halted, std::as_bytes(std::span(&halted, 1)));
    if (!place.resident)
        fill_window(half, step, 1);
    write_indices(step, 1);
    std::string where;
    try {
        TrainGraph gradients = build_graph(vae, options, place.rows, data.type, false);
        // Fusion decides what is stored, and so what is rounded to 16 bits.
        bool mixed = is_16_bit(options.precision);
        Plan again(device, gradients.graph, {.fuse = mixed, .alias = false, .precision = options.precision});
        bind_all(again, gradients);
        StepParams params = params_of(step);
        again.run(params);
        std::string name = again.first_nonfinite();
        where = concat_text("; the first bad tensor is '", name.empty() ? "none on a second run" : name, "'");
    } catch (const Error& error) { // without shared memory it may not fit; what is known already matters more
        where = concat_text("; which tensor was first could not be found out (", error.what(), ")");
    }
    if (options.precision == DType::f16)
        parameters.set_loss_scale({kFirstLossScale, 0, 0}); // as for `halted`
    fail(Status::runtime, "step ", bad.step, " (seed ", options.seed, "): the ",
         std::isfinite(bad.loss) ? "gradient" : "loss", " is not finite", where,
         ". The weights are those before that step. Try a smaller --lr or --clip-norm 10",
         options.precision == DType::f16 ? ", or --precision bf16 or f32, as f16 ends at 65504" : "");
}

std::vector<StepStats> Trainer::run(int64_t count) {
    State& s = *state_;
    std::vector<StepStats> all;
    while (count > 0) {
        int64_t most = s.place.resident ? s.options.max_steps : s.steps_in_window();
        int64_t now = std::min({count, s.steps_per_submit, most});
        auto start = std::chrono::steady_clock::now();
        s.submit(now, false);
        std::vector<StepStats> stats = s.collect(now);
        std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
        double seconds = s.plan->gpu_seconds();
        s.device_seconds += seconds;
        std::move(stats.begin(), stats.end(), std::back_inserter(all));
        count -= now;
        // Grow by doubling towards the wanted duration: the first submission compiles pipelines and says nothing.
        bool first = s.seconds_per_step == 0;
        s.seconds_per_step = std::max(seconds > 0 ? seconds : wall.count(), 1e-9) / double(now);
        double wanted = s.options.submit_seconds / s.seconds_per_step;
        // Powers of two, as a plan keeps a recording of each size.
        double steps = first ? 1 : std::clamp(wanted, 1.0, 2.0 * double(s.steps_per_submit));
        s.steps_per_submit = int64_t(std::bit_floor(uint64_t(steps)));
    }
    return all;
}

std::vector<KernelTime> Trainer::profile_step(StepStats* stats) {
    State& s = *state_;
    s.submit(1, true);
    std::vector<StepStats> collected = s.collect(1);
    if (stats)
        *stats = std::move(collected.front());
    return s.plan->profile();
}

int64_t Trainer::step() const { return state_->step; }
void Trainer::set_step(int64_t step) {
    require(step >= 0 && step <= std::numeric_limits<uint32_t>::max(), "training cannot start at step ", step);
    state_->step = step;
    state_->filled_from = -1;
}
const Plan& Trainer::plan() const { return *state_->plan; }
const TuneReport& Trainer::tuned() const { return state_->tuned; }
double Trainer::device_seconds() const { return state_->device_seconds; }
const Tuning& Trainer::tuning() const { return state_->plan->chosen(); }
bool Trainer::data_resident() const { return state_->place.resident; }

TrainMemory train_memory(Device& device, const Vae& vae, const TrainOptions& options, int64_t data_count,
                         DType type) {
    check_options(options);
    uint64_t row_bytes = uint64_t(vae.config().pixels()) * (type == DType::u8 ? 1 : 4);
    DataPlace place = place_data(device.caps(), options, data_count, row_bytes);
    TrainGraph train = build_graph(vae, options, place.rows, type);
    Plan plan(device, train.graph,
              {.max_steps = options.max_steps,
               .precision = options.precision,
               .tuning = options.tuning ? &*options.tuning : nullptr});
    Parameters parameters(vae.definitions());
    uint64_t bound = 0; // what the trainer binds is counted by its owner
    for (Tensor t : {train.data, train.labels, train.indices, train.ring, train.weights, train.narrow, train.loss_scale,
                     train.gradients, train.m, train.v})
        if (t)
            bound += (train.graph.info(t).bytes() + device.caps().storage_align - 1) / device.caps().storage_align *
                     device.caps().storage_align;
    TrainMemory memory;
    memory.parameters = parameters.bytes(true, options.precision);
    memory.intermediate = plan.memory().arena;
    memory.unshared = plan.memory().unshared;
    memory.live = plan.memory().live;
    auto whole_words = [](uint64_t bytes) { return (bytes + 3) / 4 * 4; }; // as a Buffer is
    memory.data = whole_words(uint64_t(place.rows) * row_bytes) +
                  whole_words(uint64_t(place.rows) * uint64_t(vae.config().label_classes));
    memory.rings = plan.memory().rings + (plan.memory().external - bound) + train.graph.info(train.indices).bytes() +
                   train.graph.info(train.ring).bytes();
    memory.dispatches = plan.dispatch_count();
    memory.levels = plan.level_count();
    return memory;
}

} // namespace vkvae
