// Expectation maximisation in double precision, in one thread and one order.
#include "latent/mixture.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/philox.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

// Numbers of the host's own, apart from those of latents: the same stream, other steps.
constexpr uint32_t kStartStep = 1, kComponentStep = 2;

// The lower triangle L with L L^T = s (d, d), in place. False if s is not positive definite.
bool factorise(std::span<double> s, size_t d) {
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = s[i * d + j];
            for (size_t k = 0; k < j; k++)
                sum -= s[i * d + k] * s[j * d + k];
            if (i == j && !(sum > 0))
                return false;
            s[i * d + j] = i == j ? std::sqrt(sum) : sum / s[j * d + j];
        }
    for (size_t i = 0; i < d; i++)
        std::fill_n(s.begin() + std::ptrdiff_t(i * d + i + 1), d - i - 1, 0.0);
    return true;
}

// y = L^-1 (x - mean); returns |y|^2.
double whiten(std::span<const double> factor, std::span<const double> mean, const float* x, std::vector<double>& y) {
    size_t d = mean.size();
    double square = 0;
    for (size_t i = 0; i < d; i++) {
        double sum = double(x[i]) - mean[i];
        for (size_t k = 0; k < i; k++)
            sum -= factor[i * d + k] * y[k];
        y[i] = sum / factor[i * d + i];
        square += y[i] * y[i];
    }
    return square;
}

// log w_k N(x; m_k, S_k) of every component; returns the logarithm of their sum.
struct Densities {
    const Mixture& mixture;
    std::vector<double> constants, terms, y;

    explicit Densities(const Mixture& m)
        : mixture(m), constants(m.weights.size()), terms(m.weights.size()), y(size_t(m.dims)) {
        size_t d = size_t(m.dims);
        for (size_t k = 0; k < constants.size(); k++) {
            double half_log_det = 0;
            for (size_t i = 0; i < d; i++)
                half_log_det += std::log(m.factors[(k * d + i) * d + i]);
            constants[k] = std::log(m.weights[k]) - half_log_det - 0.5 * double(d) * std::log(2 * std::numbers::pi);
        }
    }
    double operator()(const float* x) {
        size_t d = size_t(mixture.dims);
        double largest = -INFINITY, sum = 0;
        for (size_t k = 0; k < terms.size(); k++) {
            std::span<const double> factor(&mixture.factors[k * d * d], d * d), mean(&mixture.means[k * d], d);
            terms[k] = constants[k] - 0.5 * whiten(factor, mean, x, y);
            largest = std::max(largest, terms[k]);
        }
        for (double term : terms)
            sum += std::exp(term - largest);
        return largest + std::log(sum);
    }
};

// k-means++: each centre is a point, drawn with a probability proportional to its squared distance from those before.
std::vector<size_t> choose_centres(std::span<const float> points, size_t n, size_t d, size_t count, uint64_t seed) {
    std::vector<size_t> centres = {random_below(seed, Stream::sample, kStartStep, 0, uint32_t(n))};
    std::vector<double> nearest(n, INFINITY);
    while (centres.size() < count) {
        double total = 0;
        for (size_t i = 0; i < n; i++) {
            double square = 0;
            for (size_t k = 0; k < d; k++) {
                double gap = double(points[i * d + k]) - double(points[centres.back() * d + k]);
                square += gap * gap;
            }
            nearest[i] = std::min(nearest[i], square);
            total += nearest[i];
        }
        double target = total * double(random_uniform(seed, Stream::sample, kStartStep, 0, uint32_t(centres.size())));
        size_t chosen = 0;
        for (size_t i = 0; i < n; i++) { // the last with any distance, should rounding go past the end
            if (nearest[i] > 0)
                chosen = i;
            target -= nearest[i];
            if (target < 0)
                break;
        }
        centres.push_back(chosen);
    }
    return centres;
}

// Responsibilities (n, k) of 0 and 1: each point belongs to its nearest centre.
std::vector<double> nearest_centres(std::span<const float> points, size_t n, size_t d,
                                    const std::vector<size_t>& centres) {
    std::vector<double> r(n * centres.size(), 0.0);
    for (size_t i = 0; i < n; i++) {
        size_t best = 0;
        double least = INFINITY;
        for (size_t c = 0; c < centres.size(); c++) {
            double square = 0;
            for (size_t k = 0; k < d; k++) {
                double gap = double(points[i * d + k]) - double(points[centres[c] * d + k]);
                square += gap * gap;
            }
            if (square < least)
                least = square, best = c;
        }
        r[i * centres.size() + best] = 1;
    }
    return r;
}

