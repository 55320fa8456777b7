// vkvae morph, augment: many images out of few, as an animation, a folder or an array.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "dataset/image.hpp"
#include "dataset/npy.hpp"
#include "vkvae/latents.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

struct Options {
    Common common;
    DataOptions data;
    std::string model, out;
    std::vector<std::string> words;
    int64_t random = 0, copies = 1;
    int frames = 12, fps = 12, scale = 1;
    float temperature = 1;
    bool loop = false, spherical = false;
};

std::vector<uint8_t> to_bytes(std::span<const float> values) {
    std::vector<uint8_t> bytes;
    for (float value : values) {
        require(value == value, "an image holds NaN");
        bytes.push_back(uint8_t(std::clamp(value, 0.0f, 1.0f) * 255.0f + 0.5f));
    }
    return bytes;
}

// (n, h, w, c) with every pixel `scale` times as wide and high.
std::vector<uint8_t> enlarge(const std::vector<uint8_t>& in, const ModelConfig& m, int scale) {
    size_t w = size_t(m.width), c = size_t(m.channels), s = size_t(scale), rows = in.size() / (w * c);
    std::vector<uint8_t> out;
    out.reserve(in.size() * s * s);
    for (size_t row = 0; row < rows; row++)
        for (size_t y = 0; y < s; y++)
            for (size_t x = 0; x < w * s; x++)
                for (size_t k = 0; k < c; k++)
                    out.push_back(in[(row * w + x / s) * c + k]);
    return out;
}

// ---- morph ---------------------------------------------------------------------------------------------------------

// The points that the way goes through.
std::vector<std::vector<float>> stations(Options& o, const OpenModel& model, Sampler& sampler) {
    std::vector<std::vector<float>> points;
    Words words(model, sampler, o.data, o.common);
    for (const std::string& word : o.words)
        points.push_back(words.meaning(word).z);
    std::vector<float> drawn = sampler.sample_latents(o.random, o.common.seed);
    for (size_t at = 0; at < drawn.size(); at += size_t(model.vae->config().latent))
        points.emplace_back(drawn.begin() + std::ptrdiff_t(at),
                            drawn.begin() + std::ptrdiff_t(at) + std::ptrdiff_t(model.vae->config().latent));
    if (o.loop)
        points.push_back(points.front());
    return points;
}

void run_morph(Options& o) {
    if (int64_t(o.words.size()) + o.random < 2)
        fail(Status::usage,
             "a way needs two points: name samples (12, label:NAME, FILE), or --random 5 draws from the prior");
    bool folder = fs::path(o.out).extension().empty();
    if (folder)
        check_folder(o.out, o.common);
    else
        check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    int64_t legs = int64_t(o.words.size()) + o.random - (o.loop ? 0 : 1);
    check_images(folder ? o.out + ".png" : o.out, config, legs * o.frames + 1);
    if (o.scale > 1 &&
        (fs::path(o.out).extension() == ".npy" || o.scale * std::max(config.height, config.width) > 16384))
        fail(Status::usage, "--scale ", o.scale, " is for pictures of at most 16384 pixels a side");
    Sampler sampler(*model.device, *model.vae, *model.parameters, 64);
    std::vector<std::vector<float>> points = stations(o, model, sampler);
    std::vector<float> z;
    for (size_t leg = 0; leg + 1 < points.size(); leg++)
        for (int frame = 0; frame < o.frames; frame++) {
            std::vector<float> at =
                interpolate(points[leg], points[leg + 1], float(frame) / float(o.frames), o.spherical);
            z.insert(z.end(), at.begin(), at.end());
        }
    if (!o.loop) // a loop ends where its first frame goes on
        z.insert(z.end(), points.back().begin(), points.back().end());
    std::vector<float> images = sampler.decode(z);
    int64_t count = int64_t(z.size()) / config.latent;
    if (fs::path(o.out).extension() == ".npy") {
        write_images(o.out, images, config, 1);
    } else if (folder) {
        write_folder(o.out, images, config, o.scale);
    } else {
        std::vector<uint8_t> pixels = enlarge(to_bytes(images), config, o.scale);
        write_apng(o.out, int(config.width) * o.scale, int(config.height) * o.scale, int(config.channels), o.fps,
                   pixels);
    }
    save_pipeline_cache(*model.device);
    print_result({{"frames", count}, {"points", points.size()}, {"fps", o.fps}, {"out", o.out}}, o.common);
}

// ---- augment -------------------------------------------------------------------------------------------------------

// A class's folder: its name if that is one, and no way out of ours.
fs::path class_folder(const Dataset& data, int64_t index) {
    std::string name = label_text(data, index);
    bool plain = !name.empty() && name != "." && name != ".." &&
                 name.find_first_of(std::string("/\\:\0", 4)) == std::string::npos;
    return plain ? fs::path(name)
                 : fs::path(data.labels.empty() ? "" : "class" + std::to_string(data.labels[size_t(index)]));
}

