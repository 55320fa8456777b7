// A mixture of Gaussians with full covariances, fitted by expectation maximisation:
//   p(z) = sum_k w_k N(z; m_k, S_k)
//   E: r_ik = w_k N(z_i; m_k, S_k) / p(z_i)      M: n_k = sum_i r_ik,  w_k = n_k / n,  m_k = 1/n_k sum_i r_ik z_i,
//                                                   S_k = (sum_i r_ik (z_i - m_k)(z_i - m_k)^T + floor I) / n_k
// floor keeps covariances away from zero. It is the M step of the penalised log likelihood
//   sum_i log p(z_i) - floor/2 sum_k tr(S_k^-1),  which therefore never falls; without a floor, the likelihood itself.
// Dempster, Laird and Rubin 1977; start by k-means++ (Arthur and Vassilvitskii 2007). Why after training: Ghosh et al.
// 2020, "From variational to deterministic autoencoders", section 4 (ex-post density estimation).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vkvae {

struct Mixture {
    int64_t dims = 0;
    std::vector<double> weights; // (k), sum 1
    std::vector<double> means;   // (k, d)
    std::vector<double> factors; // (k, d, d): lower triangles L with L L^T = S
    std::vector<double> history; // the penalised log likelihood a point before each M step, and at the end
    int64_t components() const { return int64_t(weights.size()); }
};

struct MixtureOptions {
    int64_t components = 10;
    uint64_t seed = 0;
    int iterations = 200;    // at most
    double tolerance = 1e-5; // of the gain a point in one iteration, below which it ends
    double floor = -1;       // negative: a thousandth of a point's mean variance, a very weak pull
};

// points (n, d), at least as many as components. The same points and options give the same bytes.
// Error(usage) for more components than points; Error(runtime) for values that are not finite.
Mixture fit_mixture(std::span<const float> points, int64_t dims, const MixtureOptions& options);

// log p of each point (n, d) -> (n).
std::vector<double> log_density(const Mixture& mixture, std::span<const float> points);

// (n, d); point i depends on (seed, i) alone. temperature scales the deviations from the component's mean.
std::vector<float> sample_mixture(const Mixture& mixture, int64_t n, uint64_t seed, float temperature);

} // namespace vkvae
