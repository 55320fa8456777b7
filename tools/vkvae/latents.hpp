// Latents that verbs begin with: of a whole data set, of what a person names on the command line, of a fitted prior.
#pragma once

#include <optional>

#include "latent/pca.hpp"
#include "report/scatter.hpp"
#include "vkvae/common.hpp"

namespace vkvae {

// Posterior means and log variances of all samples of a data set, (n, D) each. Blocks.
Sampler::Encoded encode_all(Sampler& sampler, const ModelConfig& config, const Dataset& data);

// mu + temperature exp(logvar / 2) eps; eps of sample i is that of copy `copy` for this seed, and depends on nothing
// else.
std::vector<float> jitter(const Sampler::Encoded& posterior, int64_t first, int64_t count, int64_t latent,
                          uint64_t seed, uint32_t copy, float temperature);

// What words of the command line mean in latent space. A word is a comma-separated list of
//   12 or #12     sample 12 of the data
//   label:NAME    all samples of a class of the data
//   FILE          a PNG or JPEG file, cropped and resampled to the model's size
// and stands for the mean of their posterior means.
class Words {
  public:
    Words(const OpenModel& model, Sampler& sampler, DataOptions& data, const Common& common)
        : model_(model), sampler_(sampler), options_(data), common_(common) {}
    struct Meaning {
        std::vector<float> z;     // (D)
        std::vector<float> image; // (pixels): the sample itself if it is one, else what z decodes to
        int64_t index = -1;       // in the data, if it is one sample of them
    };
    // Errors: Status::usage for what is neither; Status::data for a bad file.
    Meaning meaning(const std::string& word);
    const Dataset& data(); // loaded when first asked for
  private:
    struct Items {
        std::vector<int64_t> indices; // in the data
        std::vector<float> images;    // of files, (n, pixels)
    };
    void add_item(const std::string& item, Items& items);
    void add_label(const std::string& name, Items& items);
    const OpenModel& model_;
    Sampler& sampler_;
    DataOptions& options_;
    const Common& common_;
    std::optional<Dataset> data_;
};

// The image in a file, (pixels) in [0,1], cropped and resampled to the model's size unless it must be `exact`ly that.
// Errors: Status::usage for a model of no pictures, Status::data for a bad file.
std::vector<float> image_from(const fs::path& file, const ModelConfig& model, bool exact = false);

// The first two principal components of latents (n, D) of the first samples of `data`, coloured by label.
ScatterChart latent_scatter(const Dataset& data, const Pca& pca, std::span<const float> mu);

// label as text: the class's name where it has one.
std::string label_text(const Dataset& data, int64_t index);

// Where latents for sampling come from: `prior` N(0, I), or what was fitted to the posteriors of training data.
struct PriorOptions {
    std::string sampler = "prior"; // prior, aggregate, gmm
    int64_t components = 10;       // of gmm
    std::vector<float> temperatures = {1};
    DataOptions data;
};
void add_prior(CLI::App& verb, PriorOptions& options);
void check_prior(const CLI::App& verb, const PriorOptions& options); // no option for another sampler
// (n, D); sample i depends on the seed, the data and i alone. `about` gets what was fitted.
std::vector<float> draw_latents(const OpenModel& model, Sampler& sampler, PriorOptions& options, int64_t n,
                                const Common& common, Json& about);

} // namespace vkvae
