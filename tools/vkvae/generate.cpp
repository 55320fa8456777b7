// vkvae sample, reconstruct, interpolate, traverse, encode, decode: pictures and latents out of a trained model.
#include "vkvae/generate.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iostream>
#include <numeric>

#include "dataset/npy.hpp"
#include "vkvae/latents.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {

std::vector<float> reconstruction_rows(Sampler& sampler, std::span<const float> images, int64_t pixels, int columns,
                                       std::span<const uint8_t> labels) {
    std::vector<float> decoded = sampler.reconstruct(images, labels), rows;
    int64_t n = int64_t(images.size()) / pixels;
    for (int64_t first = 0; first < n; first += columns) {
        int64_t count = std::min<int64_t>(columns, n - first);
        for (std::span<const float> from : {images, std::span<const float>(decoded)}) {
            auto begin = from.begin() + first * pixels;
            rows.insert(rows.end(), begin, begin + count * pixels);
            rows.resize(rows.size() + size_t((columns - count) * pixels), 0.0f); // an unfinished row stays dark
        }
    }
    return rows;
}

std::vector<float> interpolation_rows(Sampler& sampler, std::span<const float> images, int64_t pixels, int64_t latent,
                                      int steps, bool spherical, std::span<const uint8_t> labels) {
    std::vector<float> mu = sampler.encode(images, labels).mu, z;
    std::vector<uint8_t> each;
    int64_t pairs = int64_t(images.size()) / pixels / 2;
    for (int64_t pair = 0; pair < pairs; pair++)
        for (int step = 0; step < steps; step++) {
            std::span<const float> all(mu);
            std::vector<float> point = interpolate(all.subspan(size_t(2 * pair * latent), size_t(latent)),
                                                   all.subspan(size_t((2 * pair + 1) * latent), size_t(latent)),
                                                   float(step) / float(steps - 1), spherical);
            z.insert(z.end(), point.begin(), point.end());
            if (!labels.empty())
                each.push_back(labels[size_t(2 * pair)]);
        }
    return sampler.decode(z, each);
}

std::vector<float> traversal_rows(Sampler& sampler, std::span<const float> base, std::span<const int> dims, int steps,
                                  float range, std::span<const uint8_t> label) {
    std::vector<float> z;
    for (int dim : dims)
        for (int step = 0; step < steps; step++) {
            std::vector<float> point(base.begin(), base.end());
            point[size_t(dim)] = steps > 1 ? range * (2 * float(step) / float(steps - 1) - 1) : base[size_t(dim)];
            z.insert(z.end(), point.begin(), point.end());
        }
    std::vector<uint8_t> each;
    if (!label.empty())
        each.assign(dims.size() * size_t(steps), label[0]);
    return sampler.decode(z, each);
}

std::vector<int> dims_by_kl(std::span<const double> kl_dims, int64_t latent, int most) {
    std::vector<int> dims(static_cast<size_t>(latent));
    std::iota(dims.begin(), dims.end(), 0);
    if (int64_t(kl_dims.size()) == latent)
        std::stable_sort(dims.begin(), dims.end(),
                         [&](int a, int b) { return kl_dims[size_t(a)] > kl_dims[size_t(b)]; });
    dims.resize(size_t(std::min<int64_t>(most, latent)));
    return dims;
}

