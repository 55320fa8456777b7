// The pictures that show what a model has learned; used by the verbs and at the end of training.
#pragma once

#include "vkvae/common.hpp"

namespace vkvae {

// The labels of conditional models are those of the inputs; others have none. Between two inputs the first one's counts.

// Rows of inputs, each above the row of its reconstructions: (n, H, W, C), n a multiple of 2 columns.
std::vector<float> reconstruction_rows(Sampler& sampler, std::span<const float> images, int64_t pixels, int columns,
                                       std::span<const uint8_t> labels = {});

// One row of `steps` images for each pair of inputs.
std::vector<float> interpolation_rows(Sampler& sampler, std::span<const float> images, int64_t pixels, int64_t latent,
                                      int steps, bool spherical, std::span<const uint8_t> labels = {});

// One row of `steps` images for each of `dims`, that dimension of `base` (D) moved from -range to range.
std::vector<float> traversal_rows(Sampler& sampler, std::span<const float> base, std::span<const int> dims, int steps,
                                  float range, std::span<const uint8_t> label = {});

// The dimensions with the largest KL first, at most `most`; in their order if the KL is not known.
std::vector<int> dims_by_kl(std::span<const double> kl_dims, int64_t latent, int most);

} // namespace vkvae
