// The scores of beta-VAE and FactorVAE: samples that agree in one factor are drawn, and the latents have to tell which.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "metrics/disentanglement.hpp"
#include "ops/philox.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

constexpr uint32_t kPoints = 3000, kLearn = 2000; // of which the first are to learn from
constexpr uint32_t kDraws = 64;                   // pairs, or samples, in a point
constexpr double kLeastVariance = 0.05;           // of a latent that votes
constexpr int kIterations = 500;                  // of the classifier

// The samples of one value of one factor, if there are at least two, and all samples that are in one of these.
struct Groups {
    std::vector<std::vector<uint32_t>> by_class;
    std::vector<uint32_t> drawable;
};

std::vector<Groups> groups_of(const Factors& factors) {
    std::vector<Groups> all;
    for (size_t f = 0; f < factors.names.size(); f++) {
        Groups groups;
        groups.by_class.resize(factors.sizes[f]);
        for (uint32_t i = 0; i < factors.count(); i++)
            groups.by_class[factors.classes[f][i]].push_back(i);
        for (uint32_t i = 0; i < factors.count(); i++)
            if (groups.by_class[factors.classes[f][i]].size() > 1)
                groups.drawable.push_back(i);
        require_data(!groups.drawable.empty(), "no two samples have the same value of factor '", factors.names[f],
                     "': more samples are needed");
        all.push_back(std::move(groups));
    }
    return all;
}

// Whole numbers below a bound, one after the other, for one point.
struct Draws {
    uint64_t seed;
    uint32_t point, next;
    uint32_t below(size_t bound) { return random_below(seed, Stream::data, point, next++, uint32_t(bound)); }
};

// The mean of |mu_a - mu_b| over pairs that agree in `factor`.
void pair_distances(const Codes& codes, const Groups& groups, size_t factor, Draws& draws, double* out) {
    std::fill_n(out, codes.latent, 0.0);
    for (uint32_t pair = 0; pair < kDraws; pair++) {
        uint32_t a = groups.drawable[draws.below(groups.drawable.size())];
        const std::vector<uint32_t>& group = groups.by_class[codes.factors.classes[factor][a]];
        // One of the others: the group is sorted, and a's place in it is stepped over.
        size_t own = size_t(std::lower_bound(group.begin(), group.end(), a) - group.begin());
        size_t other = draws.below(group.size() - 1);
        uint32_t b = group[other + (other >= own)];
        for (size_t d = 0; d < codes.latent; d++)
            out[d] += std::abs(double(codes.mu[a * codes.latent + d]) - codes.mu[b * codes.latent + d]) / kDraws;
    }
}

// Multinomial logistic regression by Nesterov's accelerated gradient, whose step is one over a bound of the curvature:
// for inputs of D + 1 numbers with a mean square of one each, that is (D + 1) / 2 (Boehning 1992).
struct LinearClassifier {
    size_t inputs, classes;
    std::vector<double> weights; // (classes, inputs)

    void scores(const double* x, double* out) const {
        for (size_t c = 0; c < classes; c++)
            out[c] = std::inner_product(x, x + inputs, weights.begin() + ptrdiff_t(c * inputs), 0.0);
    }
    size_t predict(const double* x) const {
        std::vector<double> s(classes);
        scores(x, s.data());
        return size_t(std::max_element(s.begin(), s.end()) - s.begin());
    }
    // x (n, inputs)
    void fit(const std::vector<double>& x, const std::vector<uint32_t>& y, size_t n) {
        std::vector<double> last = weights, gradient(weights.size()), p(classes);
        double step = 2.0 / double(inputs);
        for (int t = 0; t < kIterations; t++) {
            double momentum = double(t) / (t + 3);
            for (size_t i = 0; i < weights.size(); i++) {
                double now = weights[i];
                weights[i] += momentum * (now - last[i]);
                last[i] = now;
            }
            std::fill(gradient.begin(), gradient.end(), 0.0);
            for (size_t i = 0; i < n; i++) {
                const double* row = &x[i * inputs];
                scores(row, p.data());
                double largest = *std::max_element(p.begin(), p.end()), sum = 0;
                for (double& value : p)
                    sum += value = std::exp(value - largest);
                for (size_t c = 0; c < classes; c++)
                    for (size_t k = 0; k < inputs; k++)
                        gradient[c * inputs + k] += (p[c] / sum - (y[i] == c)) * row[k] / double(n);
            }
            for (size_t i = 0; i < weights.size(); i++)
                weights[i] -= step * gradient[i];
        }
    }
};

