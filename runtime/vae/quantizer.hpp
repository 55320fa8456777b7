// The parts of a vq posterior that the Vae is put together from; and the PixelCNN over its codes.
#pragma once

#include "vae/layers.hpp"

namespace vkvae {

// The end of the encoder, as a 1x1 convolution: (N, h, w, C) -> (N, h, w, D), features (N, F) -> (N, 1, 1, D).
Tensor project_to_codes(Vae::Scope& scope, const VqConfig& vq, const Flow& flow);
// What the model is told by what project_to_codes made: the size of the map, and of z.
void set_map(Graph& g, ModelConfig& config, Tensor encoded);
// z (N, h w D) as the decoder takes it: a map, or a vector where there is one place.
Tensor as_map(Graph& g, const VqConfig& vq, Tensor z);

struct Codebook {
    Tensor codes, frequencies; // (K, D), (K)
};
std::vector<Codebook> build_codebooks(Vae::Scope& scope, const VqConfig& vq);

// Logits (M, K) of each level's codes (M), M = N h w, that see the codes of earlier places in reading order and those
// of earlier levels at the same place. vae/code_prior.cpp.
std::vector<Tensor> build_code_prior(Vae::Scope& scope, const VqConfig& vq, std::span<const Tensor> codes);
std::vector<Tensor> placeholder_codes(Graph& g, const VqConfig& vq); // of one sample, for a dry run

// Start values of the codebooks: rows of what the encoder, with start values itself, makes of the data.
void initialise_codebooks(Parameters& parameters, const Vae& vae, const DataView& data, uint64_t seed);

// Draws n samples' codes (n, levels, h, w) of the prior. vae/code_prior.cpp.
std::vector<uint32_t> draw_codes(const Vae& vae, const Parameters& parameters, int64_t n, int64_t batch, uint64_t seed,
                                 float temperature);

// evaluate() of a vq posterior. vae/evaluate_codes.cpp.
Evaluation evaluate_codes(Device& device, const Vae& vae, const Parameters& parameters, const DataView& data,
                          const EvaluateOptions& options);

// Where a parameter of the model is in the list. Errors: there is none of that name.
const Parameter& parameter_named(const Parameters& parameters, const std::string& name);
std::string codebook_name(int64_t level, const char* what); // "quantizer.levels.0.codes"

} // namespace vkvae
