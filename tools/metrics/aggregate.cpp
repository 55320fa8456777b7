// Estimates over N posteriors, with one z_i from each:
//
//   log q(z_i) = log 1/N sum_n q(z_i|x_n)      log q(z_id) = log 1/N sum_n q(z_id|x_n)      p(z) = N(0, I)
//   I(x; z) = 1/N sum_i log q(z_i|x_i) - log q(z_i)
//   total correlation = 1/N sum_i log q(z_i) - sum_d log q(z_id)
//   dimension-wise KL = 1/N sum_i sum_d log q(z_id) - log p(z_id)
//
// The sums over n are exact: nothing is estimated from minibatches, as it has to be in training.
// Source: Hoffman and Johnson 2016, "ELBO surgery"; Chen et al. 2018, "Isolating sources of disentanglement",
// section 3.
#include "metrics/aggregate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/philox.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

const double kLog2Pi = std::log(2 * std::numbers::pi);

// One-dimensional Gaussians, (N, D) each: log q = scale - (z - mu)^2 precision / 2.
struct Gaussians {
    std::vector<double> mu, precision, scale;
};

Gaussians gaussians_of(std::span<const float> moments, size_t n, size_t latent) {
    Gaussians g;
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < latent; d++) {
            double mu = moments[2 * i * latent + d], logvar = moments[(2 * i + 1) * latent + d];
            require_data(std::isfinite(mu) && std::isfinite(logvar), "the posterior of sample ", i, " has a mean of ",
                         mu, " and a log-variance of ", logvar, " in dimension ", d);
            g.mu.push_back(mu);
            g.precision.push_back(std::exp(-logvar));
            g.scale.push_back(-0.5 * (logvar + kLog2Pi));
        }
    return g;
}

// log 1/N sum_i exp(values[i stride])
double log_mean_exp(const double* values, size_t n, size_t stride) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (size_t i = 0; i < n; i++)
        largest = std::max(largest, values[i * stride]);
    for (size_t i = 0; i < n; i++)
        sum += std::exp(values[i * stride] - largest);
    return largest + std::log(sum / double(n));
}

} // namespace

AggregatePosterior aggregate_posterior(std::span<const float> moments, int64_t latent, uint64_t seed) {
    size_t dims = size_t(latent), n = dims > 0 ? moments.size() / (2 * dims) : 0;
    require(n > 0 && moments.size() == 2 * n * dims, moments.size(), " moments of ", latent, " dimensions");
    Gaussians g = gaussians_of(moments, n, dims);
    std::vector<double> by_dim(n * dims), joint(n), z(dims);
    AggregatePosterior result;
    for (size_t i = 0; i < n; i++) {
        double log_prior = 0, log_marginals = 0;
        for (size_t d = 0; d < dims; d++) {
            double eps = random_normal(seed, Stream::reparam, uint32_t(i), 0, uint32_t(d));
            z[d] = g.mu[i * dims + d] + eps / std::sqrt(g.precision[i * dims + d]);
            log_prior -= 0.5 * (kLog2Pi + z[d] * z[d]);
        }
        for (size_t k = 0; k < n; k++) {
            joint[k] = 0;
            for (size_t d = 0; d < dims; d++) {
                size_t at = k * dims + d;
                double away = z[d] - g.mu[at];
                by_dim[at] = g.scale[at] - 0.5 * away * away * g.precision[at];
                joint[k] += by_dim[at];
            }
        }
        double log_q = log_mean_exp(joint.data(), n, 1);
        for (size_t d = 0; d < dims; d++)
            log_marginals += log_mean_exp(by_dim.data() + d, n, dims);
        result.mutual_information += (joint[i] - log_q) / double(n);
        result.total_correlation += (log_q - log_marginals) / double(n);
        result.dimension_kl += (log_marginals - log_prior) / double(n);
    }
    result.kl = result.total_correlation + result.dimension_kl;
    return result;
}

LatentSpread prior_spread(int64_t latent) {
    return {std::vector<double>(size_t(latent), 0.0), std::vector<double>(size_t(latent), 1.0)};
}

LatentSpread latent_spread(std::span<const float> moments, int64_t latent) {
    size_t dims = size_t(latent), n = moments.size() / (2 * dims);
    require(n > 0, "the spread of no latents");
    LatentSpread spread = {std::vector<double>(dims, 0.0), std::vector<double>(dims, 0.0)};
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dims; d++)
            spread.mean[d] += moments[2 * i * dims + d] / double(n);
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dims; d++) {
            double away = moments[2 * i * dims + d] - spread.mean[d];
            spread.variance[d] += (away * away + std::exp(double(moments[(2 * i + 1) * dims + d]))) / double(n);
        }
    return spread;
}

double latent_distance(std::span<const float> mu, const LatentSpread& spread) {
    double sum = 0;
    for (size_t d = 0; d < mu.size(); d++) {
        double away = mu[d] - spread.mean[d];
        sum += away * away / spread.variance[d];
    }
    return std::sqrt(sum);
}

} // namespace vkvae
