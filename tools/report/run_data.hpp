// What a run directory says about its run, read without trust: missing, cut-off and malformed parts become notes.
#pragma once

#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "report/scatter.hpp"

namespace vkvae {

using Json = nlohmann::ordered_json; // the report shows settings in the order of the file

// A value the file does not have. A value that is there but not finite (null in JSON) is +infinity.
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

struct TrainRecord {
    double step = kMissing;
    double epoch = kMissing;
    double loss = kMissing, nll = kMissing, kl = kMissing; // nats per sample
    double grad_norm = kMissing, lr = kMissing, beta = kMissing;
    double loss_scale = kMissing; // of f16; a step with an infinite norm was skipped
    double perplexity = kMissing; // of codes, the mean of the levels
    double images_per_s = kMissing;
    double elapsed_s = kMissing;
};

struct EvalRecord {
    double step = kMissing;
    double epoch = kMissing;
    std::string split;
    double elbo = kMissing, nll = kMissing, kl = kMissing; // nats per sample
    double active_units = kMissing;
    double perplexity = kMissing; // of codes, the mean of the levels
    double elapsed_s = kMissing;
    std::vector<double> kl_dims; // (D)
};

struct KernelRow {
    std::string name;
    double calls = kMissing; // per step
    double ms = kMissing;    // GPU milliseconds per step
};

struct Picture {
    std::string file; // relative to the run directory, with forward slashes
    std::vector<std::byte> png;
    int width = 0;
    int height = 0;
    long long step = -1; // of samples/step-N.png
};

struct RatePoint { // what `vkvae compress --curve` measured
    double step = kMissing;           // of the quantisation, in posterior standard deviations
    double bits_per_pixel = kMissing, psnr = kMissing;
};

struct RunData {
    std::string name; // of the directory
    Json config;
    std::vector<TrainRecord> train; // by increasing step
    std::vector<EvalRecord> evals;  // by increasing step within each split
    double profile_steps = kMissing;
    std::vector<KernelRow> kernels; // slowest first
    std::vector<Picture> pictures;   // samples.png and its kind, those that exist
    std::vector<Picture> film;       // samples/step-*.png, at most 12
    ScatterChart latents;            // of latents.json
    std::vector<RatePoint> rates;    // of rate_distortion.json, by increasing rate
    std::vector<std::string> notes;  // what could not be read
};

// Reads the directory. Error(data) when config.json is missing or not a JSON object.
RunData read_run(const std::filesystem::path& run_dir);

// object[key] as a number: kMissing without it, +infinity when it is not a finite number.
double json_number(const Json& object, const char* key);

// object[key] where it is an object, an empty object otherwise.
const Json& json_object(const Json& object, const char* key);

// object[key] as text when it is a string, "" otherwise.
std::string json_text(const Json& object, const char* key);

} // namespace vkvae
