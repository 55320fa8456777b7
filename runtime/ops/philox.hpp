// Counter-based random numbers on the CPU: the bit-identical twin of shaders/common/random.glsl.
//   key = (seed low, seed high), counter = (element, sample, stream, step); one uniform or one normal per counter.
// Everything is a pure function of its arguments: there is no generator to store, so resuming is exact.
// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "vkvae/ops.hpp" // Stream

namespace vkvae {

using PhiloxCounter = std::array<uint32_t, 4>; // (element, sample, stream, step)
using PhiloxKey = std::array<uint32_t, 2>;     // (seed low, seed high)
using PhiloxWords = std::array<uint32_t, 4>;

PhiloxKey philox_key(uint64_t seed);

// Ten rounds of Philox4x32: four random words, a bijection of the counter for each key.
PhiloxWords philox4x32(const PhiloxCounter& counter, const PhiloxKey& key);

// [0, 1), a multiple of 2^-24.
float uniform01(uint32_t word);

// Box-Muller from a radius word and a phase word; |result| <= 5.77, within 1e-6 of the exact value.
float normal_from_words(uint32_t w0, uint32_t w1);

// One number per (stream, step, sample_index, element), equal to the shader's of the same name bit for bit.
// random_uniform and random_normal use the same words: draw both from one stream only at different counters.
float random_uniform(uint64_t seed, Stream stream, uint32_t step, uint32_t sample_index, uint32_t element);
float random_normal(uint64_t seed, Stream stream, uint32_t step, uint32_t sample_index, uint32_t element);

// A uniform integer in [0, bound), without bias. It has no sample index: the counter's sample slot numbers the
// rejected tries. bound must be at least 1; 0 throws Error.
// Source: Lemire 2019, "Fast random integer generation in an interval".
uint32_t random_below(uint64_t seed, Stream stream, uint32_t step, uint32_t element, uint32_t bound);

// A uniformly random order of 0 .. count-1: the shuffle of an epoch. Allocates count words.
std::vector<uint32_t> permutation(uint32_t count, uint64_t seed, uint32_t epoch);

} // namespace vkvae
