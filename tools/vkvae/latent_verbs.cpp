// vkvae arithmetic, neighbors, project: what the latent space of a trained model knows about data.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "dataset/npy.hpp"
#include "io/file.hpp"
#include "latent/pca.hpp"
#include "vkvae/latents.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

constexpr int64_t kBatch = 64;

struct Options {
    Common common;
    DataOptions data;
    std::string model, out;
    std::vector<std::string> plus, minus, queries, outs;
    int64_t count = 8, components = 2;
};

CLI::App* add_verb(CLI::App& app, const char* name, const char* text, const std::shared_ptr<Options>& o) {
    CLI::App* verb = app.add_subcommand(name, text);
    add_common(*verb, o->common);
    verb->add_option("model", o->model, "run directory or .safetensors model")->required();
    add_data(*verb, o->data, false, "test");
    return verb;
}

void append(std::vector<float>& all, const std::vector<float>& more) {
    all.insert(all.end(), more.begin(), more.end());
}

// ---- arithmetic ----------------------------------------------------------------------------------------------------

// z = sum of the plus terms - sum of the minus terms, each the mean of a set (Radford et al. 2015, section 6.3.2).
void run_arithmetic(Options& o) {
    check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    int64_t terms = int64_t(o.plus.size() + o.minus.size());
    check_images(o.out, config, terms + 1);
    Sampler sampler(*model.device, *model.vae, *model.parameters, kBatch);
    Words words(model, sampler, o.data, o.common);
    std::vector<double> sum(size_t(config.latent), 0.0);
    std::vector<float> latents;
    auto add = [&](const std::vector<std::string>& list, double sign) {
        for (const std::string& word : list) {
            std::vector<float> z = words.meaning(word).z;
            for (size_t k = 0; k < z.size(); k++)
                sum[k] += sign * double(z[k]);
            append(latents, z);
        }
    };
    add(o.plus, 1);
    add(o.minus, -1);
    std::vector<float> z(sum.begin(), sum.end());
    bool picture = fs::path(o.out).extension() == ".png";
    if (!picture) // the result alone; in a picture the terms, as the model sees them, stand before it
        latents.clear();
    append(latents, z);
    write_images(o.out, sampler.decode(latents), config, int(terms + 1));
    save_pipeline_cache(*model.device);
    print_result({{"plus", o.plus}, {"minus", o.minus}, {"latent", z}, {"out", o.out}}, o.common);
}

// ---- neighbors -----------------------------------------------------------------------------------------------------

struct Neighbor {
    int64_t index = 0;
    double distance = 0;
};

// The nearest rows of mu (n, d) to z in the Euclidean distance, all compared; the row `but` is left out.
std::vector<Neighbor> nearest(const std::vector<float>& mu, const std::vector<float>& z, int64_t count, int64_t but) {
    size_t d = z.size();
    std::vector<Neighbor> all;
    for (size_t i = 0; i < mu.size() / d; i++) {
        double square = 0;
        for (size_t k = 0; k < d; k++)
            square += (double(mu[i * d + k]) - double(z[k])) * (double(mu[i * d + k]) - double(z[k]));
        if (int64_t(i) != but)
            all.push_back({int64_t(i), std::sqrt(square)});
    }
    size_t kept = std::min(size_t(count), all.size());
    std::partial_sort(all.begin(), all.begin() + std::ptrdiff_t(kept), all.end(),
                      [](const Neighbor& a, const Neighbor& b) {
                          return a.distance < b.distance || (a.distance == b.distance && a.index < b.index);
                      });
    all.resize(kept);
    return all;
}

