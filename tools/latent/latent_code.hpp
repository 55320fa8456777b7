// Latents as bits: each dimension rounded to a grid of its own, coded under the prior N(0, 1) on that grid.
//   z = step k,   P(k) = Phi(step (k + 1/2)) - Phi(step (k - 1/2))
// A step in proportion to the posterior's standard deviation spends no bits on what the posterior leaves open: a
// dimension that ignores its input has the prior for a posterior, and costs next to nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "latent/ans.hpp"

namespace vkvae {

inline constexpr double kLatentRange = 12; // |z| beyond this is coded as this: the prior's mass there is 1e-33

// Steps are 2^(index / 8 - 10), index 0 .. 127: an eighth of an octave apart, 0.001 to 58.7.
double grid_step(uint8_t index);
uint8_t grid_index(double step); // the nearest
bool is_grid_index(uint8_t index);

// One table a dimension, for symbols k + kmax; kmax = floor(kLatentRange / step + 1/2).
FrequencyTable prior_table(uint8_t index);

// z (n, D) -> k, and back. The grids are (D).
std::vector<int32_t> quantise(std::span<const float> z, std::span<const uint8_t> grids);
std::vector<float> dequantise(std::span<const int32_t> k, std::span<const uint8_t> grids);

std::vector<uint32_t> encode_latents(std::span<const int32_t> k, std::span<const uint8_t> grids);
// Error(data), starting with `name`, unless the words are exactly `count` samples.
std::vector<int32_t> decode_latents(std::vector<uint32_t> words, int64_t count, std::span<const uint8_t> grids,
                                    const std::string& name);

} // namespace vkvae
