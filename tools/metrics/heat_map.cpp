// Heat maps: the picture is a grid whose tiles are input | reconstruction | error.
#include "metrics/heat_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "dataset/image.hpp"
#include "metrics/ranking.hpp"

namespace vkvae {
namespace {

// In pixels of the picture: the least side of a part, and the gaps between parts and between triples.
constexpr int kLeastSide = 72, kGap = 2, kPad = 10;
constexpr float kGrey = 40.0f / 255;  // of make_grid
constexpr double kBelowWhite = 0.995; // share of the pixels: a single wild one must not darken all others

// Black, blue-violet, red, orange, light yellow: each lighter than the one before, so that it can be read in grey too.
constexpr std::array<std::array<float, 3>, 5> kHeat = {
    {{0.0f, 0.0f, 0.02f}, {0.26f, 0.06f, 0.43f}, {0.73f, 0.21f, 0.33f}, {0.98f, 0.58f, 0.14f}, {1.0f, 1.0f, 0.75f}}};

std::array<float, 3> heat(double value) {
    double at = std::clamp(value, 0.0, 1.0) * double(kHeat.size() - 1);
    size_t low = std::min(size_t(at), kHeat.size() - 2);
    float share = float(at - double(low));
    std::array<float, 3> colour;
    for (size_t k = 0; k < 3; k++)
        colour[k] = (1 - share) * kHeat[low][k] + share * kHeat[low + 1][k];
    return colour;
}

std::array<float, 3> rgb_of(std::span<const float> image, size_t pixel, int channels) {
    const float* p = &image[pixel * size_t(channels)];
    return channels == 1 ? std::array{p[0], p[0], p[0]} : std::array{p[0], p[1], p[2]};
}

} // namespace

std::vector<float> error_map(std::span<const float> x, std::span<const float> mean, size_t channels) {
    std::vector<float> map(x.size() / channels, 0.0f);
    for (size_t i = 0; i < x.size(); i++)
        map[i / channels] += (x[i] - mean[i]) * (x[i] - mean[i]) / float(channels);
    return map;
}

double write_heat_maps(const std::filesystem::path& file, std::span<const float> images, std::span<const float> means,
                       std::span<const float> errors, int h, int w, int c) {
    size_t pixels = size_t(h) * size_t(w), n = errors.size() / pixels;
    double white = std::max(quantile(std::vector<double>(errors.begin(), errors.end()), kBelowWhite), 1e-12);
    int zoom = std::max(1, (kLeastSide + std::max(h, w) - 1) / std::max(h, w));
    int part_h = h * zoom, part_w = w * zoom, width = 3 * part_w + 2 * kGap;
    std::vector<float> triples;
    for (size_t i = 0; i < n; i++)
        for (int y = 0; y < part_h; y++)
            for (int x = 0; x < width; x++) {
                int part = x / (part_w + kGap), inside = x % (part_w + kGap);
                size_t pixel = i * pixels + size_t(y / zoom) * size_t(w) + size_t(std::min(inside, part_w - 1) / zoom);
                std::array<float, 3> rgb = part == 0   ? rgb_of(images, pixel, c)
                                           : part == 1 ? rgb_of(means, pixel, c)
                                                       : heat(errors[pixel] / white);
                if (inside >= part_w)
                    rgb = {kGrey, kGrey, kGrey};
                triples.insert(triples.end(), rgb.begin(), rgb.end());
            }
    int columns = int(std::ceil(std::sqrt(double(n) / 3))); // a triple is three times as wide as high
    write_png(file, make_grid(triples, int(n), part_h, width, 3, columns, kPad));
    return white;
}

} // namespace vkvae
