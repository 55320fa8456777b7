// Latents that verbs begin with.
#include "vkvae/latents.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "dataset/image.hpp"
#include "latent/mixture.hpp"
#include "ops/philox.hpp"

namespace vkvae {
namespace {

constexpr int64_t kPiece = 4096; // images held as floats at a time

std::vector<std::string> split_list(const std::string& word) {
    std::error_code ignored;
    if (fs::exists(word, ignored)) // a file's name may have commas
        return {word};
    std::vector<std::string> items;
    for (size_t begin = 0; begin <= word.size();) {
        size_t end = std::min(word.find(',', begin), word.size());
        if (end > begin)
            items.push_back(word.substr(begin, end - begin));
        begin = end + 1;
    }
    return items;
}

// 12 or #12; -1 for anything else.
int64_t index_in(const std::string& item) {
    size_t begin = item.starts_with("#") ? 1 : 0;
    int64_t value = -1;
    auto [end, error] = std::from_chars(item.data() + begin, item.data() + item.size(), value);
    return error == std::errc() && end == item.data() + item.size() && begin < item.size() && value >= 0 ? value : -1;
}

} // namespace

Sampler::Encoded encode_all(Sampler& sampler, const ModelConfig& config, const Dataset& data) {
    Sampler::Encoded all;
    for (int64_t first = 0; first < data.count; first += kPiece) {
        Sampler::Encoded piece = sampler.encode(first_images(data, first, kPiece), labels_for(config, data, first, kPiece));
        all.mu.insert(all.mu.end(), piece.mu.begin(), piece.mu.end());
        all.logvar.insert(all.logvar.end(), piece.logvar.begin(), piece.logvar.end());
    }
    return all;
}

std::vector<float> jitter(const Sampler::Encoded& posterior, int64_t first, int64_t count, int64_t latent,
                          uint64_t seed, uint32_t copy, float temperature) {
    if (posterior.logvar.empty() && count > 0)
        fail(Status::usage, "the posterior of a VQ-VAE has no width to draw from");
    std::vector<float> z(size_t(count * latent));
    for (int64_t i = 0; i < count; i++)
        for (int64_t d = 0; d < latent; d++) {
            size_t at = size_t((first + i) * latent + d);
            float eps = random_normal(seed, Stream::augment, copy, uint32_t(first + i), uint32_t(d));
            z[size_t(i * latent + d)] = posterior.mu[at] + temperature * std::exp(0.5f * posterior.logvar[at]) * eps;
        }
    return z;
}

std::vector<float> image_from(const fs::path& file, const ModelConfig& model, bool exact) {
    if (!can_be_png(model))
        fail(Status::usage, file.string(), ": the model's samples of ", model.height, " x ", model.width, " x ",
             model.channels, " are no pictures");
    Image image = read_image(file, int(model.channels));
    Extent from{image.height, image.width, image.channels},
        to{int(model.height), int(model.width), int(model.channels)};
    require_data(!exact || from == to, file.string(), ": ", image.width, " x ", image.height,
                 " pixels; without loss only images of the model's ", model.width, " x ", model.height,
                 " are possible");
    std::vector<uint8_t> bytes(size_t(model.pixels()));
    fit_pixels(image.pixels.data(), from, bytes.data(), to);
    std::vector<float> values;
    for (uint8_t byte : bytes)
        values.push_back(float(byte) / 255.0f);
    return values;
}

std::string label_text(const Dataset& data, int64_t index) {
    if (data.labels.empty())
        return {};
    size_t label = data.labels[size_t(index)];
    return label < data.class_names.size() ? data.class_names[label] : std::to_string(label);
}

ScatterChart latent_scatter(const Dataset& data, const Pca& pca, std::span<const float> mu) {
    int64_t components = std::min<int64_t>(2, pca.dims), count = int64_t(mu.size()) / pca.dims;
    ScatterChart chart;
    chart.id = "latents";
    chart.title = "Latents";
    char names[2][40];
    for (int64_t c = 0; c < 2; c++)
        std::snprintf(names[c], sizeof(names[c]), c < components ? "component %lld: %.1f %%" : "no second one",
                      static_cast<long long>(c + 1),
                      c < components ? 100 * (pca.share(c + 1) - (c > 0 ? pca.share(c) : 0)) : 0.0);
    chart.unit = concat_text("posterior means of ", count, " samples of ", data.name, ", principal components");
    chart.x_name = names[0];
    chart.y_name = names[1];
    std::vector<float> scores = project(pca, mu, components);
    for (int64_t i = 0; i < count; i++) {
        chart.x.push_back(scores[size_t(i * components)]);
        chart.y.push_back(components > 1 ? double(scores[size_t(i * components + 1)]) : 0);
        if (!data.labels.empty())
            chart.labels.push_back(data.labels[size_t(i)]);
    }
    if (!data.labels.empty())
        chart.classes = data.class_names;
    return chart;
}

const Dataset& Words::data() {
    if (!data_) {
        default_data(options_, model_, common_);
        data_ = load_data(options_, model_.vae->config(), common_.quiet);
    }
    return *data_;
}

void Words::add_label(const std::string& name, Items& items) {
    const Dataset& set = data();
    if (set.labels.empty())
        fail(Status::usage, "label:", name, ": ", set.name, " has no labels");
    auto found = std::find(set.class_names.begin(), set.class_names.end(), name);
    if (found == set.class_names.end()) {
        std::string known;
        for (const std::string& other : set.class_names)
            known += concat_text(known.empty() ? "" : ", ", other);
        fail(Status::usage, "label:", name, ": ", set.name, " has the classes ", known);
    }
    size_t label = size_t(found - set.class_names.begin()), before = items.indices.size();
    for (int64_t i = 0; i < set.count; i++)
        if (set.labels[size_t(i)] == label)
            items.indices.push_back(i);
    if (items.indices.size() == before)
        fail(Status::usage, "label:", name, ": the ", options_.split, " split of ", set.name, " has no such samples");
}

void Words::add_item(const std::string& item, Items& items) {
    std::error_code ignored;
    if (fs::exists(item, ignored)) {
        std::vector<float> image = image_from(item, model_.vae->config());
        items.images.insert(items.images.end(), image.begin(), image.end());
        return;
    }
    if (item.starts_with("label:"))
        return add_label(item.substr(6), items);
    int64_t index = index_in(item);
    if (index < 0)
        fail(Status::usage, "'", item, "' is neither a file nor the number of a sample (12 or #12) nor label:NAME");
    if (index >= data().count)
        fail(Status::usage, "'", item, "': the ", options_.split, " split of ", data().name, " has ", data().count,
             " samples, the first is 0");
    items.indices.push_back(index);
}

Words::Meaning Words::meaning(const std::string& word) {
    const ModelConfig& config = model_.vae->config();
    size_t d = size_t(config.latent), pixels = size_t(config.pixels());
    Items items;
    for (const std::string& item : split_list(word))
        add_item(item, items);
    size_t n = items.indices.size() + items.images.size() / pixels;
    if (n == 0)
        fail(Status::usage, "'", word, "' names no samples");
    std::vector<double> mean(d, 0.0);
    Meaning result;
    auto add = [&](const std::vector<float>& images) {
        std::vector<float> mu = sampler_.encode(images).mu;
        for (size_t i = 0; i < mu.size(); i++)
            mean[i % d] += double(mu[i]) / double(n);
        if (n == 1)
            result.image = images;
    };
    if (!items.images.empty())
        add(items.images);
    std::vector<float> piece; // a class can be most of a data set
    for (size_t i = 0; i < items.indices.size(); i++) {
        std::vector<float> image = first_images(data(), items.indices[i], 1);
        piece.insert(piece.end(), image.begin(), image.end());
        if (i + 1 == items.indices.size() || piece.size() >= 256 * pixels) {
            add(piece);
            piece.clear();
        }
    }
    result.z.assign(mean.begin(), mean.end());
    if (n > 1)
        result.image = sampler_.decode(result.z);
    else if (!items.indices.empty())
        result.index = items.indices[0];
    return result;
}

void check_prior(const CLI::App& verb, const PriorOptions& o) {
    if (o.sampler != "gmm" && verb.count("--components") > 0)
        fail(Status::usage, "--components is of --sampler gmm");
    for (const char* option : {"--data", "--split", "--binarize", "--limit"})
        if (o.sampler == "prior" && verb.count(option) > 0)
            fail(Status::usage, option, " is of --sampler aggregate and gmm; the prior is not fitted to data");
}

void add_prior(CLI::App& verb, PriorOptions& o) {
    verb.add_option(
            "--sampler", o.sampler,
            "prior: N(0, I); aggregate: posteriors of training samples; gmm: a mixture of Gaussians fitted to them")
        ->check(CLI::IsMember({"prior", "aggregate", "gmm"}))
        ->capture_default_str();
    verb.add_option("--components", o.components, "of gmm")->check(CLI::Range(1, 4096))->capture_default_str();
    verb.add_option("--temperature", o.temperatures,
                    "factor of the standard deviation, of each component's with gmm; of a ladder one for each level, the "
                    "top one first")
        ->delimiter(',')
        ->check(number_within(0, 100))
        ->capture_default_str();
    o.data.limit = 10000; // EM over all of MNIST would take a minute and end nowhere else
    add_data(verb, o.data, false, "train");
    verb.get_option("--limit")
        ->description("fit aggregate and gmm to at most this many samples, 0: all")
        ->capture_default_str();
}

std::vector<float> draw_latents(const OpenModel& model, Sampler& sampler, PriorOptions& o, int64_t n,
                                const Common& common, Json& about) {
    about["sampler"] = o.sampler;
    if (o.sampler == "prior")
        return sampler.sample_latents(n, common.seed, o.temperatures);
    if (o.temperatures.size() != 1)
        fail(Status::usage, "--temperature: one number for --sampler ", o.sampler);
    const float temperature = o.temperatures[0];
    default_data(o.data, model, common);
    Dataset data = load_data(o.data, model.vae->config(), common.quiet);
    Sampler::Encoded posterior = encode_all(sampler, model.vae->config(), data);
    int64_t latent = model.vae->config().latent;
    about["fitted_to"] = data.count;
    if (o.sampler == "gmm") {
        MixtureOptions options;
        options.components = o.components;
        options.seed = common.seed;
        Mixture mixture = fit_mixture(jitter(posterior, 0, data.count, latent, common.seed, 0, 1), latent, options);
        about["components"] = o.components;
        about["log_likelihood"] = mixture.history.back();
        about["iterations"] = mixture.history.size() - 1;
        return sample_mixture(mixture, n, common.seed, temperature);
    }
    // Each draw has its own posterior and its own noise: that of the (i+1)-th copy.
    std::vector<float> z;
    for (int64_t i = 0; i < n; i++) {
        int64_t chosen = random_below(common.seed, Stream::sample, 0, uint32_t(i), uint32_t(data.count));
        std::vector<float> one = jitter(posterior, chosen, 1, latent, common.seed, uint32_t(i) + 1, temperature);
        z.insert(z.end(), one.begin(), one.end());
    }
    return z;
}

} // namespace vkvae
