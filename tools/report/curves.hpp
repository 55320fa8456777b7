// Which charts a run gets, and which of its numbers go into them.
#pragma once

#include <string>

#include "report/run_data.hpp"

namespace vkvae {

// Each returns <figure> elements, or nothing when the run has no such numbers.
std::string draw_learning_curves(const RunData& run); // against the step: loss, nll, kl, gradient norm, schedules
// KL per latent dimension: last evaluation, and over time; active units; latents in the plane; rate and distortion
std::string draw_latent_charts(const RunData& run);
std::string draw_speed_charts(const RunData& run);    // images/s, GPU time by kernel, memory

// The split the headline speaks about: "test" if there is one, else the last one evaluated. Empty without evaluations.
std::string main_split(const RunData& run);

// The last evaluation of that split, null without one.
const EvalRecord* last_evaluation(const RunData& run);

// Bytes of GPU memory: "total" or "peak" of config.memory, else the sum of its parts. kMissing without it.
double total_memory(const RunData& run);

} // namespace vkvae
