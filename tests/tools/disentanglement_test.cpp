// Scores of disentanglement on codes whose answer is known: aligned, random, rotated and collapsed ones.
#include "io/temp_folder.hpp"
#include "metrics/disentanglement.hpp"
#include "metrics/forest.hpp"
#include "ops/philox.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

using namespace vkvae;
using namespace vkvae::test;

namespace {

constexpr uint32_t kSizes[] = {3, 4, 10};
constexpr size_t kFactors = 3, kSamples = 1500, kLatent = 5;

// Samples of three independent factors.
std::vector<float> factor_values(size_t n = kSamples) {
    std::vector<float> values;
    for (size_t i = 0; i < n; i++)
        for (uint32_t f = 0; f < kFactors; f++)
            values.push_back(float(random_below(1, Stream::data, f, uint32_t(i), kSizes[f])));
    return values;
}

float normal(size_t i, size_t d) {
    return random_normal(2, Stream::data, uint32_t(d), 0, uint32_t(i));
}

// Latent 0, 1 and 2 hold a factor each, in deviations of it, with a little noise; 3 and 4 are noise.
std::vector<float> aligned_codes(const std::vector<float>& values) {
    std::vector<float> mu;
    for (size_t i = 0; i < values.size() / kFactors; i++)
        for (size_t d = 0; d < kLatent; d++) {
            float factor = d < kFactors ? values[i * kFactors + d] / float(kSizes[d]) * 3.4f - 1.7f : 0;
            mu.push_back(d < kFactors ? factor + 0.001f * normal(i, d) : normal(i, d));
        }
    return mu;
}

std::vector<float> random_codes() {
    std::vector<float> mu;
    for (size_t i = 0; i < kSamples; i++)
        for (size_t d = 0; d < kLatent; d++)
            mu.push_back(normal(i, 10 + d));
    return mu;
}

// By the discrete cosine transform, which is orthogonal: every factor is in nearly every latent, nothing is lost.
std::vector<float> rotated(const std::vector<float>& mu) {
    std::vector<float> out;
    for (size_t i = 0; i < mu.size(); i += kLatent)
        for (size_t k = 0; k < kLatent; k++) {
            double sum = 0;
            for (size_t d = 0; d < kLatent; d++)
                sum += mu[i + d] * std::cos(std::numbers::pi * (double(d) + 0.5) * double(k) / kLatent);
            out.push_back(float(sum * std::sqrt((k == 0 ? 1.0 : 2.0) / kLatent)));
        }
    return out;
}

Factors factors() {
    return make_factors(factor_values(), {"three", "four", "ten"});
}

// H in nats of what the keys count.
template <class Key> double entropy_of(const std::map<Key, int>& counts, double n) {
    double h = 0;
    for (const auto& entry : counts)
        h -= entry.second / n * std::log(entry.second / n);
    return h;
}

// MIG by its definition: bins by comparison with their edges, entropies from maps.
double reference_mig(const std::vector<float>& mu, const std::vector<float>& values) {
    size_t n = mu.size() / kLatent;
    double total = 0;
    for (size_t f = 0; f < kFactors; f++) {
        std::vector<double> information;
        double factor_entropy = 0;
        for (size_t d = 0; d < kLatent; d++) {
            double least = 1e9, most = -1e9;
            for (size_t i = 0; i < n; i++) {
                least = std::min(least, double(mu[i * kLatent + d]));
                most = std::max(most, double(mu[i * kLatent + d]));
            }
            std::map<int, int> bins;
            std::map<float, int> classes;
            std::map<std::pair<int, float>, int> both;
            for (size_t i = 0; i < n; i++) {
                int bin = 0;
                while (bin < 19 && mu[i * kLatent + d] >= least + (bin + 1) * (most - least) / 20)
                    bin++;
                bins[bin]++;
                classes[values[i * kFactors + f]]++;
                both[{bin, values[i * kFactors + f]}]++;
            }
            factor_entropy = entropy_of(classes, double(n));
            information.push_back(entropy_of(bins, double(n)) + factor_entropy - entropy_of(both, double(n)));
        }
        std::sort(information.begin(), information.end());
        total += (information[kLatent - 1] - information[kLatent - 2]) / factor_entropy / kFactors;
    }
    return total;
}

TEST_CASE("MIG is the gap of mutual information between the two best latents, as a share of the factor's entropy") {
    Factors f = factors();
    std::vector<float> values = factor_values(), aligned = aligned_codes(values);
    for (const std::vector<float>& mu : {aligned, random_codes(), rotated(aligned)})
        CHECK(mutual_information_gap({mu, kLatent, f}) == doctest::Approx(reference_mig(mu, values)).epsilon(1e-9));
    CHECK(mutual_information_gap({aligned, kLatent, f}) > 0.9);
    CHECK(mutual_information_gap({random_codes(), kLatent, f}) < 0.05);
    CHECK(mutual_information_gap({rotated(aligned), kLatent, f}) < 0.4);
}

TEST_CASE("a latent for each factor gets full marks from every score") {
    Factors f = factors();
    std::vector<float> mu = aligned_codes(factor_values());
    Codes codes = {mu, kLatent, f};
    CHECK(separated_predictability(codes, 1) > 0.9);
    CHECK(beta_vae_score(codes, 1) > 0.98);
    CHECK(factor_vae_score(codes, 1) == 1);
    Dci d = dci(codes, 1);
    CHECK(d.disentanglement > 0.95);
    CHECK(d.completeness > 0.95);
    CHECK(d.informativeness > 0.98);
    REQUIRE(d.importance.size() == kLatent * kFactors);
    for (size_t k = 0; k < kFactors; k++) { // R is the identity, noise below it
        double sum = 0;
        for (size_t i = 0; i < kLatent; i++)
            sum += d.importance[i * kFactors + k];
        CHECK(sum == doctest::Approx(1));
        CHECK(d.importance[k * kFactors + k] > 0.97);
    }
}

TEST_CASE("latents that know nothing get what chance gives") {
    Factors f = factors();
    std::vector<float> mu = random_codes();
    Codes codes = {mu, kLatent, f};
    CHECK(separated_predictability(codes, 1) < 0.08);
    CHECK(std::abs(beta_vae_score(codes, 1) - 1.0 / kFactors) < 0.1);
    CHECK(factor_vae_score(codes, 1) < 0.6); // best of five latents' votes
    Dci d = dci(codes, 1);
    CHECK(d.disentanglement < 0.1);
    CHECK(d.completeness < 0.1);
    double chance = (1.0 / 3 + 1.0 / 4 + 1.0 / 10) / 3;
    CHECK(std::abs(d.informativeness - chance) < 0.06);
}

TEST_CASE("a rotated code is as informative and less disentangled") {
    Factors f = factors();
    std::vector<float> straight = aligned_codes(factor_values()), mu = rotated(straight);
    Codes codes = {mu, kLatent, f}, good = {straight, kLatent, f};
    CHECK(separated_predictability(codes, 1) < 0.5 * separated_predictability(good, 1));
    Dci d = dci(codes, 1);
    CHECK(d.disentanglement < 0.6);
    CHECK(d.completeness < 0.6);
    CHECK(d.informativeness > 0.4); // by trees, which cut along the axes: chance is 0.23
}

TEST_CASE("latents that do not vary take no part") {
    Factors f = factors();
    std::vector<float> mu = aligned_codes(factor_values());
    for (size_t i = 0; i < mu.size(); i += kLatent) {
        mu[i + 3] = 0.01f * mu[i + 3]; // a variance below 0.05, and none at all
        mu[i + 4] = 1;
    }
    Codes codes = {mu, kLatent, f};
    CHECK(factor_vae_score(codes, 1) == 1);
    CHECK(beta_vae_score(codes, 1) > 0.98);
    CHECK(mutual_information_gap(codes) > 0.9);
    CHECK(dci(codes, 1).disentanglement > 0.95);
    std::vector<float> collapsed(mu.size(), 0.5f);
    Codes dead = {collapsed, kLatent, f};
    CHECK(factor_vae_score(dead, 1) == 0);
    CHECK(mutual_information_gap(dead) == doctest::Approx(0));
    CHECK(separated_predictability(dead, 1) == 0);
    CHECK(dci(dead, 1).disentanglement == 0);
    CHECK(dci(dead, 1).completeness == 0);
}

TEST_CASE("a seed gives the same scores") {
    Factors f = factors();
    std::vector<float> mu = rotated(aligned_codes(factor_values()));
    Codes codes = {mu, kLatent, f};
    CHECK(dci(codes, 3).importance == dci(codes, 3).importance);
    CHECK(dci(codes, 3).importance != dci(codes, 4).importance);
    CHECK(beta_vae_score(codes, 3) == beta_vae_score(codes, 3));
    CHECK(factor_vae_score(codes, 3) == factor_vae_score(codes, 3));
}

TEST_CASE("a tree cuts where classes part, weighs them as told and stops at its limits") {
    std::vector<float> values; // the second of two numbers decides: below 3 or not
    std::vector<uint32_t> classes, rows;
    for (uint32_t i = 0; i < 40; i++) {
        values.push_back(float(i * 7 % 40));
        values.push_back(float(i % 10));
        classes.push_back(i % 10 >= 3);
        rows.push_back(i);
    }
    std::vector<size_t> both = {0, 1};
    Samples samples = {values, 2, both, classes, 2};
    Tree tree = grow_tree(samples, rows, {});
    REQUIRE(tree.nodes.size() == 3);
    CHECK(tree.nodes[0].feature == 1);
    CHECK(tree.nodes[0].threshold == 2.5f);
    CHECK(tree.importance[0] == 0);
    CHECK(tree.importance[1] == doctest::Approx(0.42)); // 1 - 0.3^2 - 0.7^2
    for (uint32_t i = 0; i < 40; i++)
        CHECK(predict(tree, &values[2 * i]) == classes[i]);
    CHECK(grow_tree(samples, rows, {.depth = 0}).nodes.size() == 1);
    CHECK(grow_tree(samples, rows, {.least_leaf = 21}).nodes.size() == 1);
    Tree balanced = grow_tree(samples, rows, {.balanced = true});
    CHECK(balanced.importance[1] == doctest::Approx(0.5)); // of two equal classes
}

TEST_CASE("factors that say nothing or are none are refused by name") {
    auto run = [](std::vector<float> values, std::vector<std::string> names) {
        return outcome_of([&] { make_factors(values, names); });
    };
    CHECK(run({0, 1, 1, 1, 2, 1}, {"a", "b"}).says("factor 'b' is 1 in all samples"));
    CHECK(run({0, 1, 1, 1.5f, 2, 1}, {"a", "b"}).says("factor 'b' of sample 1 is 1.5"));
    CHECK(run({0, 1, 1, std::numeric_limits<float>::infinity(), 2, 1}, {"a", "b"}).status == Status::data);
    CHECK(run({0, 1, 1, std::nanf(""), 2, 1}, {"a", "b"}).status == Status::data);
    CHECK(run({0, 1}, {"a", "b"}).says("1 sample"));
    CHECK(run({0, 1, 2}, {"a"}).says("two factors"));
    CHECK(run({}, {}).status == Status::data);
    // All different: nothing shares a value with anything.
    std::vector<float> values = {0, 0, 1, 1, 2, 2, 3, 3}, mu = {0, 1, 1, 0, 2, 1, 3, 0};
    Factors f = make_factors(values, {"a", "b"});
    CHECK(f.sizes == std::vector<uint32_t>{4, 4});
    CHECK(outcome_of([&] { beta_vae_score({mu, 2, f}, 1); }).says("factor 'a'"));
    CHECK(outcome_of([&] { factor_vae_score({mu, 2, f}, 1); }).status == Status::data);
    CHECK(outcome_of([&] { mutual_information_gap({std::span(mu).first(4), 1, f}); }).says("two latents"));
    mu[5] = std::nanf("");
    CHECK(outcome_of([&] { dci({mu, 2, f}, 1); }).says("sample 2 are not finite"));
    CHECK(outcome_of([&] { beta_vae_score({mu, 2, f}, 1); }).says("sample 2 are not finite"));
}

} // namespace
