// PSNR, SSIM and bits per dimension.
//
//   ssim = (2 ma mb + C1) (2 cov + C2) / ((ma^2 + mb^2 + C1) (va + vb + C2)),  C = (K L)^2, L = 1 the range of values
//   with means, variances and covariance under the window's weights
#include "metrics/image_quality.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "vkvae/error.hpp"

namespace vkvae {
namespace {

constexpr int64_t kWindow = 11;
constexpr double kDeviation = 1.5, kC1 = 0.01 * 0.01, kC2 = 0.03 * 0.03;

std::vector<double> window_along(int64_t side) {
    int64_t size = std::min(kWindow, side % 2 ? side : side - 1);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t i = 0; i < size; i++) {
        double x = double(i - size / 2) / kDeviation;
        weights.push_back(std::exp(-x * x / 2));
        sum += weights.back();
    }
    for (double& weight : weights)
        weight /= sum;
    return weights;
}

// The windows' weighted means of a plane (h, w): first along its rows, then along its columns.
std::vector<double> blurred(const std::vector<double>& plane, int64_t h, int64_t w, const std::vector<double>& down,
                            const std::vector<double>& across) {
    int64_t out_w = w - int64_t(across.size()) + 1, out_h = h - int64_t(down.size()) + 1;
    std::vector<double> rows(size_t(h * out_w), 0.0), out(size_t(out_h * out_w), 0.0);
    for (int64_t y = 0; y < h; y++)
        for (size_t k = 0; k < across.size(); k++)
            for (int64_t x = 0; x < out_w; x++)
                rows[size_t(y * out_w + x)] += across[k] * plane[size_t(y * w + x) + k];
    for (int64_t y = 0; y < out_h; y++)
        for (size_t k = 0; k < down.size(); k++)
            for (int64_t x = 0; x < out_w; x++)
                out[size_t(y * out_w + x)] += down[k] * rows[size_t((y + int64_t(k)) * out_w + x)];
    return out;
}

} // namespace

double psnr(double mse) {
    return -10 * std::log10(mse);
}

double ssim(std::span<const float> a, std::span<const float> b, int64_t h, int64_t w, int64_t c) {
    require(h > 0 && w > 0 && c > 0 && a.size() == size_t(h * w * c) && b.size() == a.size(), "ssim of ", a.size(),
            " and ", b.size(), " values as ", h, " x ", w, " x ", c);
    std::vector<double> down = window_along(h), across = window_along(w);
    double total = 0;
    for (int64_t channel = 0; channel < c; channel++) {
        std::vector<double> planes[5]; // a, b, a^2, b^2, a b
        for (int64_t i = channel; i < h * w * c; i += c) {
            double p = a[size_t(i)], q = b[size_t(i)];
            const double products[5] = {p, q, p * p, q * q, p * q};
            for (size_t k = 0; k < 5; k++)
                planes[k].push_back(products[k]);
        }
        for (std::vector<double>& plane : planes)
            plane = blurred(plane, h, w, down, across);
        double sum = 0;
        for (size_t i = 0; i < planes[0].size(); i++) {
            double ma = planes[0][i], mb = planes[1][i], va = planes[2][i] - ma * ma, vb = planes[3][i] - mb * mb;
            sum += (2 * ma * mb + kC1) * (2 * (planes[4][i] - ma * mb) + kC2) /
                   ((ma * ma + mb * mb + kC1) * (va + vb + kC2));
        }
        total += sum / double(planes[0].size());
    }
    return total / double(c);
}

double bits_per_dim(double nats, int64_t dims, bool density_of_bytes) {
    return nats / (double(dims) * std::numbers::ln2) + (density_of_bytes ? 8 : 0);
}

} // namespace vkvae
