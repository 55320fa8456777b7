// vkvae score: how unusual each sample is to a model.
//
//   neg_elbo         -ELBO: the NLL of one draw of z and the KL, nats
//   iw_nll           with --iw K: the importance-weighted bound of -log p(x), nats
//   mse              of the reconstruction from mu, per element
//   kl               KL(q(z|x) || p(z)), nats
//   latent_distance  of mu from the centre of the clean samples' latents, each dimension in its deviations; without
//   clean
//                    samples from that of the prior, |mu|
#include <algorithm>
#include <cmath>
#include <numeric>

#include "dataset/image.hpp"
#include "dataset/npy.hpp"
#include "io/file.hpp"
#include "metrics/aggregate.hpp"
#include "metrics/heat_map.hpp"
#include "metrics/ranking.hpp"
#include "vkvae/common.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

constexpr size_t kMapBatch = 64;

struct Options {
    Common common;
    DataOptions data, clean;
    std::string model, out, anomalies, maps;
    std::vector<std::string> anomalous_labels;
    int64_t importance_samples = 0, batch = 128, count = 16;
    double quantile = 0.99;
};

// Scores by name, a value for each sample.
using Scores = std::vector<std::pair<std::string, std::vector<double>>>;

struct Scored {
    Scores scores;              // without latent_distance at first
    std::vector<float> moments; // (N, 2 D)
};

Scored score(const OpenModel& model, const Options& o, const DataOptions& from, const Dataset& data) {
    EvaluateOptions options;
    options.batch = o.batch;
    options.importance_samples = o.importance_samples;
    options.seed = o.common.seed;
    options.binarize = binarize_of(from);
    options.progress = tell_samples(o.common);
    std::vector<double> neg_elbo, iw_nll, mse, kl;
    Scored result;
    options.each_batch = [&](const EvaluatedBatch& b) {
        size_t count = size_t(b.count), pixels = b.x.size() / count, latent = b.kl.size() / count;
        for (size_t i = 0; i < count; i++) {
            auto own_kl = b.kl.subspan(i * latent, latent);
            kl.push_back(std::accumulate(own_kl.begin(), own_kl.end(), 0.0));
            neg_elbo.push_back(b.nll[i] + kl.back());
            double squares = 0;
            for (size_t p = i * pixels; p < (i + 1) * pixels; p++)
                squares += (double(b.x[p]) - b.mean[p]) * (double(b.x[p]) - b.mean[p]);
            mse.push_back(squares / double(pixels));
        }
        iw_nll.insert(iw_nll.end(), b.iw_nll.begin(), b.iw_nll.end());
        result.moments.insert(result.moments.end(), b.moments.begin(), b.moments.end());
    };
    evaluate(*model.device, *model.vae, *model.parameters, view_of(data), options);
    for (size_t i = 0; i < neg_elbo.size(); i++)
        require_data(std::isfinite(neg_elbo[i]) && std::isfinite(mse[i]), "the model gives sample ", i, " of ",
                     data.name, " an ELBO of ", -neg_elbo[i], ": it is broken, or the sample beyond all it can take");
    result.scores = {{"neg_elbo", neg_elbo}, {"mse", mse}, {"kl", kl}};
    if (o.importance_samples > 0)
        result.scores.insert(result.scores.begin() + 1, {"iw_nll", iw_nll});
    return result;
}

void add_latent_distance(Scored& scored, const LatentSpread& spread) {
    size_t latent = spread.mean.size();
    std::vector<double> distances;
    for (size_t i = 0; i < scored.moments.size(); i += 2 * latent)
        distances.push_back(latent_distance(std::span(scored.moments).subspan(i, latent), spread));
    scored.scores.emplace_back("latent_distance", distances);
}

// 1 for anomalies; empty if nothing says which these are.
std::vector<uint8_t> truth_of(const Options& o, const Dataset& data) {
    std::vector<uint8_t> truth;
    if (!o.anomalies.empty()) {
        NpyArray array = read_npy(o.anomalies);
        require_data(array.shape == Shape{data.count}, o.anomalies, " has the shape ", to_text(array.shape),
                     "; it must be (", data.count, "): 0 or 1 for each sample");
        for (float value : npy_to_f32(array, o.anomalies)) {
            require_data(value == 0 || value == 1, o.anomalies, " holds ", value,
                         "; it must hold 0 or 1 for each sample");
            truth.push_back(value == 1);
        }
    }
    if (!o.anomalous_labels.empty())
        for (bool is : has_label(data, o.anomalous_labels))
            truth.push_back(is);
    int64_t anomalies = std::count(truth.begin(), truth.end(), uint8_t(1));
    require_data(truth.empty() || (anomalies > 0 && anomalies < data.count), anomalies, " of the ", data.count,
                 " samples are anomalies; there must be both kinds");
    return truth;
}

