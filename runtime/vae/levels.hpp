// The way up and down through the levels of a model.
#pragma once

#include "vae/layers.hpp"

namespace vkvae {

// What one level's latents e are: moments of q(e|x) in, or values in. See levels.cpp.
struct Latents {
    Tensor z;  // (N, width)
    Tensor kl; // (N, width), where there is one
};

// Runs the encoders. y (N, classes) or none. Returns what each level's latents see, from the data upwards.
std::vector<Flow> bottom_up(Vae::Scope& scope, const ModelConfig& c, Tensor x, Tensor y);

// Moments (N, 2 width) of the posterior of a level's latents; `above` is what the level above made, if there is one.
// For a map of latents (N, H, W, 2 C) the rows are its positions.
struct Moments {
    Tensor rows;          // (N P, 2 C) with P positions, 1 for a vector
    int64_t positions = 1;
};
Moments level_moments(Vae::Scope& scope, const ModelConfig& c, size_t level, const Flow& below, const Flow& above);

// From the top down: latents_of(level, above) gives the standardised latents of a level (N, width), the rest is what the
// decoders make of them. y as above. Returns the lowest decoder's result, (N, pixels P).
Tensor top_down(Vae::Scope& scope, const ModelConfig& c, const std::vector<Shape>& maps, Tensor y,
                const std::function<Tensor(size_t level, const Flow& above)>& latents_of);

// The parameters of config.prior, if it has any: vae/prior.cpp.
void define_prior(Vae::Scope& scope, const ModelConfig& c);

} // namespace vkvae
