// Where a reconstruction differs from its image, as a picture.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace vkvae {

// (x - mean)^2 of each pixel, averaged over its channels: (h, w, c) twice -> (h, w).
std::vector<float> error_map(std::span<const float> x, std::span<const float> mean, size_t channels);

// A PNG of rows of input, reconstruction and error, as many triples to a row as make the picture about square; small
// images are enlarged. images, means (n, h, w, c), errors (n, h, w). Errors go from black over red and yellow to white;
// returns the one that is white, which nearly all are below (the 99.5 % quantile), the same for all images.
double write_heat_maps(const std::filesystem::path& file, std::span<const float> images, std::span<const float> means,
                       std::span<const float> errors, int h, int w, int c);

} // namespace vkvae
