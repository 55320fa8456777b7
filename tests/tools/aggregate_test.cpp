// The aggregate posterior where its information and divergences are known: posteriors that are the prior, that do not
// overlap, and those of a linear Gaussian model, whose mixture is nearly a Gaussian.
#include "io/temp_folder.hpp"
#include "metrics/aggregate.hpp"
#include "ops/philox.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>

using namespace vkvae;
using namespace vkvae::test;

namespace {

float normal(uint32_t sample, uint32_t element) {
    return random_normal(7, Stream::data, sample, 0, element);
}

TEST_CASE("posteriors that are the prior carry no information and are at no distance from it") {
    std::vector<float> moments(2 * 3 * 50, 0.0f);
    AggregatePosterior q = aggregate_posterior(moments, 3, 1);
    for (double part : {q.mutual_information, q.kl, q.total_correlation, q.dimension_kl})
        CHECK(part == doctest::Approx(0).epsilon(1e-12));
}

TEST_CASE("posteriors that do not overlap tell each of N samples apart: log N nats") {
    constexpr size_t kN = 40;
    std::vector<float> moments;
    for (size_t i = 0; i < kN; i++) // means far apart along both dimensions, equal ones in none
        for (float value : {float(i) - 20, 20 - float(i), -12.0f, -12.0f})
            moments.push_back(value);
    AggregatePosterior q = aggregate_posterior(moments, 2, 1);
    CHECK(q.mutual_information == doctest::Approx(std::log(double(kN))).epsilon(1e-9));
    // One dimension says all about the other: z_1 is known to its deviation once z_2 is.
    CHECK(q.total_correlation == doctest::Approx(std::log(double(kN))).epsilon(1e-9));
}

TEST_CASE("the parts are what the definitions give for the same draws, and add up") {
    constexpr size_t kN = 23, kD = 3;
    std::vector<float> moments;
    for (uint32_t i = 0; i < kN; i++) {
        for (uint32_t d = 0; d < kD; d++)
            moments.push_back(normal(i, d));
        for (uint32_t d = 0; d < kD; d++)
            moments.push_back(0.5f * normal(i, kD + d) - 1);
    }
    auto log_density = [](double z, double mu, double logvar) {
        return -0.5 * (std::log(2 * std::numbers::pi) + logvar + (z - mu) * (z - mu) / std::exp(logvar));
    };
    auto moment = [&](size_t i, size_t at) { return double(moments[i * 2 * kD + at]); };
    double information = 0, tc = 0, dims = 0, kl = 0;
    for (size_t i = 0; i < kN; i++) {
        double z[kD], own = 0, prior = 0, mixture = 0, marginals = 0;
        for (size_t d = 0; d < kD; d++) {
            double eps = random_normal(5, Stream::reparam, uint32_t(i), 0, uint32_t(d)), marginal = 0;
            z[d] = moment(i, d) + std::exp(moment(i, kD + d) / 2) * eps;
            own += log_density(z[d], moment(i, d), moment(i, kD + d));
            prior += log_density(z[d], 0, 0);
            for (size_t n = 0; n < kN; n++)
                marginal += std::exp(log_density(z[d], moment(n, d), moment(n, kD + d))) / kN;
            marginals += std::log(marginal);
        }
        for (size_t n = 0; n < kN; n++) {
            double density = 1;
            for (size_t d = 0; d < kD; d++)
                density *= std::exp(log_density(z[d], moment(n, d), moment(n, kD + d)));
            mixture += density / kN;
        }
        information += (own - std::log(mixture)) / kN;
        tc += (std::log(mixture) - marginals) / kN;
        dims += (marginals - prior) / kN;
        kl += (own - prior) / kN;
    }
    AggregatePosterior q = aggregate_posterior(moments, kD, 5);
    CHECK(q.mutual_information == doctest::Approx(information).epsilon(1e-9));
    CHECK(q.total_correlation == doctest::Approx(tc).epsilon(1e-9));
    CHECK(q.dimension_kl == doctest::Approx(dims).epsilon(1e-9));
    CHECK(q.kl == doctest::Approx(tc + dims).epsilon(1e-9));
    CHECK(q.mutual_information + q.kl == doctest::Approx(kl).epsilon(1e-9));
}

// mu ~ N(0, S) with correlation, q(z|x) = N(mu, s^2): q(z) tends to N(0, S + s^2).
TEST_CASE("a linear Gaussian encoder has the information and the total correlation of Gaussians") {
    constexpr double kRho = 0.6, kVar = 0.25;
    constexpr uint32_t kN = 1500;
    std::vector<float> moments;
    for (uint32_t i = 0; i < kN; i++) {
        double a = normal(i, 0), b = kRho * a + std::sqrt(1 - kRho * kRho) * normal(i, 1);
        for (double value : {a, b, std::log(kVar), std::log(kVar)})
            moments.push_back(float(value));
    }
    double v = 1 + kVar, determinant = v * v - kRho * kRho;
    AggregatePosterior q = aggregate_posterior(moments, 2, 1);
    CHECK(q.mutual_information == doctest::Approx(0.5 * std::log(determinant / (kVar * kVar))).epsilon(0.05));
    CHECK(q.total_correlation == doctest::Approx(0.5 * std::log(v * v / determinant)).epsilon(0.15));
    CHECK(std::abs(q.dimension_kl - (v - 1 - std::log(v))) < 0.03); // two of KL(N(0, v) || N(0, 1))
}

TEST_CASE("a seed gives the same estimate, another one nearly; broken posteriors are refused") {
    std::vector<float> moments;
    for (uint32_t i = 0; i < 400; i++)
        moments.push_back(0.5f * normal(i, 0));
    AggregatePosterior a = aggregate_posterior(moments, 2, 1), b = aggregate_posterior(moments, 2, 1),
                       c = aggregate_posterior(moments, 2, 2);
    CHECK(a.mutual_information == b.mutual_information);
    CHECK(a.mutual_information != c.mutual_information);
    CHECK(std::abs(a.mutual_information - c.mutual_information) < 0.2);
    moments[6] = std::numeric_limits<float>::quiet_NaN();
    CHECK(outcome_of([&] { aggregate_posterior(moments, 2, 1); }).says("sample 1"));
}

TEST_CASE("the latent distance is in the deviations of q(z), or of the prior") {
    std::vector<float> moments = {1, 10, 0, 0, 3, 10, 0, 0}; // two samples of two dimensions, variances 1
    LatentSpread spread = latent_spread(moments, 2);
    CHECK(spread.mean == std::vector<double>{2, 10});
    CHECK(spread.variance == std::vector<double>{2, 1}); // of mu 1 and 0
    std::vector<float> mu = {4, 13};
    CHECK(latent_distance(mu, spread) == doctest::Approx(std::sqrt(2.0 + 9)));
    CHECK(latent_distance(mu, prior_spread(2)) == doctest::Approx(std::sqrt(185.0)));
}

} // namespace
