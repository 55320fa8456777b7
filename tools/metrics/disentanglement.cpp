// Factors as classes, and the scores that judge one latent and one factor at a time: MIG, SAP and DCI.
//
//   I(v; z) = sum_vz p(v, z) log p(v, z) / (p(v) p(z))
//   D_i = 1 - H(R_i. / sum_f R_if) / log F      disentanglement = sum_i D_i sum_f R_if / sum R
//   C_f = 1 - H(R_.f / sum_i R_if) / log D      completeness = mean of C_f, as all columns of R have the sum 1
#include "metrics/disentanglement.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "metrics/forest.hpp"
#include "ops/philox.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

constexpr uint32_t kBins = 20; // of mutual_information_gap
constexpr int kTrees = 10;

// The bin of each sample among kBins of equal width between the least and the largest value.
std::vector<uint32_t> bins_of(const Codes& codes, size_t latent) {
    size_t n = codes.factors.count();
    float least = codes.mu[latent], most = least;
    for (size_t i = 0; i < n; i++) {
        least = std::min(least, codes.mu[i * codes.latent + latent]);
        most = std::max(most, codes.mu[i * codes.latent + latent]);
    }
    double width = (double(most) - least) / kBins;
    std::vector<uint32_t> bins(n, 0);
    for (size_t i = 0; width > 0 && i < n; i++)
        bins[i] = std::min(kBins - 1, uint32_t((codes.mu[i * codes.latent + latent] - double(least)) / width));
    return bins;
}

double entropy(std::span<const double> weights) {
    double sum = std::accumulate(weights.begin(), weights.end(), 0.0), h = 0;
    for (double weight : weights)
        if (weight > 0)
            h -= weight / sum * std::log(weight / sum);
    return h;
}

double factor_entropy(const Factors& factors, size_t f) {
    std::vector<double> counts(factors.sizes[f], 0.0);
    for (uint32_t c : factors.classes[f])
        counts[c]++;
    return entropy(counts);
}

double mutual_information(std::span<const uint32_t> a, uint32_t a_size, std::span<const uint32_t> b, uint32_t b_size) {
    std::vector<double> both(size_t(a_size) * b_size, 0.0), of_a(a_size, 0.0), of_b(b_size, 0.0);
    for (size_t i = 0; i < a.size(); i++) {
        both[size_t(a[i]) * b_size + b[i]]++;
        of_a[a[i]]++;
        of_b[b[i]]++;
    }
    return entropy(of_a) + entropy(of_b) - entropy(both);
}

// Between the largest and the second.
double gap(std::vector<double> values) {
    std::partial_sort(values.begin(), values.begin() + 2, values.end(), std::greater<>());
    return values[0] - values[1];
}

// A shuffle of the samples: the first two thirds to learn from, the others to judge by.
struct Halves {
    std::vector<uint32_t> learn, judge;
};

Halves split(size_t n, uint64_t seed) {
    std::vector<uint32_t> order = permutation(uint32_t(n), seed, 0);
    auto middle = order.begin() + ptrdiff_t(n - n / 3);
    return {{order.begin(), middle}, {middle, order.end()}};
}

// Mean over the classes that occur of the share predicted rightly, scaled so that guessing is 0.
double balanced_accuracy(const Tree& tree, const Samples& samples, std::span<const uint32_t> rows) {
    std::vector<double> right(samples.class_count, 0.0), all(samples.class_count, 0.0);
    for (uint32_t row : rows) {
        uint32_t c = samples.classes[row];
        all[c]++;
        right[c] += predict(tree, &samples.values[row * samples.width]) == c;
    }
    double sum = 0, present = 0;
    for (size_t c = 0; c < all.size(); c++)
        if (all[c] > 0) {
            sum += right[c] / all[c];
            present++;
        }
    double chance = 1.0 / double(samples.class_count);
    return std::max(0.0, (sum / present - chance) / (1 - chance));
}

} // namespace

Factors make_factors(std::span<const float> values, std::vector<std::string> names) {
    size_t f = names.size(), n = f > 0 ? values.size() / f : 0;
    require_data(f >= 2, "disentanglement is a matter of two factors or more, there are ", f);
    require(values.size() == n * f, values.size(), " values of ", f, " factors");
    require_data(n >= 3, "disentanglement cannot be judged by ", n, n == 1 ? " sample" : " samples");
    Factors factors;
    for (size_t k = 0; k < f; k++) {
        std::map<float, uint32_t> ranks;
        for (size_t i = 0; i < n; i++) {
            float value = values[i * f + k];
            require_data(std::isfinite(value) && std::nearbyint(value) == value, "factor '", names[k], "' of sample ",
                         i, " is ", value, "; factors are whole numbers, one for each of their values");
            ranks[value];
        }
        require_data(ranks.size() > 1, "factor '", names[k], "' is ", ranks.begin()->first,
                     " in all samples: nothing can be said about it");
        uint32_t next = 0;
        for (auto& entry : ranks)
            entry.second = next++;
        std::vector<uint32_t> classes;
        for (size_t i = 0; i < n; i++)
            classes.push_back(ranks[values[i * f + k]]);
        factors.classes.push_back(std::move(classes));
        factors.sizes.push_back(next);
    }
    factors.names = std::move(names);
    return factors;
}

