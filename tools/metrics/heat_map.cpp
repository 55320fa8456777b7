// Heat maps: the picture is a grid whose tiles are input | reconstruction | error.
#include "metrics/heat_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "dataset/image.hpp"
#include "metrics/ranking.hpp"

namespace vkvae {
namespace {

constexpr int kLeastSide = 72;        // of a tile, in pixels of the picture
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

// Appends one tile, each pixel `zoom` times in both directions. colour(pixel) -> RGB.
template <class Colour> void append_tile(std::vector<float>& tiles, int h, int w, int zoom, Colour colour) {
    for (int y = 0; y < h * zoom; y++)
        for (int x = 0; x < w * zoom; x++) {
            std::array<float, 3> rgb = colour(size_t(y / zoom) * size_t(w) + size_t(x / zoom));
            tiles.insert(tiles.end(), rgb.begin(), rgb.end());
        }
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
    std::vector<float> tiles;
    for (size_t i = 0; i < n; i++) {
        for (std::span<const float> from : {images, means})
            append_tile(tiles, h, w, zoom, [&](size_t p) { return rgb_of(from, i * pixels + p, c); });
        append_tile(tiles, h, w, zoom, [&](size_t p) { return heat(errors[i * pixels + p] / white); });
    }
    int triples = std::max(1, int(std::ceil(std::sqrt(double(n) / 3))));
    write_png(file, make_grid(tiles, int(3 * n), h * zoom, w * zoom, 3, 3 * triples));
    return white;
}

} // namespace vkvae
