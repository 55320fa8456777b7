// The contract of tools/latent's statistics: principal components and mixtures find what the data were made of.
#include "latent/mixture.hpp"
#include "latent/pca.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "io/temp_folder.hpp"
#include "ops/philox.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

double normal(uint32_t i) {
    return double(random_normal(7, Stream::data, 0, 0, i));
}

std::vector<double> random_symmetric(size_t d, uint32_t seed) {
    std::vector<double> a(d * d);
    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k <= i; k++)
            a[i * d + k] = a[k * d + i] = normal(uint32_t(1000 * seed + i * d + k));
    return a;
}

double dot(const double* a, const double* b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

// Two blobs in the plane: a third around (-3, 1), long in x; the rest around (2, 0), tilted.
std::vector<float> two_blobs(size_t n) {
    std::vector<float> points;
    for (size_t i = 0; i < n; i++) {
        double a = normal(uint32_t(2 * i)), b = normal(uint32_t(2 * i + 1));
        bool first = i % 3 == 0;
        points.push_back(float(first ? -3 + 0.9 * a : 2 + 0.5 * a));
        points.push_back(float(first ? 1 + 0.2 * b : 0.4 * a + 0.3 * b));
    }
    return points;
}

} // namespace

TEST_CASE("eigenvectors of symmetric matrices are orthonormal, in order, and rebuild the matrix") {
    for (size_t d : {1, 2, 7, 40}) {
        std::vector<double> a = random_symmetric(d, uint32_t(d));
        Eigen e = symmetric_eigen(a, int64_t(d));
        for (size_t i = 0; i < d; i++)
            for (size_t k = 0; k < d; k++) {
                CHECK(dot(&e.vectors[i * d], &e.vectors[k * d], d) ==
                      doctest::Approx(i == k ? 1.0 : 0.0).epsilon(1e-12));
                double sum = 0;
                for (size_t j = 0; j < d; j++)
                    sum += e.values[j] * e.vectors[j * d + i] * e.vectors[j * d + k];
                CHECK(std::fabs(sum - a[i * d + k]) < 1e-12 * double(d));
                CHECK((i == 0 || e.values[i - 1] >= e.values[i]));
            }
    }
    std::vector<double> bad = {1, 0, 0, std::numeric_limits<double>::quiet_NaN()};
    CHECK(outcome_of([&] { symmetric_eigen(bad, 2); }).says("not finite"));
}