void Codes::check() const {
    require_data(latent >= 2, "disentanglement is a matter of two latents or more, the model has ", latent);
    require(mu.size() == factors.count() * latent, mu.size(), " latents of ", factors.count(), " samples");
    for (size_t i = 0; i < mu.size(); i++)
        require_data(std::isfinite(mu[i]), "the latents of sample ", i / latent, " are not finite");
}

double mutual_information_gap(const Codes& codes) {
    codes.check();
    const Factors& factors = codes.factors;
    std::vector<std::vector<double>> information(factors.names.size());
    for (size_t d = 0; d < codes.latent; d++) {
        std::vector<uint32_t> bins = bins_of(codes, d);
        for (size_t f = 0; f < information.size(); f++)
            information[f].push_back(mutual_information(bins, kBins, factors.classes[f], factors.sizes[f]));
    }
    double sum = 0;
    for (size_t f = 0; f < information.size(); f++)
        sum += gap(information[f]) / factor_entropy(factors, f);
    return sum / double(information.size());
}

double separated_predictability(const Codes& codes, uint64_t seed) {
    codes.check();
    const Factors& factors = codes.factors;
    Halves halves = split(factors.count(), seed);
    double sum = 0;
    for (size_t f = 0; f < factors.names.size(); f++) {
        std::vector<double> scores;
        for (size_t d = 0; d < codes.latent; d++) {
            Samples samples = {codes.mu, codes.latent, {&d, 1}, factors.classes[f], factors.sizes[f]};
            Tree tree = grow_tree(samples, halves.learn, {.balanced = true});
            scores.push_back(balanced_accuracy(tree, samples, halves.judge));
        }
        sum += gap(scores);
    }
    return sum / double(factors.names.size());
}

namespace {

// R (D, F) and the accuracy for each factor.
double importances(const Codes& codes, uint64_t seed, std::vector<double>& importance) {
    const Factors& factors = codes.factors;
    size_t f_count = factors.names.size();
    Halves halves = split(factors.count(), seed);
    std::vector<size_t> every(codes.latent);
    std::iota(every.begin(), every.end(), size_t(0));
    importance.assign(codes.latent * f_count, 0.0);
    double right = 0;
    for (size_t f = 0; f < f_count; f++) {
        Samples samples = {codes.mu, codes.latent, every, factors.classes[f], factors.sizes[f]};
        std::vector<Tree> bag = grow_bag(samples, halves.learn, kTrees, seed + f, {});
        double sum = 0;
        for (const Tree& tree : bag)
            for (size_t d = 0; d < codes.latent; d++) {
                importance[d * f_count + f] += tree.importance[d];
                sum += tree.importance[d];
            }
        for (size_t d = 0; sum > 0 && d < codes.latent; d++)
            importance[d * f_count + f] /= sum;
        for (uint32_t row : halves.judge)
            right += predict(bag, &codes.mu[row * codes.latent], samples.class_count) == factors.classes[f][row];
    }
    return right / double(halves.judge.size() * f_count);
}

} // namespace

Dci dci(const Codes& codes, uint64_t seed) {
    codes.check();
    size_t f_count = codes.factors.names.size();
    Dci result;
    result.informativeness = importances(codes, seed, result.importance);
    double all = std::accumulate(result.importance.begin(), result.importance.end(), 0.0);
    for (size_t d = 0; all > 0 && d < codes.latent; d++) {
        std::span<const double> row = std::span(result.importance).subspan(d * f_count, f_count);
        double sum = std::accumulate(row.begin(), row.end(), 0.0);
        result.disentanglement += sum / all * (1 - entropy(row) / std::log(double(f_count)));
    }
    for (size_t f = 0; f < f_count; f++) {
        std::vector<double> column;
        for (size_t d = 0; d < codes.latent; d++)
            column.push_back(result.importance[d * f_count + f]);
        if (std::accumulate(column.begin(), column.end(), 0.0) > 0) // else no latent says anything: 0
            result.completeness += (1 - entropy(column) / std::log(double(codes.latent))) / double(f_count);
    }
    return result;
}

} // namespace vkvae