void add_ranking(Json& result, const Scores& scores, std::span<const uint8_t> truth) {
    result["anomalies"] = std::count(truth.begin(), truth.end(), uint8_t(1));
    for (const auto& entry : scores)
        result["auroc"][entry.first] = auroc(entry.second, truth);
    for (const auto& entry : scores)
        result["aupr"][entry.first] = average_precision(entry.second, truth);
}

// Thresholds by the clean scores, and a column of 0 and 1 for each score.
void add_thresholds(Json& result, Scores& columns, const Scores& clean, double q) {
    size_t count = columns.size();
    for (size_t k = 0; k < count; k++) {
        const std::string& name = columns[k].first;
        double threshold = quantile(clean[k].second, q);
        std::vector<double> exceeds;
        for (double score : columns[k].second)
            exceeds.push_back(score > threshold);
        result["threshold"][name] = threshold;
        result["exceeding"][name] = std::accumulate(exceeds.begin(), exceeds.end(), 0.0);
        columns.emplace_back("exceeds_" + name, exceeds);
    }
}

void write_scores(const fs::path& file, const Scores& columns, const Dataset& data, std::span<const uint8_t> truth) {
    size_t n = size_t(data.count);
    if (file.extension() == ".npy") {
        std::vector<float> values;
        for (size_t i = 0; i < n; i++)
            for (const auto& column : columns)
                values.push_back(float(column.second[i]));
        write_npy(file, Shape{data.count, int64_t(columns.size())}, values);
        return;
    }
    std::string text = "index";
    text += data.labels.empty() ? "" : ",label";
    text += truth.empty() ? "" : ",anomaly";
    for (const auto& column : columns)
        text += "," + column.first;
    for (size_t i = 0; i < n; i++) {
        text += "\n" + std::to_string(i);
        text += data.labels.empty() ? "" : "," + std::to_string(data.labels[i]);
        text += truth.empty() ? "" : "," + std::to_string(truth[i]);
        for (const auto& column : columns) {
            char number[32];
            std::snprintf(number, sizeof(number), ",%.9g", column.second[i]);
            text += number;
        }
    }
    write_file_atomic(file, text + "\n");
}

// Of the samples with the largest -ELBO, or as .npy of all.
void write_maps(Json& result, const Options& o, const OpenModel& model, const Dataset& data, const Scores& scores) {
    const std::vector<double>& by = scores[0].second;
    std::vector<int64_t> order(by.size());
    std::iota(order.begin(), order.end(), int64_t(0));
    bool picture = fs::path(o.maps).extension() == ".png";
    if (picture) {
        std::stable_sort(order.begin(), order.end(),
                         [&](int64_t a, int64_t b) { return by[size_t(a)] > by[size_t(b)]; });
        order.resize(std::min(order.size(), size_t(o.count)));
    }
    Sampler sampler(*model.device, *model.vae, *model.parameters, kMapBatch);
    std::vector<float> errors, images, means; // (n, H, W), and of a picture (n, H, W, C)
    for (size_t first = 0; first < order.size(); first += kMapBatch) {
        std::vector<float> x;
        std::vector<uint8_t> labels;
        for (size_t i = first; i < std::min(order.size(), first + kMapBatch); i++) {
            std::vector<float> image = first_images(data, order[i], 1);
            x.insert(x.end(), image.begin(), image.end());
            std::span<const uint8_t> label = labels_for(model.vae->config(), data, order[i], 1);
            labels.insert(labels.end(), label.begin(), label.end());
        }
        std::vector<float> mean = sampler.reconstruct(x, labels), map = error_map(x, mean, size_t(data.channels));
        errors.insert(errors.end(), map.begin(), map.end());
        if (picture) {
            images.insert(images.end(), x.begin(), x.end());
            means.insert(means.end(), mean.begin(), mean.end());
        }
    }
    result["maps"] = o.maps;
    if (!picture) {
        write_npy(o.maps, Shape{data.count, data.height, data.width}, errors);
        return;
    }
    result["map_samples"] = order;
    result["map_white"] = write_heat_maps(o.maps, images, means, errors, data.height, data.width, data.channels);
}

void check_options(const Options& o, bool quantile_given) {
    check_output(o.out, o.common, {".csv", ".npy"});
    if (!o.maps.empty())
        check_output(o.maps, o.common, {".png", ".npy"});
    if (!o.maps.empty() && fs::path(o.maps) == fs::path(o.out))
        fail(Status::usage, "--out and --maps name the same file");
    if (quantile_given && o.clean.source.empty())
        fail(Status::usage, "--quantile is of clean data; --clean says which these are");
}

