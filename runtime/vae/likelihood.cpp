// The table of likelihoods. Adding one: its op (shader and formulas) and a row here.
#include "vkvae/vae.hpp"

#include <algorithm>
#include <cmath>

namespace vkvae {
namespace {

Tensor bernoulli_row(Graph& g, Tensor x, Tensor prediction, Tensor, float scale) {
    return bernoulli_nll(g, x, prediction, scale);
}

Tensor bernoulli_mean(Graph& g, Tensor prediction) { return activate(g, prediction, Activation::sigmoid); }

// Pixels that are always black would want minus infinity; at 0.001 one that is white after all costs 7 nats.
double logit(double mean) {
    mean = std::clamp(mean, 0.001, 0.999);
    return std::log(mean / (1 - mean));
}

Tensor gaussian_mean(Graph&, Tensor prediction) { return prediction; }

double identity(double mean) { return mean; }

const Likelihood kLikelihoods[] = {
    {"bernoulli", false, bernoulli_row, bernoulli_mean, logit},
    {"gaussian", true, gaussian_nll, gaussian_mean, identity, true},
};

} // namespace

std::span<const Likelihood> likelihoods() { return kLikelihoods; }

const Likelihood& find_likelihood(const std::string& name) {
    std::string known;
    for (const Likelihood& likelihood : kLikelihoods) {
        if (name == likelihood.name)
            return likelihood;
        known += concat_text(known.empty() ? "" : ", ", likelihood.name);
    }
    fail(Status::data, "unknown likelihood '", name, "'; known are ", known);
}

} // namespace vkvae