void augment_to_folder(const Options& o, const Dataset& data, const ModelConfig& config, Sampler& sampler,
                       const Sampler::Encoded& posterior) {
    constexpr int64_t kPiece = 1024;
    for (int64_t copy = 0; copy < o.copies; copy++)
        for (int64_t first = 0; first < data.count; first += kPiece) {
            int64_t count = std::min(kPiece, data.count - first);
            std::vector<uint8_t> bytes = to_bytes(sampler.decode(
                jitter(posterior, first, count, config.latent, o.common.seed, uint32_t(copy), o.temperature)));
            std::span<const uint8_t> all(bytes);
            for (int64_t i = 0; i < count; i++) {
                fs::path folder = fs::path(o.out) / class_folder(data, first + i);
                fs::create_directories(folder);
                char name[64];
                std::snprintf(name, sizeof(name), "%08lld-%lld.png", static_cast<long long>(first + i),
                              static_cast<long long>(copy));
                write_png(folder / name, int(config.width), int(config.height), int(config.channels),
                          all.subspan(size_t(i * config.pixels()), size_t(config.pixels())));
            }
            if (interrupted())
                fail(Status::interrupted, "");
        }
}

void run_augment(Options& o) {
    bool folder = fs::path(o.out).extension() != ".npy";
    fs::path labels = fs::path(o.out).replace_extension(".labels.npy");
    if (folder)
        check_folder(o.out, o.common);
    else
        for (const fs::path& file : {fs::path(o.out), labels})
            check_output(file, o.common, {".npy"});
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    default_data(o.data, model, o.common);
    Dataset data = load_data(o.data, config, o.common.quiet);
    check_images(folder ? o.out + ".png" : o.out, config, folder ? 1 : data.count * o.copies);
    Sampler sampler(*model.device, *model.vae, *model.parameters, std::min<int64_t>(data.count, 256));
    Sampler::Encoded posterior = encode_all(sampler, model.vae->config(), data);
    Json result = {{"data", data.name}, {"count", data.count * o.copies}, {"copies", o.copies}};
    if (folder) {
        augment_to_folder(o, data, config, sampler, posterior);
    } else {
        std::vector<float> images, repeated;
        for (int64_t copy = 0; copy < o.copies; copy++) {
            std::vector<float> some = sampler.decode(
                jitter(posterior, 0, data.count, config.latent, o.common.seed, uint32_t(copy), o.temperature));
            images.insert(images.end(), some.begin(), some.end());
            repeated.insert(repeated.end(), data.labels.begin(), data.labels.end());
        }
        write_images(o.out, images, config, 1);
        if (!repeated.empty()) {
            write_npy(labels, Shape{int64_t(repeated.size())}, repeated);
            result["labels"] = labels.string();
        }
    }
    save_pipeline_cache(*model.device);
    result["out"] = o.out;
    print_result(result, o.common);
}

} // namespace

void write_folder(const fs::path& folder, std::span<const float> images, const ModelConfig& model, int scale) {
    fs::create_directories(folder);
    std::vector<uint8_t> bytes = enlarge(to_bytes(images), model, scale);
    size_t width = size_t(model.pixels()) * size_t(scale) * size_t(scale);
    for (size_t i = 0; i < bytes.size() / width; i++) {
        char name[32];
        std::snprintf(name, sizeof(name), "%08zu.png", i);
        write_png(folder / name, int(model.width) * scale, int(model.height) * scale, int(model.channels),
                  std::span<const uint8_t>(bytes).subspan(i * width, width));
    }
}

void add_morph(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("morph", "an animation of a walk through latent space");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    verb->add_option("points", o->words, "12 (a sample), label:NAME, FILE, or a list of them with commas: their mean");
    verb->add_option("--random", o->random, "as many points more, drawn from the prior")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    add_data(*verb, o->data, false, "test");
    verb->add_option("--frames", o->frames, "from one point to the next")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    verb->add_option("--fps", o->fps, "frames a second, of an animation")
        ->check(CLI::Range(1, 100))
        ->capture_default_str();
    verb->add_option("--scale", o->scale, "enlarges pixels")->check(CLI::Range(1, 64))->capture_default_str();
    verb->add_flag("--loop", o->loop, "back to the first point at the end");
    verb->add_flag("--spherical", o->spherical, "along the sphere instead of the chord");
    o->out = "morph.png";
    verb->add_option("--out", o->out, ".png: an animation; .npy; a name without ending: a folder of frames")
        ->capture_default_str();
    verb->callback([o, verb] {
        if (verb->count("--fps") > 0 && fs::path(o->out).extension() != ".png")
            fail(Status::usage, "--fps is of an animation: an --out that ends in .png");
        run_morph(*o);
    });
}

void add_augment(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("augment", "copies of a data set, each decoded from a draw of its posterior");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    add_data(*verb, o->data, false, "train");
    verb->add_option("--copies", o->copies, "of each sample")->check(CLI::Range(1, 100000))->capture_default_str();
    verb->add_option("--temperature", o->temperature,
                     "factor of the posterior's standard deviation; 0: reconstructions")
        ->check(number_within(0, 100))
        ->capture_default_str();
    o->out = "augmented.npy";
    verb->add_option("--out", o->out,
                     ".npy and its .labels.npy; any other name: a folder of PNG files, one folder a class")
        ->capture_default_str();
    verb->callback([o] {
        watch_interrupts();
        run_augment(*o);
    });
}

} // namespace vkvae