// Queries beside their neighbours: a table on stdout, a row of pictures each.
void run_neighbors(Options& o) {
    check_output(o.out, o.common, {".png", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    const ModelConfig& config = model.vae->config();
    check_images(o.out, config, int64_t(o.queries.size()) * (o.count + 1));
    Sampler sampler(*model.device, *model.vae, *model.parameters, kBatch);
    Words words(model, sampler, o.data, o.common);
    const Dataset& data = words.data();
    std::vector<float> mu = encode_all(sampler, model.vae->config(), data).mu, rows;
    int64_t columns = 1 + std::min(o.count, data.count), row = 0;
    Json answers = Json::array();
    for (const std::string& query : o.queries) {
        Words::Meaning meaning = words.meaning(query);
        append(rows, meaning.image);
        Json list = Json::array();
        if (!o.common.json)
            std::printf("%s\n", query.c_str());
        for (const Neighbor& near : nearest(mu, meaning.z, o.count, meaning.index)) {
            std::string label = label_text(data, near.index);
            list.push_back({{"index", near.index}, {"distance", near.distance}});
            if (!label.empty())
                list.back()["label"] = label;
            if (!o.common.json)
                std::printf("  %8lld  %8.4f  %s\n", static_cast<long long>(near.index), near.distance, label.c_str());
            append(rows, first_images(data, near.index, 1));
        }
        rows.resize(size_t(++row * columns * config.pixels())); // a query that is in the data may have one fewer
        answers.push_back({{"query", query}, {"neighbors", list}});
    }
    std::fflush(stdout);
    write_images(o.out, rows, config, int(columns));
    save_pipeline_cache(*model.device);
    Json result = {{"data", data.name}, {"count", data.count}};
    if (o.common.json)
        result["queries"] = answers;
    result["out"] = o.out;
    print_result(result, o.common);
}

// ---- project -------------------------------------------------------------------------------------------------------

std::string csv_of(const Dataset& data, const std::vector<float>& scores, int64_t components) {
    std::string text = "index";
    if (!data.labels.empty())
        text += ",label";
    for (int64_t c = 1; c <= components; c++)
        text += concat_text(",pc", c);
    text += "\n";
    for (int64_t i = 0; i < data.count; i++) {
        text += std::to_string(i);
        if (!data.labels.empty()) { // names may hold anything: quoted, quotes doubled (RFC 4180)
            std::string label = label_text(data, i), quoted;
            for (char letter : label)
                quoted += letter == '"' ? std::string("\"\"") : std::string(1, letter);
            text += quoted.find_first_of("\",\n\r") == std::string::npos ? "," + quoted : ",\"" + quoted + "\"";
        }
        for (int64_t c = 0; c < components; c++) {
            char number[32];
            std::snprintf(number, sizeof(number), ",%.9g", double(scores[size_t(i * components + c)]));
            text += number;
        }
        text += "\n";
    }
    return text;
}

void run_project(Options& o) {
    for (const std::string& out : o.outs)
        check_output(out, o.common, {".svg", ".csv", ".npy"});
    OpenModel model = open_model(o.model, o.common);
    int64_t latent = model.vae->config().latent;
    if (o.components > latent)
        fail(Status::usage, "--components ", o.components, ": the latents have ", latent, " dimensions");
    default_data(o.data, model, o.common);
    Dataset data = load_data(o.data, model.vae->config(), o.common.quiet);
    Sampler sampler(*model.device, *model.vae, *model.parameters, std::min<int64_t>(data.count, 256));
    std::vector<float> mu = encode_all(sampler, model.vae->config(), data).mu;
    Pca pca = fit_pca(mu, latent);
    std::vector<float> scores = project(pca, mu, o.components);
    std::vector<double> shares;
    for (int64_t c = 0; c < o.components; c++)
        shares.push_back(pca.share(c + 1) - (c > 0 ? pca.share(c) : 0));
    for (const std::string& out : o.outs) {
        std::string ending = fs::path(out).extension().string();
        if (ending == ".npy")
            write_npy(out, Shape{data.count, o.components}, scores);
        else if (ending == ".csv")
            write_file_atomic(out, csv_of(data, scores, o.components));
        else
            write_file_atomic(out, scatter_file(latent_scatter(data, pca, mu)));
    }
    save_pipeline_cache(*model.device);
    print_result({{"data", data.name}, {"count", data.count}, {"variance_shares", shares}, {"out", o.outs}}, o.common);
}

} // namespace

void add_arithmetic(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "arithmetic", "adds and subtracts latents of samples, classes and files", o);
    verb->add_option("--plus", o->plus,
                     "terms: 12 (a sample), label:NAME, FILE, or a list of them with commas: their mean")
        ->required();
    verb->add_option("--minus", o->minus, "terms to subtract");
    o->out = "arithmetic.png";
    verb->add_option("--out", o->out, ".png: the terms and the result; .npy: the result")->capture_default_str();
    verb->callback([o] { run_arithmetic(*o); });
}

void add_neighbors(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "neighbors", "the samples nearest to others in latent space", o);
    verb->add_option("--query", o->queries,
                     "12 (a sample), label:NAME, FILE, or a list of them with commas: their mean")
        ->required();
    verb->add_option("--count", o->count, "neighbours of each")->check(CLI::Range(1, 1023))->capture_default_str();
    o->out = "neighbors.png";
    verb->add_option("--out", o->out, "a row for each query, the query first")->capture_default_str();
    verb->callback([o] { run_neighbors(*o); });
}

void add_project(CLI::App& app) {
    auto o = std::make_shared<Options>();
    CLI::App* verb = add_verb(app, "project", "principal components of the latents", o);
    verb->add_option("--components", o->components, "how many, in .npy and .csv")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    o->outs = {"projection.svg"};
    verb->add_option("--out", o->outs,
                     "files to write: .svg the first two, coloured by label; .csv; .npy (N, components)")
        ->capture_default_str();
    verb->callback([o] { run_project(*o); });
}

} // namespace vkvae
