// vkvae info and dataset: what a model is and what it needs; what the tool sees of a data set.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "dataset/npy.hpp"
#include "io/file.hpp"
#include "vkvae/common.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

struct InfoOptions {
    Common common;
    std::string model;
    int64_t batch = 128, count = 60000;
    std::string precision = "f32";
};

void run_info(const InfoOptions& o) {
    Vae vae(find_model(o.model));
    const ModelConfig& config = vae.config();
    Parameters parameters = vae.make_parameters();
    std::unique_ptr<Device> device = open_device(o.common);
    TrainOptions train;
    train.batch = o.batch;
    train.precision = precision_on(*device, o.precision);
    TrainMemory m = train_memory(*device, vae, train, o.count, takes_integers(config) ? DType::f32 : DType::u8);
    Json tensors = Json::array();
    for (const Parameter& p : parameters.list())
        tensors.push_back({{"name", p.name}, {"shape", p.disk_shape}});
    Json memory = {{"parameters", m.parameters},     {"intermediate", m.intermediate},
                   {"intermediate_unshared", m.unshared}, {"intermediate_live", m.live},
                   {"data", m.data},
                   {"rings", m.rings},               {"total", m.total()}};
    if (o.common.json) {
        std::cout << Json{{"name", config.name},
                          {"input", {config.height, config.width, config.channels}},
                          {"latent", config.latent},
                          {"likelihood", config.likelihood},
                          {"parameters", parameters.count()},
                          {"tensors", tensors},
                          {"device", device->caps().name},
                          {"batch", o.batch},
                          {"precision", type_name(train.precision)},
                          {"data_count", o.count},
                          {"memory_bytes", memory},
                          {"dispatches", m.dispatches},
                          {"levels", m.levels}}
                         .dump()
                  << std::endl;
        return;
    }
    std::cout << config.name << ": input " << config.height << " x " << config.width << " x " << config.channels
              << ", latent " << config.latent << ", " << config.likelihood << " likelihood, " << parameters.count()
              << " parameters\n\n";
    size_t widest = 0;
    for (const Parameter& p : parameters.list())
        widest = std::max(widest, p.name.size());
    for (const Parameter& p : parameters.list())
        std::printf("  %-*s  %10lld  %s\n", int(widest), p.name.c_str(), static_cast<long long>(p.count()),
                    to_text(p.disk_shape).c_str());
    std::printf("\nTraining in %s on %s with batch %lld and %lld samples, bytes:\n", type_name(train.precision),
                device->caps().name.c_str(),
                static_cast<long long>(o.batch), static_cast<long long>(o.count));
    for (const auto& [name, bytes] : memory.items())
        std::printf("  %-22s %15s\n", name.c_str(), bytes.dump().c_str());
    std::printf("A step is %zu dispatches in %zu levels.\n", m.dispatches, m.levels);
    std::fflush(stdout);
}

struct DatasetOptions {
    Common common;
    DataOptions data;
    std::string out;
};

void run_dataset(DatasetOptions& o) {
    fs::path labels = fs::path(o.out).replace_extension(".labels.npy");
    fs::path factors = fs::path(o.out).replace_extension(".factors.npy");
    for (const fs::path& file : {fs::path(o.out), labels, factors})
        check_output(file, o.common, {".npy"});
    o.data.seed = o.common.seed;
    ModelConfig native; // sizes of 0: the data's own
    Dataset data = load_data(o.data, native, o.common.quiet);
    std::vector<float> values = first_images(data, 0, data.count);
    int64_t n = data.count, h = data.height, w = data.width, c = data.channels;
    Shape shape = data.flat ? Shape{n, w} : c == 1 ? Shape{n, h, w} : Shape{n, h, w, c};
    write_npy(o.out, shape, values);
    char fingerprint[20];
    std::snprintf(fingerprint, sizeof(fingerprint), "%016llx", static_cast<unsigned long long>(data.fingerprint));
    Json result = {{"data", data.name}, {"split", o.data.split}, {"shape", shape}, {"fingerprint", fingerprint},
                   {"skipped", data.skipped.size()}};
    if (!data.labels.empty()) {
        write_npy(labels, Shape{n}, std::vector<float>(data.labels.begin(), data.labels.end()));
        result["labels"] = labels.string();
    }
    if (!data.factors.empty()) {
        write_npy(factors, Shape{n, int64_t(data.factor_names.size())}, data.factors);
        result["factors"] = factors.string();
        result["factor_names"] = data.factor_names;
    }
    result["out"] = o.out;
    print_result(result, o.common);
}

} // namespace

void add_info(CLI::App& app) {
    auto o = std::make_shared<InfoOptions>();
    CLI::App* verb = app.add_subcommand("info", "parameters, shapes and the memory that training needs");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory, model file, preset or .json")->required();
    verb->add_option("--batch", o->batch, "samples in a step")->check(CLI::PositiveNumber)->capture_default_str();
    verb->add_option("--count", o->count, "samples in the data set")
        ->check(CLI::Range(int64_t(1), int64_t(UINT32_MAX)))
        ->capture_default_str();
    add_precision(*verb, o->precision);
    verb->callback([o] { run_info(*o); });
}

void add_dataset(CLI::App& app) {
    auto o = std::make_shared<DatasetOptions>();
    CLI::App* verb = app.add_subcommand("dataset", "write what the tool sees of a data set as .npy");
    add_common(*verb, o->common);
    verb->add_option("source", o->data.source, "sprites, genes, baskets, sentences, a directory, or an .npy array")->required();
    o->out = "data.npy";
    verb->add_option("--out", o->out, "file to write")->capture_default_str();
    verb->add_option("--split", o->data.split, "train or test")
        ->check(CLI::IsMember({"train", "test"}))
        ->capture_default_str();
    verb->add_option("--binarize", o->data.binarize, "none or fixed")->check(CLI::IsMember({"none", "fixed"}));
    verb->add_option("--limit", o->data.limit, "use at most this many samples")->check(CLI::NonNegativeNumber);
    add_label_choice(*verb, o->data);
    verb->callback([o] { run_dataset(*o); });
}

} // namespace vkvae