Scored score_clean(Options& o, const OpenModel& model) {
    o.clean.binarize = o.data.binarize;
    o.clean.seed = o.data.seed;
    Dataset clean = load_data(o.clean, model.vae->config(), o.common.quiet);
    std::vector<std::string> known; // clean data need not have all of the anomalous labels, or any
    for (const std::string& label : o.anomalous_labels)
        if (std::find(clean.class_names.begin(), clean.class_names.end(), label) != clean.class_names.end())
            known.push_back(label);
    if (!known.empty())
        drop_labels(clean, known);
    return score(model, o, o.clean, clean);
}

void run_score(Options& o, bool quantile_given) {
    check_options(o, quantile_given);
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    DataOptions given = o.data;
    default_data(o.data, model, o.common);
    o.data.with_labels = given.with_labels; // not the run's: what it was not trained on is what we are after
    o.data.without_labels = given.without_labels;
    Dataset data = load_data(o.data, config, o.common.quiet);
    if (!o.maps.empty())
        check_images(o.maps, config, fs::path(o.maps).extension() == ".npy" ? data.count : 3 * o.count);
    std::vector<uint8_t> truth = truth_of(o, data);
    Scored scored = score(model, o, o.data, data);
    Json result = {{"data", data.name}, {"split", o.data.split}, {"binarize", o.data.binarize}, {"count", data.count}};
    if (o.importance_samples > 0)
        result["iw_samples"] = o.importance_samples;
    Scored clean;
    LatentSpread spread = prior_spread(config.latent);
    if (!o.clean.source.empty()) {
        clean = score_clean(o, model);
        spread = latent_spread(clean.moments, config.latent);
        add_latent_distance(clean, spread);
        result["clean_count"] = clean.scores[0].second.size();
        result["quantile"] = o.quantile;
    }
    add_latent_distance(scored, spread);
    if (!truth.empty())
        add_ranking(result, scored.scores, truth);
    Scores columns = scored.scores;
    if (!o.clean.source.empty())
        add_thresholds(result, columns, clean.scores, o.quantile);
    for (const auto& column : columns)
        result["columns"].push_back(column.first);
    if (!o.maps.empty())
        write_maps(result, o, model, data, scored.scores);
    write_scores(o.out, columns, data, truth);
    save_pipeline_cache(*model.device);
    result["seed"] = o.common.seed;
    result["out"] = o.out;
    print_result(result, o.common);
}

} // namespace

void add_score(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb =
        app.add_subcommand("score", "how unusual each sample is: -ELBO, reconstruction, KL, latent distance");
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    add_data(*verb, o->data, false, "test");
    o->out = "scores.csv";
    verb->add_option("--out", o->out, ".csv with a row for each sample, or .npy (N, scores)")->capture_default_str();
    verb->add_option("--iw", o->importance_samples, "samples K of the importance-weighted NLL, one more score")
        ->check(CLI::Range(int64_t(0), int64_t(1) << 20));
    CLI::Option* labels = verb->add_option("--anomalous-labels", o->anomalous_labels,
                                           "labels of anomalies, for example 8; gives AUROC and AUPR of each score");
    labels->delimiter(',');
    verb->add_option("--anomalies", o->anomalies, "the same by an .npy array of 0 and 1, one for each sample")
        ->excludes(labels);
    verb->add_option("--clean", o->clean.source,
                     "data without anomalies (samples of --anomalous-labels are left out): "
                     "gives thresholds, and the centre of latent distances");
    verb->add_option("--clean-split", o->clean.split, "train or test, of --clean")
        ->check(CLI::IsMember({"train", "test"}))
        ->capture_default_str();
    CLI::Option* quantile = verb->add_option("--quantile", o->quantile, "share of the clean samples below a threshold")
                                ->check(number_within(0.001, 1))
                                ->capture_default_str();
    verb->add_option("--maps", o->maps,
                     ".png: input, reconstruction and squared error of the samples with the largest "
                     "-ELBO; .npy: squared errors of all samples (N, H, W)");
    verb->add_option("--count", o->count, "samples in the .png of --maps")
        ->check(CLI::Range(int64_t(1), int64_t(400)))
        ->capture_default_str();
    verb->add_option("--batch", o->batch, "samples at a time")
        ->check(CLI::Range(int64_t(1), int64_t(1) << 20))
        ->capture_default_str();
    verb->callback([o, quantile] {
        watch_interrupts();
        run_score(*o, quantile->count() > 0);
    });
}

} // namespace vkvae
