// How far single latents stand for single known factors of the data. All scores are in [0,1], larger is better, and are
// functions of their arguments alone.
//
//   mu (N, D): what the encoder makes of the samples, posterior means.   factors (N, F): classes 0 .. K_f - 1.
//
// The literature draws new samples for these scores; here everything comes from the N given ones, so N should be some
// thousands. Locatello et al. 2019, "Challenging common assumptions in the unsupervised learning of disentangled
// representations", compares the scores; where the papers leave something open, we follow the code published with it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vkvae {

struct Factors {
    std::vector<std::string> names;             // (F)
    std::vector<std::vector<uint32_t>> classes; // (F, N): the rank of the value among the factor's distinct ones
    std::vector<uint32_t> sizes;                // (F): how many there are
    size_t count() const { return classes.empty() ? 0 : classes[0].size(); }
};
// values (N, F), whole numbers. Errors: Status::data for others, for less than two factors or three samples, and for a
// factor that is the same in all samples, by its name.
Factors make_factors(std::span<const float> values, std::vector<std::string> names);

struct Codes {
    std::span<const float> mu; // (N, D)
    size_t latent = 0;         // D, at least 2
    const Factors& factors;
    // What all scores ask for. Errors: Status::data for less than two latents, or latents that are not finite.
    void check() const;
};

// Mutual information gap: the mean over the factors of (I(v; z_1) - I(v; z_2)) / H(v), z_1 and z_2 being the latents
// that know most about v; each latent is cut into 20 bins of equal width. Chen et al. 2018, section 4.
double mutual_information_gap(const Codes& codes);

// Separated attribute predictability: the mean over the factors of the gap between the two latents that predict it
// best, each alone. A prediction is a classification tree's (classes weigh the same) that has seen two thirds of the
// samples, its score the balanced accuracy on the others, scaled so that chance is 0. Kumar, Sattigeri and Balakrishnan
// 2018, section 3, fit thresholds too, which a tree on one number is.
double separated_predictability(const Codes& codes, uint64_t seed);

// beta-VAE's score: accuracy at telling which factor 64 pairs of samples have in common from the mean of |mu_a - mu_b|
// over the pairs, of a linear classifier (multinomial logistic regression on standardised inputs, 2000 points) on 1000
// others. Chance is 1/F. Higgins et al. 2017, section 3. Pairs are two different samples of the given ones; samples
// that share their value with no other take no part. Errors: Status::data if a factor has no two samples of one value.
double beta_vae_score(const Codes& codes, uint64_t seed);

// FactorVAE's score: 64 samples have one factor's value in common; the latent that varies least among them, in
// deviations over all samples, votes for a factor by majority (2000 votes, 1000 others to judge). Latents whose
// variance is below 0.05 do not vote. Chance is 1/F. Kim and Mnih 2018, section 3. Samples are drawn with replacement;
// errors as above.
double factor_vae_score(const Codes& codes, uint64_t seed);

// Disentanglement, completeness and informativeness of the matrix R (D, F) of how much a latent matters for predicting
// a factor: 1 - entropy of a latent's row over the factors (rows weighed by their sums), 1 - entropy of a factor's
// column over the latents, and the accuracy of the predictions. R is the decrease of Gini's impurity in ten bagged
// classification trees (depth at most 12, leaves of 4 samples or more, every latent considered at every split) grown on
// two thirds of the samples; the accuracy is that on the others. Eastwood and Williams 2018, section 2.
struct Dci {
    double disentanglement = 0, completeness = 0, informativeness = 0;
    std::vector<double> importance; // (D, F), columns add up to 1
};
Dci dci(const Codes& codes, uint64_t seed);

} // namespace vkvae
