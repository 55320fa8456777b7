// Principal components in double precision, in one thread and one order: the same points give the same bytes.
#include "latent/pca.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vkvae/error.hpp"

namespace vkvae {
namespace {

// Rotates the plane of axes p and q such that a[p][q] becomes zero, and the eigenvectors with it.
void rotate(std::vector<double>& a, std::vector<double>& v, size_t d, size_t p, size_t q) {
    double theta = (a[q * d + q] - a[p * d + p]) / (2 * a[p * d + q]);
    double t = (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1)); // the smaller angle
    double c = 1 / std::sqrt(t * t + 1), s = t * c;
    for (size_t k = 0; k < d; k++) { // columns p and q of a
        double x = a[k * d + p], y = a[k * d + q];
        a[k * d + p] = c * x - s * y;
        a[k * d + q] = s * x + c * y;
    }
    for (size_t k = 0; k < d; k++) { // and rows
        double x = a[p * d + k], y = a[q * d + k];
        a[p * d + k] = c * x - s * y;
        a[q * d + k] = s * x + c * y;
    }
    for (size_t k = 0; k < d; k++) {
        double x = v[p * d + k], y = v[q * d + k];
        v[p * d + k] = c * x - s * y;
        v[q * d + k] = s * x + c * y;
    }
}

double off_diagonal(const std::vector<double>& a, size_t d) {
    double sum = 0;
    for (size_t p = 0; p < d; p++)
        for (size_t q = 0; q < p; q++)
            sum += a[p * d + q] * a[p * d + q];
    return sum;
}

} // namespace

Eigen symmetric_eigen(std::span<const double> matrix, int64_t dims) {
    size_t d = size_t(dims);
    require(matrix.size() == d * d, "a matrix of ", dims, " x ", dims, " has ", matrix.size(), " numbers");
    std::vector<double> a(matrix.begin(), matrix.end()), v(d * d, 0.0);
    double norm = 0;
    for (double value : a)
        norm += value * value;
    require(std::isfinite(norm), "a matrix holds values that are not finite or too large");
    for (size_t i = 0; i < d; i++)
        v[i * d + i] = 1;
    constexpr int kMostSweeps = 60; // convergence is quadratic: ten are many
    for (int sweep = 0; sweep < kMostSweeps && off_diagonal(a, d) > 1e-30 * norm; sweep++)
        for (size_t p = 0; p + 1 < d; p++)
            for (size_t q = p + 1; q < d; q++)
                if (a[p * d + q] != 0)
                    rotate(a, v, d, p, q);
    std::vector<size_t> order(d);
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t k) { return a[i * d + i] > a[k * d + k]; });
    Eigen result;
    for (size_t i : order) {
        auto row = v.begin() + std::ptrdiff_t(i * d);
        auto largest = std::max_element(row, row + std::ptrdiff_t(d),
                                        [](double x, double y) { return std::fabs(x) < std::fabs(y); });
        double sign = *largest < 0 ? -1 : 1; // either sign is an eigenvector: choose one
        result.values.push_back(a[i * d + i]);
        for (size_t k = 0; k < d; k++)
            result.vectors.push_back(sign * v[i * d + k]);
    }
    return result;
}

double Pca::share(int64_t components) const {
    double all = std::accumulate(variance.begin(), variance.end(), 0.0);
    double part = std::accumulate(variance.begin(), variance.begin() + components, 0.0);
    return all > 0 ? part / all : 1;
}

Pca fit_pca(std::span<const float> points, int64_t dims) {
    require(dims > 0 && !points.empty() && points.size() % size_t(dims) == 0, points.size(),
            " numbers are no points of ", dims, " dimensions");
    size_t d = size_t(dims), n = points.size() / d;
    Pca pca{dims, std::vector<double>(d, 0.0), {}, {}};
    for (size_t i = 0; i < points.size(); i++)
        pca.mean[i % d] += double(points[i]) / double(n);
    std::vector<double> covariance(d * d, 0.0), x(d);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < d; k++)
            x[k] = double(points[i * d + k]) - pca.mean[k];
        for (size_t p = 0; p < d; p++)
            for (size_t q = 0; q <= p; q++)
                covariance[p * d + q] += x[p] * x[q] / double(n);
    }
    for (size_t p = 0; p < d; p++)
        for (size_t q = 0; q < p; q++)
            covariance[q * d + p] = covariance[p * d + q];
    Eigen eigen = symmetric_eigen(covariance, dims);
    for (double value : eigen.values)
        pca.variance.push_back(std::max(value, 0.0)); // rounding may leave -1e-20
    pca.axes = std::move(eigen.vectors);
    return pca;
}

std::vector<float> project(const Pca& pca, std::span<const float> points, int64_t components) {
    require(components >= 1 && components <= pca.dims, components, " components of ", pca.dims, " dimensions");
    size_t d = size_t(pca.dims), n = points.size() / d;
    std::vector<float> scores;
    scores.reserve(n * size_t(components));
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < size_t(components); c++) {
            double sum = 0;
            for (size_t k = 0; k < d; k++)
                sum += (double(points[i * d + k]) - pca.mean[k]) * pca.axes[c * d + k];
            scores.push_back(float(sum));
        }
    return scores;
}

} // namespace vkvae
