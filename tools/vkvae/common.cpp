// What the verbs share.
#include "vkvae/common.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "dataset/image.hpp"
#include "dataset/npy.hpp"
#include "io/file.hpp"
#include "ops/philox.hpp"
#include "report/terminal.hpp"

#ifndef _WIN32
#include <unistd.h>
#endif

namespace vkvae {

void add_common(CLI::App& verb, Common& common) {
    verb.add_option("--device", common.device, "index, vendor or part of the name (vkvae devices lists them)")
        ->envname("VKVAE_DEVICE");
    verb.add_option("--seed", common.seed, "seed of all random numbers")
        ->check([](const std::string& text) {
            uint64_t value = 0; // CLI11 would take a larger number for the largest
            auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            return error == std::errc() && end == text.data() + text.size() ? "" : text + " is not a seed";
        })
        ->capture_default_str();
    verb.add_flag("--quiet,-q", common.quiet, "no progress");
    verb.add_flag("--json", common.json, "one JSON object on the last line of stdout");
    verb.add_flag("--force", common.force, "overwrite existing files");
}

CLI::Validator number_within(double low, double high) {
    return CLI::Validator(
        [=](std::string& text) {
            double value = 0;
            bool fits = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
            return fits ? std::string() : concat_text(text, " is not a number from ", low, " to ", high);
        },
        concat_text("in [", low, " - ", high, "]"));
}

void save_pipeline_cache(Device& device) {
    try {
        device.save_pipeline_cache();
    } catch (const Error& error) {
        std::fprintf(stderr, "vkvae: compiled kernels are not kept: %s\n", error.what());
    }
}

std::string cache_directory() {
    if (const char* text = std::getenv("VKVAE_CACHE"))
        return std::string(text) == "off" ? "" : text;
    if (const char* text = std::getenv("XDG_CACHE_HOME"); text && *text)
        return (fs::path(text) / "vkvae").string();
    if (const char* text = std::getenv("HOME"); text && *text)
        return (fs::path(text) / ".cache" / "vkvae").string();
    return "";
}

std::unique_ptr<Device> open_device(const Common& common) {
    DeviceOptions options;
    options.select = common.device;
    options.cache_dir = cache_directory();
    if (std::getenv("VKVAE_VALIDATION"))
        options.message = [](const char* text) { std::fprintf(stderr, "validation: %s\n", text); };
    return Device::create(options);
}

CLI::Option* add_autotune(CLI::App& verb, Autotune& autotune, const char* otherwise) {
    static const std::vector<std::string> modes = {"off", "cached", "quick", "full"}; // in the order of Autotune
    return verb
        .add_option_function<std::string>(
            "--autotune",
            [&autotune](const std::string& mode) {
                autotune = Autotune(std::find(modes.begin(), modes.end(), mode) - modes.begin());
            },
            "for training steps: kernels, fusions and splits of sums by earlier measurements if there are (cached), by new "
            "ones of some seconds (quick) or minutes (full), or by rule (off), which gives the same bytes whatever was "
            "measured")
        ->check(CLI::IsMember(modes))
        ->default_str(otherwise);
}

void add_precision(CLI::App& verb, std::string& precision) {
    verb.add_option("--precision", precision,
                    "f32; f16 or bf16: mixed, with f32 weights and sums; auto: f16 where that pays on the device")
        ->check(CLI::IsMember({"f32", "f16", "bf16", "auto"}))
        ->capture_default_str();
}

DType precision_on(const Device& device, const std::string& precision) {
    if (precision == "auto")
        return mixed_precision(device.caps());
    for (DType type : {DType::f32, DType::f16, DType::bf16})
        if (precision == type_name(type))
            return type;
    fail(Status::data, "'", precision, "' is no precision; there are f32, f16, bf16 and auto");
}

fs::path model_file(const std::string& run_or_model) {
    fs::path path = run_or_model;
    std::error_code ignored;
    if (!fs::exists(path, ignored))
        fail(Status::data, run_or_model, " does not exist; a run directory or a .safetensors model is needed");
    if (!fs::is_directory(path, ignored))
        return path;
    fs::path file = path / "model.safetensors";
    if (!fs::exists(file, ignored))
        fail(Status::data, run_or_model, " has no model.safetensors: it is not a run directory, or nothing has been ",
             "saved yet");
    return file;
}

OpenModel open_model(const std::string& run_or_model, const Common& common) {
    OpenModel model;
    fs::path file = model_file(run_or_model);
    ModelConfig config = read_model_config(file); // before the device: bad files need no GPU to be told
    if (fs::is_directory(run_or_model)) {
        model.run = run_or_model;
        if (fs::exists(model.run / "config.json"))
            model.config = read_json(model.run / "config.json");
    }
    model.vae = std::make_unique<Vae>(std::move(config));
    model.device = open_device(common);
    model.parameters = std::make_unique<Parameters>(model.vae->make_parameters());
    model.parameters->allocate(*model.device, false);
    load_model(file, *model.vae, *model.parameters);
    return model;
}

ModelConfig find_model(const std::string& name) {
    std::string preset = preset_model(name);
    if (!preset.empty())
        return parse_model(preset);
    std::error_code ignored;
    if (!fs::exists(name, ignored)) {
        std::string known;
        for (const std::string& entry : preset_names())
            known += concat_text(known.empty() ? "" : ", ", entry);
        fail(Status::data, "no model '", name, "': it is neither a file nor one of the presets ", known);
    }
    if (fs::is_directory(name, ignored) || fs::path(name).extension() == ".safetensors")
        return read_model_config(model_file(name));
    std::vector<std::byte> text = read_file(name, 1 << 20);
    try {
        return parse_model(std::string(reinterpret_cast<const char*>(text.data()), text.size()));
    } catch (const Error& error) {
        fail(error.status(), name, ": ", error.what());
    }
}

void add_label_choice(CLI::App& verb, DataOptions& data) {
    verb.add_option("--with-labels", data.with_labels, "only samples of these labels, for example 0,1,7")
        ->delimiter(',');
    verb.add_option("--without-labels", data.without_labels, "no samples of these labels")->delimiter(',');
}

void add_data(CLI::App& verb, DataOptions& data, bool required, const char* default_split) {
    CLI::Option* source = verb.add_option(
        "--data", data.source,
        "sprites, genes, baskets, sentences, a directory with IDX files or images, or an .npy array");
    if (required)
        source->required();
    data.split = default_split;
    verb.add_option("--split", data.split, "train or test")
        ->check(CLI::IsMember({"train", "test"}))
        ->capture_default_str();
    if (!required)
        data.binarize = ""; // default_data decides
    verb.add_option("--binarize", data.binarize, required ? "none, fixed or dynamic" : "as the run's unless given")
        ->check(CLI::IsMember({"none", "fixed", "dynamic"}));
    verb.add_option("--limit", data.limit, "use at most this many samples")->check(CLI::NonNegativeNumber);
    add_label_choice(verb, data);
}

void default_data(DataOptions& data, const OpenModel& model, const Common& common) {
    Json none = Json::object();
    const Json& run = model.config.is_object() && model.config.contains("data") ? model.config["data"] : none;
    if (data.source.empty()) {
        data.source = run.value("source", "");
        if (data.with_labels.empty() && data.without_labels.empty()) {
            data.with_labels = run.value("with_labels", data.with_labels);
            data.without_labels = run.value("without_labels", data.without_labels);
        }
    }
    if (data.source.empty())
        fail(Status::usage, "--data is needed: a model file does not say what it was trained on");
    if (data.binarize.empty())
        data.binarize = run.value("binarize", "none");
    data.seed = run.empty() ? common.seed : model.config.value("seed", common.seed);
}

Dataset load_data(const DataOptions& data, const ModelConfig& model, bool quiet, bool optional) {
    DatasetRequest request;
    request.source = data.source;
    request.split = data.split;
    request.height = int(model.height);
    request.width = int(model.width);
    request.channels = int(model.channels);
    request.limit = data.limit;
    request.seed = data.seed;
    request.with_labels = data.with_labels;
    request.without_labels = data.without_labels;
    request.optional = optional;
    const bool sized = model.pixels() > 0; // else the data's own size, and no likelihood
    request.integers = sized && takes_integers(model);
    if (request.integers && data.binarize != "none")
        fail(Status::usage, "--binarize ", data.binarize, " is for pictures; a ", model.likelihood,
             " likelihood takes integers");
    Dataset set = load_dataset(request);
    if (sized && set.count > 0) {
        try {
            view_of(set).check(model);
        } catch (const Error& error) {
            fail(error.status(), set.name, ": ", error.what());
        }
    }
    if (!quiet)
        for (const std::string& reason : set.skipped)
            std::fprintf(stderr, "skipped %s\n", reason.c_str());
    if (data.binarize == "fixed" && set.count > 0) {
        // One draw for each pixel, the same in every epoch, by its place in the data set.
        size_t size = set.type == PixelType::u8 ? 1 : 4, count = set.pixels.size() / size;
        size_t width = count / size_t(set.count);
        for (size_t i = 0; i < count; i++) {
            float value = 0;
            if (size == 1)
                value = float(uint8_t(set.pixels[i])) / 255.0f;
            else
                std::memcpy(&value, &set.pixels[4 * i], 4);
            bool on = random_uniform(data.seed, Stream::data, uint32_t(i / width), 0, uint32_t(i % width)) < value;
            float bit = on ? 1.0f : 0.0f;
            if (size == 1)
                set.pixels[i] = std::byte(on ? 255 : 0);
            else
                std::memcpy(&set.pixels[4 * i], &bit, 4);
        }
    }
    return set;
}

DataView view_of(const Dataset& data) {
    return {data.pixels, data.count, int64_t(data.height) * data.width * data.channels,
            data.type == PixelType::u8 ? DType::u8 : DType::f32, data.labels};
}

Binarize binarize_of(const DataOptions& data) {
    return data.binarize == "dynamic" ? Binarize::dynamic : Binarize::none;
}

std::span<const uint8_t> labels_for(const ModelConfig& model, const Dataset& data, int64_t first, int64_t count) {
    if (model.label_classes == 0)
        return {};
    require_data(data.labels.size() == size_t(data.count), data.name, " has no labels, which the conditional model ",
                 model.name, " needs");
    return std::span(data.labels).subspan(size_t(first), size_t(std::min(count, data.count - first)));
}

std::vector<float> first_images(const Dataset& data, int64_t first, int64_t count) {
    size_t width = size_t(data.height) * size_t(data.width) * size_t(data.channels);
    count = std::min(count, data.count - first);
    std::vector<float> images(size_t(count) * width);
    for (size_t i = 0; i < images.size(); i++) {
        size_t at = size_t(first) * width + i;
        if (data.type == PixelType::u8)
            images[i] = float(uint8_t(data.pixels[at])) / 255.0f;
        else
            std::memcpy(&images[i], &data.pixels[4 * at], 4);
    }
    return images;
}

void check_output(const fs::path& file, const Common& common, std::initializer_list<const char*> endings) {
    std::error_code ignored;
    std::string known;
    for (const char* ending : endings)
        known += concat_text(known.empty() ? "" : " or ", ending);
    if (std::find(endings.begin(), endings.end(), file.extension().string()) == endings.end())
        fail(Status::usage, file.string(), ": the name must end in ", known);
    if (fs::is_directory(file, ignored))
        fail(Status::usage, file.string(), " is a directory; a file name is needed");
    if (fs::exists(file, ignored) && !common.force)
        fail(Status::usage, file.string(), " exists; --force overwrites it");
    fs::path parent = file.parent_path();
    if (!parent.empty() && !fs::is_directory(parent, ignored))
        fail(Status::usage, "the directory ", parent.string(), " does not exist");
}

void check_folder(const fs::path& folder, const Common& common) {
    std::error_code ignored;
    if (folder.empty())
        fail(Status::usage, "a folder needs a name");
    if (fs::exists(folder, ignored) && !fs::is_directory(folder, ignored))
        fail(Status::usage, folder.string(), " is a file; a folder is needed");
    if (fs::is_directory(folder, ignored) && !fs::is_empty(folder, ignored) && !common.force)
        fail(Status::usage, folder.string(), " exists and is not empty; --force writes into it");
    fs::path parent = folder.parent_path();
    if (!parent.empty() && !fs::is_directory(parent, ignored))
        fail(Status::usage, "the directory ", parent.string(), " does not exist");
}

bool can_be_png(const ModelConfig& model) {
    bool picture = model.height > 1 && (model.channels == 1 || model.channels == 3 || model.channels == 4);
    return picture && !takes_integers(model);
}

void check_images(const fs::path& file, const ModelConfig& model, int64_t count) {
    constexpr int64_t kMostValues = int64_t(1) << 29; // 2 GiB of floats
    if (count > kMostValues / model.pixels())
        fail(Status::usage, count, " images of ", model.height, " x ", model.width, " x ", model.channels,
             " are too many for one file; at most ", kMostValues / model.pixels(), " are possible");
    if (file.extension() == ".png" && !can_be_png(model))
        fail(Status::usage, "samples of ", model.height, " x ", model.width, " x ", model.channels,
             " cannot be a PNG; use a name that ends in .npy");
}

void write_images(const fs::path& file, std::span<const float> images, const ModelConfig& model, int columns) {
    int64_t n = int64_t(images.size()) / model.pixels(), h = model.height, w = model.width, c = model.channels;
    if (file.extension() == ".npy") {
        std::vector<float> planes(images.size());
        for (int64_t i = 0; i < n; i++)
            for (int64_t p = 0; p < h * w; p++)
                for (int64_t k = 0; k < c; k++)
                    planes[size_t((i * c + k) * h * w + p)] = images[size_t((i * h * w + p) * c + k)];
        write_npy(file, h == 1 && c == 1 ? Shape{n, w} : Shape{n, c, h, w}, planes);
        return;
    }
    write_png(file, make_grid(images, int(n), int(h), int(w), int(c), columns));
}

std::vector<float> read_latents(const fs::path& file, int64_t latent) {
    NpyArray array = read_npy(file);
    require_data(array.shape.size() == 2 && array.shape[1] == latent, file.string(), " has the shape ",
                 to_text(array.shape), ", the model's latents are (n, ", latent, ")");
    require_data(array.shape[0] > 0, file.string(), " holds no latents");
    return npy_to_f32(array, file.string());
}

namespace {

volatile std::sig_atomic_t interrupts = 0;

extern "C" void on_interrupt(int) {
    interrupts = interrupts + 1;
    if (interrupts > 1) {
        restore_terminal();
        std::_Exit(int(Status::interrupted));
    }
}

} // namespace

void watch_interrupts() {
    std::signal(SIGINT, on_interrupt);
    std::signal(SIGTERM, on_interrupt);
}

bool interrupted() { return interrupts > 0; }

std::function<bool(int64_t, int64_t)> tell_samples(const Common& common) {
    return [quiet = common.quiet, told = std::chrono::steady_clock::now()](int64_t done, int64_t total) mutable {
        auto now = std::chrono::steady_clock::now();
        if (!quiet && now - told > std::chrono::seconds(5)) {
            std::fprintf(stderr, "%lld of %lld samples\n", static_cast<long long>(done), static_cast<long long>(total));
            told = now;
        }
        return !interrupted();
    };
}

std::string json_text(const Json& value, int indent) {
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

void print_result(const Json& result, const Common& common) {
    if (common.json) {
        std::cout << json_text(result) << std::endl;
        return;
    }
    size_t widest = 0;
    for (const auto& [key, value] : result.items())
        widest = std::max(widest, key.size());
    for (const auto& [key, value] : result.items()) {
        std::string text = value.is_string() ? value.get<std::string>() : json_text(value);
        if (value.is_number_float()) {
            char number[32];
            std::snprintf(number, sizeof(number), "%.6g", value.get<double>());
            text = number;
        }
        if (value.is_array() && !value.empty() && value[0].is_number_float()) {
            text.clear();
            for (const Json& element : value) {
                char number[32];
                std::snprintf(number, sizeof(number), "%.3f", element.get<double>());
                text += concat_text(text.empty() ? "" : " ", number);
            }
        }
        std::cout << key << std::string(widest - key.size() + 2, ' ') << text << "\n";
    }
    std::cout << std::flush;
}

void write_json(const fs::path& file, const Json& value) { write_file_atomic(file, json_text(value, 2) + "\n"); }

Json read_json(const fs::path& file) {
    std::vector<std::byte> text = read_file(file, 16 << 20);
    try {
        return Json::parse(reinterpret_cast<const char*>(text.data()),
                           reinterpret_cast<const char*>(text.data()) + text.size());
    } catch (const nlohmann::json::exception& error) {
        fail(Status::data, file.string(), " is not valid JSON: ", error.what());
    }
}

} // namespace vkvae
