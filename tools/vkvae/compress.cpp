// vkvae compress, decompress: images as coded latents (lossy), or with bits back (lossless). The formats:
// latent/vkz.hpp.
#include <algorithm>
#include <cmath>

#include "dataset/hash.hpp"
#include "io/file.hpp"
#include "io/safetensors.hpp"
#include "latent/bits_back.hpp"
#include "latent/latent_code.hpp"
#include "latent/vkz.hpp"
#include "report/report.hpp"
#include "vkvae/latents.hpp"
#include "vkvae/verbs.hpp"
#include "vkvae/version.hpp"

namespace vkvae {
namespace {

constexpr int64_t kBatch = 64, kLosslessBatch = 16; // a batch of bits back begins with bits that a small file has not
constexpr uint64_t kMostBytes = uint64_t(4) << 30;  // of a .vkz file

struct Options {
    Common common;
    DataOptions data;
    std::string model, file, out;
    std::vector<std::string> images;
    double step = 2;
    bool lossless = false, curve = false;
};

// The same for every file that decodes the same way: weights by name, and the model's JSON.
uint64_t hash_model(const fs::path& file) {
    SafetensorsFile model = read_safetensors(file);
    uint64_t hash = hash_text(read_model_config(file).json);
    for (const TensorEntry& tensor : model.tensors) {
        hash = hash_text(tensor.name, hash);
        hash = hash_bytes(tensor.data, hash);
    }
    return hash;
}

// Where the networks give the same floats.
uint64_t hash_device(const Device& device) {
    return hash_text(concat_text(tuning_key(device), ", ", kVersion));
}

// The images to compress, (n, H, W, C) in [0,1]: files, or data as for any other verb.
std::vector<float> images_of(Options& o, const OpenModel& model) {
    const ModelConfig& config = model.vae->config();
    if (o.images.empty()) {
        default_data(o.data, model, o.common);
        Dataset data = load_data(o.data, config, o.common.quiet);
        return first_images(data, 0, data.count);
    }
    std::vector<float> all;
    for (const std::string& file : o.images) {
        std::vector<float> image = image_from(file, config, o.lossless);
        all.insert(all.end(), image.begin(), image.end());
    }
    return all;
}

std::vector<uint8_t> exact_bytes(std::span<const float> images) {
    std::vector<uint8_t> bytes;
    for (float value : images) {
        float byte = std::floor(std::clamp(value, 0.0f, 1.0f) * 255.0f + 0.5f);
        require_data(byte / 255.0f == value, "a pixel is ", value,
                     ", no multiple of 1/255: only images of 8 bits can be ", "compressed without loss");
        bytes.push_back(uint8_t(byte));
    }
    return bytes;
}

VkzFile header_of(const OpenModel& model, const fs::path& file, int64_t count) {
    const ModelConfig& config = model.vae->config();
    VkzFile vkz;
    vkz.model = hash_model(file);
    vkz.count = uint32_t(count);
    vkz.height = uint32_t(config.height);
    vkz.width = uint32_t(config.width);
    vkz.channels = uint32_t(config.channels);
    vkz.latent = uint32_t(config.latent);
    return vkz;
}

// ---- lossy ----------------------------------------------------------------------------------------------------------

// A grid for each dimension: `step` standard deviations of its posterior, averaged over the images.
std::vector<uint8_t> choose_grids(const Sampler::Encoded& posterior, size_t latent, double step) {
    std::vector<double> variance(latent, 0.0);
    double n = double(posterior.logvar.size() / latent);
    for (size_t i = 0; i < posterior.logvar.size(); i++)
        variance[i % latent] += std::exp(double(posterior.logvar[i])) / n;
    std::vector<uint8_t> grids;
    for (double value : variance) {
        require(std::isfinite(value), "a posterior variance of the model is not finite for these images");
        grids.push_back(grid_index(std::max(step * std::sqrt(value), 1e-30)));
    }
    return grids;
}

struct Distortion {
    double mse = 0, psnr = 0; // of pixels in [0,1]; dB
};

Distortion distortion_of(std::span<const float> images, std::span<const float> decoded) {
    double sum = 0;
    for (size_t i = 0; i < images.size(); i++)
        sum += (double(images[i]) - double(decoded[i])) * (double(images[i]) - double(decoded[i]));
    double mse = sum / double(images.size());
    return {mse, -10 * std::log10(std::max(mse, 1e-30))};
}

Json compress_lossy(const Options& o, Sampler& sampler, std::span<const float> images, VkzFile& vkz) {
    Sampler::Encoded posterior = sampler.encode(images);
    vkz.side = choose_grids(posterior, vkz.latent, o.step);
    std::vector<int32_t> k = quantise(posterior.mu, vkz.side);
    vkz.words = encode_latents(k, vkz.side);
    Distortion d = distortion_of(images, sampler.decode(dequantise(k, vkz.side)));
    return {{"mode", "lossy"}, {"step", o.step}, {"mse", d.mse}, {"psnr", d.psnr}};
}

// ---- lossless -------------------------------------------------------------------------------------------------------

constexpr size_t kSideHead = 16; // u64 device, u32 batch, u32 CRC-32C of the pixels; then the model of pixels

BitsBackNet net_of(Sampler& sampler, const ModelConfig& config, int64_t batch) {
    BitsBackNet net;
    net.pixels = config.pixels();
    net.latent = config.latent;
    net.batch = batch;
    net.encode = [&sampler](std::span<const float> images, std::vector<float>& mu, std::vector<float>& logvar) {
        Sampler::Encoded posterior = sampler.encode(images);
        mu = std::move(posterior.mu);
        logvar = std::move(posterior.logvar);
    };
    net.decode = [&sampler](std::span<const float> z) { return sampler.decode(z); };
    return net;
}

uint64_t number_at(std::span<const uint8_t> bytes, size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = size; i-- > 0;)
        value = value << 8 | bytes[at + i];
    return value;
}

Json compress_lossless(const OpenModel& model, Sampler& sampler, std::span<const float> images, VkzFile& vkz) {
    std::vector<uint8_t> pixels = exact_bytes(images);
    BitsBackCode code = bits_back_encode(net_of(sampler, model.vae->config(), kLosslessBatch), pixels);
    uint64_t head[2] = {hash_device(*model.device),
                        uint64_t(kLosslessBatch) | uint64_t(crc32c(std::as_bytes(std::span(pixels)))) << 32};
    for (uint64_t number : head)
        for (int i = 0; i < 8; i++)
            vkz.side.push_back(uint8_t(number >> 8 * i & 255));
    std::vector<uint8_t> rows = to_bytes(code.pixel_model);
    vkz.side.insert(vkz.side.end(), rows.begin(), rows.end());
    vkz.words = std::move(code.words);
    vkz.mode = VkzFile::Mode::lossless;
    double net = double(vkz.words.size()) * 32 - double(code.invented_bits);
    return {{"mode", "lossless"}, {"net_bits_per_pixel", net / double(pixels.size())}};
}

std::vector<float> decompress_lossless(const OpenModel& model, const VkzFile& vkz, const std::string& name) {
    const ModelConfig& config = model.vae->config();
    std::span<const uint8_t> side(vkz.side);
    require_data(side.size() > kSideHead, name, ": damaged .vkz file");
    if (number_at(side, 0, 8) != hash_device(*model.device))
        fail(Status::device, name,
             ": compressed without loss on another device, driver or version than this, where the ",
             "networks give other last digits: it can only be decompressed there");
    uint64_t batch = number_at(side, 8, 4);
    require_data(batch >= 1 && batch <= 4096, name, ": damaged .vkz file: a batch of ", batch);
    Sampler sampler(*model.device, *model.vae, *model.parameters, int64_t(batch));
    std::vector<uint8_t> pixels =
        bits_back_decode(net_of(sampler, config, int64_t(batch)), pixel_model_from(side.subspan(kSideHead), name),
                         vkz.words, vkz.count, name);
    require_data(crc32c(std::as_bytes(std::span(pixels))) == number_at(side, 12, 4), name,
                 ": the decompressed pixels are not those that were compressed: this device computes differently now");
    std::vector<float> images;
    for (uint8_t byte : pixels)
        images.push_back(float(byte) / 255.0f);
    return images;
}

// ---- verbs ----------------------------------------------------------------------------------------------------------

// Rate and distortion for steps from fine to coarse, for the run's report.
Json curve_of(const Options& o, Sampler& sampler, std::span<const float> images, const VkzFile& header) {
    Json points = Json::array();
    for (double step : {0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0}) {
        Options at = o;
        at.step = step;
        VkzFile vkz = header;
        Json point = compress_lossy(at, sampler, images, vkz);
        point.erase("mode");
        point["bits_per_pixel"] = 32 * double(vkz.words.size()) / double(images.size());
        points.push_back(point);
    }
    return points;
}

void run_compress(Options& o) {
    if (o.lossless && o.curve)
        fail(Status::usage, "--curve is of lossy compression");
    check_output(o.out, o.common, {".vkz"});
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    if (config.vq || config.deterministic)
        fail(Status::usage, "compress quantises by the width of a Gaussian posterior, which ", config.name, " has not");
    if (o.curve && model.run.empty())
        fail(Status::usage, "--curve goes into the report of a run: a run directory is needed");
    std::vector<float> images = images_of(o, model);
    int64_t count = int64_t(images.size()) / config.pixels();
    check_images(o.out, config, count);
    VkzFile vkz = header_of(model, model_file(o.model), count);
    Sampler sampler(*model.device, *model.vae, *model.parameters,
                    o.lossless ? kLosslessBatch : std::min(count, kBatch));
    if (o.curve) {
        write_json(model.run / "rate_distortion.json",
                   {{"count", count}, {"points", curve_of(o, sampler, images, vkz)}});
        write_report(model.run);
    }
    Json result = {{"count", count}};
    result.update(o.lossless ? compress_lossless(model, sampler, images, vkz)
                             : compress_lossy(o, sampler, images, vkz));
    std::vector<std::byte> bytes = write_vkz(vkz);
    write_file_atomic(o.out, bytes);
    save_pipeline_cache(*model.device);
    result["bytes"] = bytes.size();
    result["bits_per_pixel"] = 8 * double(bytes.size()) / double(images.size());
    result["raw_bytes"] = images.size();
    result["out"] = o.out;
    print_result(result, o.common);
}

void run_decompress(Options& o) {
    std::string ending = fs::path(o.out).extension().string();
    bool folder = ending != ".png" && ending != ".npy";
    if (folder)
        check_folder(o.out, o.common);
    else
        check_output(o.out, o.common, {".png", ".npy"});
    VkzFile vkz = parse_vkz(read_file(o.file, kMostBytes), o.file);
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    require_data(vkz.model == hash_model(model_file(o.model)), o.file, ": compressed with another model than ",
                 o.model);
    require_data(vkz.height == config.height && vkz.width == config.width && vkz.channels == config.channels &&
                     vkz.latent == config.latent,
                 o.file, ": damaged .vkz file: its sizes are not the model's");
    check_images(folder ? o.out + ".png" : o.out, config, vkz.count);
    std::vector<float> images;
    if (vkz.mode == VkzFile::Mode::lossless) {
        images = decompress_lossless(model, vkz, o.file);
    } else {
        require_data(vkz.side.size() == vkz.latent, o.file, ": damaged .vkz file: ", vkz.side.size(), " grids for ",
                     vkz.latent, " latents");
        std::vector<int32_t> k = decode_latents(vkz.words, vkz.count, vkz.side, o.file);
        Sampler sampler(*model.device, *model.vae, *model.parameters, std::min<int64_t>(vkz.count, kBatch));
        images = sampler.decode(dequantise(k, vkz.side));
    }
    if (folder)
        write_folder(o.out, images, config);
    else
        write_images(o.out, images, config, 8);
    save_pipeline_cache(*model.device);
    print_result(
        {{"count", vkz.count}, {"mode", vkz.mode == VkzFile::Mode::lossless ? "lossless" : "lossy"}, {"out", o.out}},
        o.common);
}

} // namespace