// Each column to mean 0 and deviation 1 over the first kLearn rows; the last one is the constant 1.
void standardise(std::vector<double>& x, size_t inputs) {
    for (size_t k = 0; k + 1 < inputs; k++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < kLearn; i++)
            mean += x[i * inputs + k] / kLearn;
        for (size_t i = 0; i < kLearn; i++)
            variance += (x[i * inputs + k] - mean) * (x[i * inputs + k] - mean) / kLearn;
        double scale = variance > 0 ? 1 / std::sqrt(variance) : 0; // a latent that never differs says nothing
        for (size_t i = 0; i < kPoints; i++)
            x[i * inputs + k] = (x[i * inputs + k] - mean) * scale;
    }
}

std::vector<double> variances_of(const Codes& codes, std::span<const uint32_t> samples) {
    std::vector<double> mean(codes.latent, 0.0), variance(codes.latent, 0.0);
    double n = double(samples.size());
    for (uint32_t i : samples)
        for (size_t d = 0; d < codes.latent; d++)
            mean[d] += codes.mu[i * codes.latent + d] / n;
    for (uint32_t i : samples)
        for (size_t d = 0; d < codes.latent; d++) {
            double away = codes.mu[i * codes.latent + d] - mean[d];
            variance[d] += away * away / n;
        }
    return variance;
}

// The voting latent that varies least among samples that agree in `factor`.
size_t quietest(const Codes& codes, const Groups& groups, size_t factor, const std::vector<double>& overall,
                Draws& draws) {
    uint32_t first = groups.drawable[draws.below(groups.drawable.size())];
    const std::vector<uint32_t>& group = groups.by_class[codes.factors.classes[factor][first]];
    std::vector<uint32_t> samples;
    for (uint32_t i = 0; i < kDraws; i++)
        samples.push_back(group[draws.below(group.size())]);
    std::vector<double> local = variances_of(codes, samples);
    size_t best = codes.latent;
    for (size_t d = 0; d < codes.latent; d++)
        if (overall[d] >= kLeastVariance &&
            (best == codes.latent || local[d] / overall[d] < local[best] / overall[best]))
            best = d;
    return best;
}

} // namespace

double beta_vae_score(const Codes& codes, uint64_t seed) {
    codes.check();
    std::vector<Groups> groups = groups_of(codes.factors);
    size_t inputs = codes.latent + 1;
    std::vector<double> x(kPoints * inputs, 1.0);
    std::vector<uint32_t> y;
    for (uint32_t point = 0; point < kPoints; point++) {
        Draws draws = {seed, point, 0};
        y.push_back(draws.below(groups.size()));
        pair_distances(codes, groups[y.back()], y.back(), draws, &x[point * inputs]);
    }
    standardise(x, inputs);
    LinearClassifier classifier = {inputs, groups.size(), std::vector<double>(inputs * groups.size(), 0.0)};
    classifier.fit(x, y, kLearn);
    double right = 0;
    for (size_t i = kLearn; i < kPoints; i++)
        right += classifier.predict(&x[i * inputs]) == y[i];
    return right / (kPoints - kLearn);
}

double factor_vae_score(const Codes& codes, uint64_t seed) {
    codes.check();
    std::vector<Groups> groups = groups_of(codes.factors);
    std::vector<uint32_t> everyone(codes.factors.count());
    std::iota(everyone.begin(), everyone.end(), 0u);
    std::vector<double> overall = variances_of(codes, everyone);
    if (*std::max_element(overall.begin(), overall.end()) < kLeastVariance)
        return 0;                                                 // every latent has collapsed: none votes
    std::vector<uint32_t> votes(codes.latent * groups.size(), 0); // (D, F)
    double right = 0;
    for (uint32_t point = 0; point < kPoints; point++) {
        Draws draws = {seed, point, 0};
        uint32_t factor = draws.below(groups.size());
        size_t latent = quietest(codes, groups[factor], factor, overall, draws);
        auto row = votes.begin() + ptrdiff_t(latent * groups.size());
        if (point < kLearn)
            row[factor]++;
        else
            right += std::max_element(row, row + ptrdiff_t(groups.size())) - row == ptrdiff_t(factor);
    }
    return right / (kPoints - kLearn);
}

} // namespace vkvae