TEST_CASE("a diagonal matrix, one of zeros and one with equal eigenvalues are their own answers") {
    const double diagonal[] = {2, 0, 0, 0, 5, 0, 0, 0, -1};
    Eigen e = symmetric_eigen(diagonal, 3);
    CHECK(e.values == std::vector<double>{5, 2, -1});
    CHECK(e.vectors == std::vector<double>{0, 1, 0, 1, 0, 0, 0, 0, 1});
    const double zeros[9] = {}, identity[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    CHECK(symmetric_eigen(zeros, 3).values == std::vector<double>{0, 0, 0});
    CHECK(symmetric_eigen(identity, 3).values == std::vector<double>{1, 1, 1});
}

TEST_CASE("principal components are the directions that points were stretched along") {
    std::vector<float> points; // m + 3 a u + 0.5 b v, u and v at right angles
    const double u[] = {0.6, 0.0, 0.8}, v[] = {0.0, 1.0, 0.0};
    constexpr size_t kCount = 4000;
    for (size_t i = 0; i < kCount; i++)
        for (size_t k = 0; k < 3; k++)
            points.push_back(float(10 + 3 * normal(uint32_t(2 * i)) * u[k] + 0.5 * normal(uint32_t(2 * i + 1)) * v[k]));
    Pca pca = fit_pca(points, 3);
    CHECK(std::fabs(dot(&pca.axes[0], u, 3)) == doctest::Approx(1).epsilon(1e-3));
    CHECK(std::fabs(dot(&pca.axes[3], v, 3)) == doctest::Approx(1).epsilon(1e-3));
    CHECK(pca.variance[0] == doctest::Approx(9).epsilon(0.1));
    CHECK(pca.variance[1] == doctest::Approx(0.25).epsilon(0.1));
    CHECK(pca.variance[2] < 1e-9);
    CHECK(pca.share(1) == doctest::Approx(pca.variance[0] / (pca.variance[0] + pca.variance[1])));
    std::vector<float> scores = project(pca, points, 2);
    double mean = 0, square = 0, cross = 0;
    for (size_t i = 0; i < kCount; i++) {
        mean += scores[2 * i] / double(kCount);
        square += double(scores[2 * i]) * scores[2 * i] / double(kCount);
        cross += double(scores[2 * i]) * scores[2 * i + 1] / double(kCount);
    }
    CHECK(std::fabs(mean) < 1e-5);
    CHECK(square == doctest::Approx(pca.variance[0]).epsilon(1e-5));
    CHECK(std::fabs(cross) < 1e-4);
    CHECK(outcome_of([&] { project(pca, points, 4); }).says("4 components of 3"));
}

TEST_CASE("expectation maximisation finds the two Gaussians that the points came from") {
    std::vector<float> points = two_blobs(6000);
    Mixture m = fit_mixture(points, 2, {.components = 2, .seed = 3, .floor = 0});
    size_t first = m.means[0] < m.means[2] ? 0 : 1;
    CHECK(m.weights[first] == doctest::Approx(1.0 / 3).epsilon(0.01));
    CHECK(m.weights[0] + m.weights[1] == doctest::Approx(1));
    const double *mean = &m.means[2 * first], *other = &m.means[2 * (1 - first)];
    CHECK(mean[0] == doctest::Approx(-3).epsilon(0.02));
    CHECK(mean[1] == doctest::Approx(1).epsilon(0.02));
    CHECK(other[0] == doctest::Approx(2).epsilon(0.02));
    CHECK(std::fabs(other[1]) < 0.03);
    const double *l = &m.factors[4 * first], *t = &m.factors[4 * (1 - first)];
    CHECK(l[0] == doctest::Approx(0.9).epsilon(0.04));
    CHECK(std::fabs(l[2]) < 0.02);
    CHECK(l[3] == doctest::Approx(0.2).epsilon(0.04));
    CHECK(t[0] == doctest::Approx(0.5).epsilon(0.04)); // S = [0.25, 0.2; 0.2, 0.25] = L L^T
    CHECK(t[2] == doctest::Approx(0.4).epsilon(0.05));
    CHECK(t[3] == doctest::Approx(0.3).epsilon(0.04));
}

TEST_CASE("the likelihood never falls, with and without a floor, from any start") {
    std::vector<float> points = two_blobs(600);
    for (double floor : {0.0, 0.5, -1.0})
        for (uint64_t seed = 0; seed < 5; seed++) {
            Mixture m = fit_mixture(points, 2, {.components = 4, .seed = seed, .tolerance = 1e-9, .floor = floor});
            REQUIRE(m.history.size() > 2);
            for (size_t i = 1; i < m.history.size(); i++)
                CHECK(m.history[i] >= m.history[i - 1] - 1e-12);
        }
}

TEST_CASE("densities are those of the formula, and one component is the Gaussian of mean and covariance") {
    std::vector<float> points = two_blobs(90);
    Mixture m = fit_mixture(points, 2, {.components = 1, .floor = 0});
    double mean[2] = {}, s[3] = {};
    for (size_t i = 0; i < 90; i++)
        for (size_t k = 0; k < 2; k++)
            mean[k] += double(points[2 * i + k]) / 90;
    for (size_t i = 0; i < 90; i++) {
        double x = points[2 * i] - mean[0], y = points[2 * i + 1] - mean[1];
        s[0] += x * x / 90, s[1] += x * y / 90, s[2] += y * y / 90;
    }
    CHECK(m.means[0] == doctest::Approx(mean[0]));
    double det = s[0] * s[2] - s[1] * s[1], sum = 0;
    std::vector<double> log_p = log_density(m, points);
    for (size_t i = 0; i < 90; i++) {
        double x = points[2 * i] - mean[0], y = points[2 * i + 1] - mean[1];
        double square = (s[2] * x * x - 2 * s[1] * x * y + s[0] * y * y) / det;
        double expected = -0.5 * square - 0.5 * std::log(det) - std::log(2 * 3.14159265358979324);
        CHECK(log_p[i] == doctest::Approx(expected).epsilon(1e-9));
        sum += expected / 90;
    }
    CHECK(m.history.back() == doctest::Approx(sum).epsilon(1e-9));
}

TEST_CASE("samples of a mixture have its moments, depend on the seed alone, and stay at the means when cold") {
    Mixture m = fit_mixture(two_blobs(3000), 2, {.components = 2, .seed = 1});
    std::vector<float> z = sample_mixture(m, 20000, 5, 1), some = sample_mixture(m, 7, 5, 1);
    CHECK(std::vector<float>(z.begin(), z.begin() + 14) == some);
    CHECK(sample_mixture(m, 7, 6, 1) != some);
    Mixture again = fit_mixture(z, 2, {.components = 2, .seed = 9});
    size_t swap = (again.means[0] < again.means[2]) == (m.means[0] < m.means[2]) ? 0 : 1;
    for (size_t c = 0; c < 2; c++) {
        CHECK(again.weights[c ^ swap] == doctest::Approx(m.weights[c]).epsilon(0.03));
        for (size_t k = 0; k < 4; k++)
            CHECK(std::fabs(again.factors[4 * (c ^ swap) + k] - m.factors[4 * c + k]) < 0.03);
    }
    std::vector<float> cold = sample_mixture(m, 50, 5, 0);
    for (size_t i = 0; i < 50; i++)
        CHECK((cold[2 * i] == float(m.means[0]) || cold[2 * i] == float(m.means[2])));
}

TEST_CASE("equal points, more components than clusters, and too few points") {
    std::vector<float> equal(30, 2.5f); // ten points in three dimensions
    Mixture m = fit_mixture(equal, 3, {.components = 4});
    for (double value : log_density(m, equal))
        CHECK(std::isfinite(value));
    for (float value : sample_mixture(m, 20, 0, 1))
        CHECK(value == doctest::Approx(2.5).epsilon(1e-3));
    CHECK(outcome_of([&] { fit_mixture(equal, 3, {.components = 4, .floor = 0}); }).says("fewer dimensions"));
    Outcome few = outcome_of([&] { fit_mixture(equal, 3, {.components = 11}); });
    CHECK(few.status == Status::usage);
    CHECK(few.says("11 components cannot be fitted to 10 points"));
    equal[4] = std::numeric_limits<float>::infinity();
    CHECK(outcome_of([&] { fit_mixture(equal, 3, {.components = 1}); }).says("not finite"));
}