void add_compress(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("compress", "images as coded latents, or without loss by bits back");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    CLI::Option* images = verb->add_option("images", o->images, "PNG or JPEG files; none: the data");
    add_data(*verb, o->data, false, "test");
    CLI::Option* lossless = verb->add_flag("--lossless", o->lossless,
                                           "every bit of the pixels; decompressed on the same device and driver only");
    verb->add_option("--step", o->step, "of the quantisation, in standard deviations of the posterior")
        ->check(number_within(0.001, 1000))
        ->capture_default_str()
        ->excludes(lossless);
    verb->add_flag("--curve", o->curve, "rate and distortion for other steps, too, into the run's report");
    for (const char* option : {"--data", "--split", "--binarize", "--limit"})
        verb->get_option(option)->excludes(images);
    o->out = "images.vkz";
    verb->add_option("--out", o->out, "file to write")->capture_default_str();
    verb->callback([o] { run_compress(*o); });
}

void add_decompress(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("decompress", "the images of a .vkz file");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "the model that compressed them")->required();
    verb->add_option("file", o->file, ".vkz file")->required();
    o->out = "images";
    verb->add_option("--out", o->out, "a folder of PNG files, a .png grid, or .npy")->capture_default_str();
    verb->callback([o] { run_decompress(*o); });
}

} // namespace vkvae