void maximise(Mixture& mixture, std::span<const float> points, size_t n, const std::vector<double>& r, double floor) {
    size_t d = size_t(mixture.dims), count = mixture.weights.size();
    std::vector<double> x(d);
    for (size_t c = 0; c < count; c++) {
        double total = 0;
        std::vector<double> mean(d, 0.0), s(d * d, 0.0);
        for (size_t i = 0; i < n; i++) {
            total += r[i * count + c];
            for (size_t k = 0; k < d; k++)
                mean[k] += r[i * count + c] * double(points[i * d + k]);
        }
        mixture.weights[c] = total / double(n);
        if (total < 1e-6) // nobody's: it keeps its place
            continue;
        for (double& value : mean)
            value /= total;
        for (size_t i = 0; i < n; i++) {
            double share = r[i * count + c];
            if (share < 1e-30)
                continue;
            for (size_t k = 0; k < d; k++)
                x[k] = double(points[i * d + k]) - mean[k];
            for (size_t p = 0; p < d; p++)
                for (size_t q = 0; q <= p; q++)
                    s[p * d + q] += share * x[p] * x[q];
        }
        for (size_t p = 0; p < d; p++) {
            s[p * d + p] += floor;
            for (size_t q = 0; q <= p; q++)
                s[p * d + q] /= total;
        }
        bool definite = factorise(s, d);
        require(definite, "component ", c, " of the mixture has shrunk to fewer dimensions than the latents have: ",
                "take fewer components or more data");
        std::copy(mean.begin(), mean.end(), mixture.means.begin() + std::ptrdiff_t(c * d));
        std::copy(s.begin(), s.end(), mixture.factors.begin() + std::ptrdiff_t(c * d * d));
    }
}

// tr(S^-1) = |L^-1|^2, summed over the components.
double sum_of_precisions(const Mixture& mixture) {
    size_t d = size_t(mixture.dims);
    double sum = 0;
    std::vector<double> y(d), zero(d, 0.0);
    std::vector<float> unit(d, 0.0f);
    for (size_t c = 0; c < mixture.weights.size(); c++)
        for (size_t i = 0; i < d; i++) {
            unit[i] = 1;
            sum += whiten(std::span(&mixture.factors[c * d * d], d * d), zero, unit.data(), y);
            unit[i] = 0;
        }
    return sum;
}

double mean_variance(std::span<const float> points, size_t n, size_t d) {
    double sum = 0;
    for (size_t k = 0; k < d; k++) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < n; i++)
            mean += double(points[i * d + k]) / double(n);
        for (size_t i = 0; i < n; i++)
            square += (double(points[i * d + k]) - mean) * (double(points[i * d + k]) - mean);
        sum += square / double(n);
    }
    return sum / double(d);
}

} // namespace

Mixture fit_mixture(std::span<const float> points, int64_t dims, const MixtureOptions& options) {
    size_t d = size_t(dims), n = points.size() / d, count = size_t(options.components);
    require(dims > 0 && points.size() == n * d && n <= UINT32_MAX, points.size(), " numbers are no points of ", dims,
            " dimensions");
    if (options.components < 1 || count > n)
        fail(Status::usage, options.components, " components cannot be fitted to ", n, " points");
    require(std::all_of(points.begin(), points.end(), [](float value) { return std::isfinite(value); }),
            "a latent is not finite");
    double floor = options.floor >= 0 ? options.floor : 1e-3 * std::max(mean_variance(points, n, d), 1e-12);
    Mixture mixture{dims,
                    std::vector<double>(count, 1.0 / double(count)),
                    std::vector<double>(count * d, 0.0),
                    std::vector<double>(count * d * d, 0.0),
                    {}};
    std::vector<double> r = nearest_centres(points, n, d, choose_centres(points, n, d, count, options.seed));
    for (size_t c = 0; c < count; c++)
        for (size_t k = 0; k < d; k++)
            mixture.factors[(c * d + k) * d + k] = 1; // of a component that is nobody's from the start
    maximise(mixture, points, n, r, floor);
    for (int iteration = 0;; iteration++) {
        Densities log_p(mixture);
        double sum = -0.5 * floor * sum_of_precisions(mixture);
        for (size_t i = 0; i < n; i++) {
            double log_sum = log_p(&points[i * d]);
            sum += log_sum;
            for (size_t c = 0; c < count; c++)
                r[i * count + c] = std::exp(log_p.terms[c] - log_sum);
        }
        mixture.history.push_back(sum / double(n));
        size_t done = mixture.history.size();
        bool settled = done > 1 && mixture.history[done - 1] - mixture.history[done - 2] < options.tolerance;
        if (settled || iteration == options.iterations)
            return mixture;
        maximise(mixture, points, n, r, floor);
    }
}

std::vector<double> log_density(const Mixture& mixture, std::span<const float> points) {
    std::vector<double> result;
    Densities log_p(mixture);
    for (size_t i = 0; i < points.size(); i += size_t(mixture.dims))
        result.push_back(log_p(&points[i]));
    return result;
}

std::vector<float> sample_mixture(const Mixture& mixture, int64_t n, uint64_t seed, float temperature) {
    size_t d = size_t(mixture.dims);
    require(n >= 0 && n <= (int64_t(1) << 32) / mixture.dims, n, " samples are more than the generator can count");
    std::vector<float> z(size_t(n) * d);
    std::vector<double> eps(d);
    for (size_t i = 0; i < size_t(n); i++) {
        double u = double(random_uniform(seed, Stream::sample, kComponentStep, 0, uint32_t(i)));
        size_t c = 0;
        while (c + 1 < mixture.weights.size() && u >= mixture.weights[c])
            u -= mixture.weights[c++];
        for (size_t k = 0; k < d; k++)
            eps[k] = double(random_normal(seed, Stream::sample, 0, 0, uint32_t(i * d + k)));
        for (size_t p = 0; p < d; p++) {
            double sum = 0;
            for (size_t q = 0; q <= p; q++)
                sum += mixture.factors[(c * d + p) * d + q] * eps[q];
            z[i * d + p] = float(mixture.means[c * d + p] + double(temperature) * sum);
        }
    }
    return z;
}

} // namespace vkvae