namespace {

constexpr int64_t kSampleBatch = 64;

// The KL of each dimension in the run's last evaluation; empty if there is none.
std::vector<double> last_kl_dims(const fs::path& run) {
    std::vector<double> kl_dims;
    std::ifstream metrics(run / "metrics.jsonl");
    for (std::string line; !run.empty() && std::getline(metrics, line);) {
        Json entry = Json::parse(line, nullptr, false);
        try {
            if (entry.at("kind") == "eval")
                kl_dims = entry.at("kl_dims").get<std::vector<double>>();
        } catch (const nlohmann::json::exception&) {
            continue; // a damaged line: the order of the rows is no reason to stop
        }
    }
    return kl_dims;
}

struct Options {
    Common common;
    DataOptions data;
    std::string model, out, latents;
    int64_t count = 64;
    int64_t index = -1;
    int columns = 8, steps = 9;
    std::string dims = "10"; // most rows, or a list of dimensions
    float range = 3;
    bool spherical = false, codes = false;
    PriorOptions prior;
    std::vector<int> labels; // of conditional models
};

CLI::App* add_verb(CLI::App& app, const char* name, const char* text, const std::shared_ptr<Options>& o,
                   const char* default_out) {
    CLI::App* verb = app.add_subcommand(name, text);
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    o->out = default_out;
    verb->add_option("--out", o->out, "file to write")->capture_default_str();
    return verb;
}

void add_columns(CLI::App* verb, Options& o) {
    verb->add_option("--columns", o.columns, "images in a row")->check(CLI::Range(1, 1024))->capture_default_str();
}

void done(const Options& o, Json result) {
    result["out"] = o.out;
    print_result(result, o.common);
}

// Reads the model's data: what it was trained on, unless told otherwise.
Dataset data_for(Options& o, const OpenModel& model) {
    default_data(o.data, model, o.common);
    return load_data(o.data, model.vae->config(), o.common.quiet);
}

// --label: one for all, or one for each in turn. Without it all classes in turn.
std::vector<uint8_t> labels_given(const Options& o, const ModelConfig& config, int64_t count) {
    if (config.label_classes == 0 && !o.labels.empty())
        fail(Status::usage, "--label: ", config.name, " is not conditional");
    std::vector<uint8_t> labels;
    for (int64_t i = 0; config.label_classes > 0 && i < count; i++) {
        int64_t label = o.labels.empty() ? i % config.label_classes : o.labels[size_t(i) % o.labels.size()];
        if (label < 0 || label >= config.label_classes)
            fail(Status::usage, "--label ", label, ": ", config.name, " has the classes 0 to ",
                 config.label_classes - 1);
        labels.push_back(uint8_t(label));
    }
    return labels;
}

void add_label(CLI::App* verb, Options& o) {
    verb->add_option("--label", o.labels, "of a conditional model: for all, or in turn; all classes unless given")
        ->delimiter(',');
}

void run_sample(Options& o) {
    check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    check_images(o.out, model.vae->config(), o.count);
    std::vector<uint8_t> labels = labels_given(o, model.vae->config(), o.count);
    Sampler sampler(*model.device, *model.vae, *model.parameters, std::min(o.count, kSampleBatch));
    Json result = {{"count", o.count}, {"seed", o.common.seed}};
    std::vector<float> z = draw_latents(model, sampler, o.prior, o.count, o.common, result);
    write_images(o.out, sampler.decode(z, labels), model.vae->config(), o.columns);
    save_pipeline_cache(*model.device);
    done(o, result);
}

void run_reconstruct(Options& o) {
    check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    Dataset data = data_for(o, model);
    check_images(o.out, model.vae->config(), 2 * std::min(o.count, data.count));
    std::vector<float> images = first_images(data, 0, o.count);
    int64_t pixels = model.vae->config().pixels();
    Sampler sampler(*model.device, *model.vae, *model.parameters, std::min(o.count, kSampleBatch));
    std::span<const uint8_t> labels = labels_for(model.vae->config(), data, 0, o.count);
    bool array = fs::path(o.out).extension() == ".npy";
    write_images(o.out,
                 array ? sampler.reconstruct(images, labels)
                       : reconstruction_rows(sampler, images, pixels, o.columns, labels),
                 model.vae->config(), o.columns);
    save_pipeline_cache(*model.device);
    done(o, {{"count", int64_t(images.size()) / pixels}, {"data", data.name}, {"split", o.data.split}});
}

void run_interpolate(Options& o) {
    check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    Dataset data = data_for(o, model);
    if (data.count < 2)
        fail(Status::data, "interpolation needs two samples, ", data.name, " has ", data.count);
    int64_t pairs = std::min(o.count, data.count / 2);
    check_images(o.out, model.vae->config(), pairs * o.steps);
    std::vector<float> images = first_images(data, 0, 2 * pairs);
    Sampler sampler(*model.device, *model.vae, *model.parameters, kSampleBatch);
    const ModelConfig& config = model.vae->config();
    write_images(o.out,
                 interpolation_rows(sampler, images, config.pixels(), config.latent, o.steps, o.spherical,
                                    labels_for(config, data, 0, 2 * pairs)),
                 config, o.steps);
    save_pipeline_cache(*model.device);
    done(o, {{"pairs", pairs}, {"steps", o.steps}});
}

// --dims: "10" is the ten with the largest KL, "0,3,5" is these in this order, "3," one.
std::vector<int> chosen_dims(const Options& o, const OpenModel& model) {
    int64_t latent = model.vae->config().latent;
    std::vector<int> numbers;
    bool good = !o.dims.empty();
    for (size_t begin = 0; good && begin < o.dims.size();) {
        size_t end = std::min(o.dims.find(',', begin), o.dims.size());
        int value = 0;
        auto [stop, error] = std::from_chars(o.dims.data() + begin, o.dims.data() + end, value);
        good = error == std::errc() && stop == o.dims.data() + end && value >= 0;
        numbers.push_back(value);
        begin = end + 1;
    }
    bool list = o.dims.find(',') != std::string::npos;
    if (!good || (!list && (numbers[0] < 1 || numbers[0] > 4096)))
        fail(Status::usage, "--dims ", o.dims, ": a number of rows from 1 to 4096, or a list of dimensions like 0,3,5");
    if (!list)
        return dims_by_kl(last_kl_dims(model.run), latent, numbers[0]);
    for (int dim : numbers)
        if (dim >= latent)
            fail(Status::usage, "--dims ", o.dims, ": the model has the dimensions 0 to ", latent - 1);
    return numbers;
}

void run_traverse(Options& o) {
    check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    if (config.vq)
        fail(Status::usage, "the latents of ", config.name, " are maps of codes, which have no dimensions to move");
    std::vector<int> dims = chosen_dims(o, model);
    check_images(o.out, config, int64_t(dims.size()) * o.steps);
    Sampler sampler(*model.device, *model.vae, *model.parameters, kSampleBatch);
    std::vector<float> base(size_t(config.latent), 0.0f);
    std::vector<uint8_t> label = labels_given(o, config, 1);
    if (o.index >= 0) {
        Dataset data = data_for(o, model);
        if (o.index >= data.count)
            fail(Status::usage, "--index ", o.index, ": ", data.name, " has ", data.count, " samples");
        std::span<const uint8_t> own = labels_for(config, data, o.index, 1);
        base = sampler.encode(first_images(data, o.index, 1), own).mu;
        if (o.labels.empty())
            label.assign(own.begin(), own.end());
    }
    write_images(o.out, traversal_rows(sampler, base, dims, o.steps, o.range, label), config, o.steps);
    save_pipeline_cache(*model.device);
    done(o, {{"dims", dims}, {"steps", o.steps}, {"range", o.range}});
}

void run_encode(Options& o) {
    check_output(o.out, o.common, {".npy"});
    OpenModel model = open_model(o.model, o.common);
    Dataset data = data_for(o, model);
    int64_t latent = model.vae->config().latent;
    Sampler sampler(*model.device, *model.vae, *model.parameters, std::min<int64_t>(data.count, 256));
    const VqConfig& vq = model.vae->config().vq;
    if (o.codes && !vq)
        fail(Status::usage, "--codes: the posterior of ", model.vae->config().name, " has no codes");
    std::vector<float> mu;
    constexpr int64_t kPiece = 4096; // images held as floats at a time
    for (int64_t first = 0; first < data.count; first += kPiece) {
        std::vector<float> images = first_images(data, first, kPiece);
        if (o.codes) {
            std::vector<uint32_t> codes = sampler.encode_codes(images);
            mu.insert(mu.end(), codes.begin(), codes.end());
        } else {
            std::vector<float> piece = sampler.encode(images, labels_for(model.vae->config(), data, first, kPiece)).mu;
            mu.insert(mu.end(), piece.begin(), piece.end());
        }
    }
    write_npy(o.out, o.codes ? Shape{data.count, vq.levels, vq.height, vq.width} : Shape{data.count, latent}, mu);
    save_pipeline_cache(*model.device);
    if (o.codes)
        return done(o, {{"count", data.count}, {"levels", vq.levels}, {"height", vq.height}, {"width", vq.width}});
    done(o, {{"count", data.count}, {"latent", latent}});
}

void run_decode(Options& o) {
    check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    std::vector<float> z = read_latents(o.latents, model.vae->config().latent);
    int64_t count = int64_t(z.size()) / model.vae->config().latent;
    check_images(o.out, model.vae->config(), count);
    Sampler sampler(*model.device, *model.vae, *model.parameters, std::min<int64_t>(count, 256));
    std::vector<uint8_t> labels = labels_given(o, model.vae->config(), count);
    write_images(o.out, sampler.decode(z, labels), model.vae->config(), o.columns);
    save_pipeline_cache(*model.device);
    done(o, {{"count", count}});
}

void add_count(CLI::App* verb, Options& o, const char* text, int64_t value) {
    o.count = value;
    verb->add_option("--count", o.count, text)->check(CLI::Range(int64_t(1), int64_t(1) << 20))->capture_default_str();
}

void add_steps(CLI::App* verb, Options& o) {
    verb->add_option("--steps", o.steps, "images in a row")->check(CLI::Range(2, 1024))->capture_default_str();
}

} // namespace

