// What the verbs share: options, the device, opening a model, data, output files, interruption.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "dataset/dataset.hpp"
#include "vkvae/vae.hpp"

namespace vkvae {

using Json = nlohmann::ordered_json; // keeps the order in which a person wants to read
namespace fs = std::filesystem;

// Options that every verb takes.
struct Common {
    std::string device;
    uint64_t seed = 0;
    bool quiet = false, json = false, force = false;
};
void add_common(CLI::App& verb, Common& common);

// A number from low to high; CLI::Range lets "nan" pass.
CLI::Validator number_within(double low, double high);

// One verb: adds its subcommand; when it was given, run() does the work and returns the exit code.
struct Verb {
    const char* name;
    void (*add)(CLI::App& app);
};

// --device, or VKVAE_DEVICE, or the best there is; with the user's pipeline cache.
std::unique_ptr<Device> open_device(const Common& common);
void save_pipeline_cache(Device& device); // warns if it cannot: without a cache the next start is slower, no more
std::string cache_directory(); // $VKVAE_CACHE, $XDG_CACHE_HOME/vkvae or ~/.cache/vkvae; empty: none

// --precision: f32, f16, bf16 or auto, and what it means on a device.
void add_precision(CLI::App& verb, std::string& precision);
// `otherwise`: what the help calls the default.
CLI::Option* add_autotune(CLI::App& verb, Autotune& autotune, const char* otherwise);
DType precision_on(const Device& device, const std::string& precision);

// A run directory (its model.safetensors and config.json) or a model file.
struct OpenModel {
    std::unique_ptr<Device> device; // the others live on it
    std::unique_ptr<Vae> vae;
    std::unique_ptr<Parameters> parameters;
    fs::path run; // empty for a model file
    Json config;  // of the run; null for a model file
};
fs::path model_file(const std::string& run_or_model);
OpenModel open_model(const std::string& run_or_model, const Common& common);

// The model's JSON: a preset's name, a .json file, a .safetensors file, or a run directory.
ModelConfig find_model(const std::string& name);

// Data in the model's size. `binarize` is none, fixed or dynamic; fixed draws once, here.
struct DataOptions {
    std::string source, split = "train", binarize = "none";
    int64_t limit = 0;
    uint64_t seed = 0; // chooses what --limit keeps, draws the fixed binarization
    std::vector<std::string> with_labels, without_labels;
};
void add_label_choice(CLI::App& verb, DataOptions& data); // part of add_data
void add_data(CLI::App& verb, DataOptions& data, bool required, const char* default_split);
// For verbs on a trained run: what the run was trained with, unless told otherwise.
void default_data(DataOptions& data, const OpenModel& model, const Common& common);
Dataset load_data(const DataOptions& data, const ModelConfig& model, bool quiet, bool optional = false);
DataView view_of(const Dataset& data);
Binarize binarize_of(const DataOptions& data);
std::vector<float> first_images(const Dataset& data, int64_t first, int64_t count); // (n, H, W, C) in [0,1]

// The labels of samples [first, first + count), as conditional models take them; empty for others. Errors: Status::data if
// the data have none.
std::span<const uint8_t> labels_for(const ModelConfig& model, const Dataset& data, int64_t first, int64_t count);

// Refuses to overwrite without --force, and names with other endings. Errors: Status::usage.
void check_output(const fs::path& file, const Common& common, std::initializer_list<const char*> endings);
// The same for a folder to fill: it must not be there, or be empty, without --force.
void check_folder(const fs::path& folder, const Common& common);
// Refuses what write_images cannot do, before it is computed. Errors: Status::usage.
void check_images(const fs::path& file, const ModelConfig& model, int64_t count);
bool can_be_png(const ModelConfig& model);
// (n, H, W, C) in [0,1] as a PNG grid, or as an .npy array (n, C, H, W) if the name ends so; (n, D) if the model's
// samples are plain vectors.
void write_images(const fs::path& file, std::span<const float> images, const ModelConfig& model, int columns);
// (n, H, W, C) in [0,1] as 00000000.png and so on in a folder, each pixel enlarged to scale x scale.
void write_folder(const fs::path& folder, std::span<const float> images, const ModelConfig& model, int scale = 1);
std::vector<float> read_latents(const fs::path& file, int64_t latent); // .npy (n, D)

// Ctrl-C: the first sets the flag, the second ends the process at once with 130.
void watch_interrupts();
bool interrupted();
// For evaluations: a line on stderr every five seconds, unless quiet; false once interrupted.
std::function<bool(int64_t done, int64_t total)> tell_samples(const Common& common);

// On one line; names of files need not be UTF-8, JSON must.
std::string json_text(const Json& value, int indent = -1);

// Text for people, or one JSON object on the last line of stdout.
void print_result(const Json& result, const Common& common);

void write_json(const fs::path& file, const Json& value);
Json read_json(const fs::path& file);

} // namespace vkvae
