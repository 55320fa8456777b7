// What training minimises: the table of objectives.
#pragma once

#include "vkvae/vae.hpp"

namespace vkvae {

// What an objective is made of: N samples, K draws of each.
struct Bound {
    int64_t count = 0, draws = 1;                  // N, K
    Vae::Inference q;
    std::function<Tensor(float factor)> nll_parts; // -factor log p(x|z) (N K, C)
};

// Adding one: a function that sets loss, nll, kl, kl_dims and the extras of an Elbo, a row, and a test.
struct Objective {
    const char* name;
    const char* keys; // of "objective" in the JSON, beside "type" and "beta"; a trailing ! marks a required one
    KlEstimate kl;
    PosteriorGradient gradient;
    std::vector<const char*> extras;
    void (*build)(Graph& g, const Vae& vae, const Bound& bound, Elbo& e);
};
std::span<const Objective> objectives();
const Objective& find_objective(const std::string& name); // errors: Status::data

// StepParams::beta and capacity of a training step.
void set_schedule(StepParams& params, const ObjectiveConfig& objective, float beta, int64_t step);

// Errors: Status::data where model and objective do not go together.
void check_objective(const ModelConfig& config);

} // namespace vkvae