void add_sample(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "sample", "draw new images from the prior or one fitted to data", o, "samples.png");
    add_count(verb, *o, "how many", 64);
    add_columns(verb, *o);
    add_prior(*verb, o->prior);
    add_label(verb, *o);
    verb->callback([o, verb] {
        check_prior(*verb, o->prior);
        run_sample(*o);
    });
}

void add_reconstruct(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "reconstruct", "inputs above their reconstructions", o, "reconstructions.png");
    add_data(*verb, o->data, false, "test");
    add_count(verb, *o, "how many", 16);
    add_columns(verb, *o);
    verb->callback([o] { run_reconstruct(*o); });
}

void add_interpolate(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "interpolate", "walks between pairs of inputs in latent space", o,
                              "interpolation.png");
    add_data(*verb, o->data, false, "test");
    add_count(verb, *o, "pairs", 8);
    add_steps(verb, *o);
    verb->add_flag("--spherical", o->spherical, "along the sphere instead of the chord");
    verb->callback([o] { run_interpolate(*o); });
}

void add_traverse(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "traverse", "one latent dimension a row, moved from -range to range", o,
                              "traversal.png");
    add_data(*verb, o->data, false, "test");
    add_steps(verb, *o);
    add_label(verb, *o);
    verb->add_option("--dims", o->dims, "a number: as many, those with the largest KL; or a list: 0,3,5")
        ->capture_default_str();
    verb->add_option("--range", o->range, "in standard deviations of the prior")
        ->check(number_within(0, 100))
        ->capture_default_str();
    verb->add_option("--index", o->index, "start from this sample of the data instead of the prior's mean")
        ->check(CLI::NonNegativeNumber);
    verb->callback([o] { run_traverse(*o); });
}

void add_encode(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "encode", "posterior means of all samples, as .npy (N, D)", o, "latents.npy");
    add_data(*verb, o->data, false, "test");
    verb->add_flag("--codes", o->codes, "of a vq posterior the codes instead, N x levels x h x w");
    verb->callback([o] { run_encode(*o); });
}

void add_decode(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "decode", "images of latents, as .png grid or .npy (N, C, H, W)", o, "images.png");
    verb->add_option("--latents", o->latents, ".npy array (N, D)")->required();
    add_columns(verb, *o);
    add_label(verb, *o);
    verb->callback([o] { run_decode(*o); });
}

} // namespace vkvae
