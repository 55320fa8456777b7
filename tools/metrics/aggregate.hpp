// The aggregate posterior q(z), the mean of q(z|x_n) over the data: what z says about x, and how far it is from p(z).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vkvae {

// In nats. mutual_information + kl is the mean over the drawn z of log q(z|x) - log p(z): the ELBO's KL, sampled. So
// where the information is capped by log N, kl and total_correlation are too large by what it lacks.
struct AggregatePosterior {
    double mutual_information = 0; // I(x; z) under q, where x is one of the N; at most log N, which caps large ones
    double kl = 0;                 // KL(q(z) || p(z)) = total_correlation + dimension_kl
    double total_correlation = 0;  // KL(q(z) || prod_d q(z_d))
    double dimension_kl = 0;       // sum_d KL(q(z_d) || p(z_d))
};
// moments (N, 2 D): mu and after it logvar, of each sample; p(z) = N(0, I). One z is drawn from each posterior and
// meets all N of them: N^2 D exponentials. Errors: Status::data for moments that are not finite.
AggregatePosterior aggregate_posterior(std::span<const float> moments, int64_t latent, uint64_t seed);

// Mean and variance of each dimension of q(z): the mean of mu, and the variance of mu plus the mean of exp(logvar).
struct LatentSpread {
    std::vector<double> mean, variance; // (D)
};
LatentSpread prior_spread(int64_t latent);
LatentSpread latent_spread(std::span<const float> moments, int64_t latent);
// sqrt(sum_d (mu_d - mean_d)^2 / variance_d): Mahalanobis' distance for independent dimensions.
double latent_distance(std::span<const float> mu, const LatentSpread& spread);

} // namespace vkvae
