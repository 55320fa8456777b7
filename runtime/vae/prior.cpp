// The table of priors p(z).
//
//   standard_normal  N(0, I)
//   vamp             1/K sum_k q(z | u_k): the posteriors of K pseudo-inputs that are learned with the model.
//                    Tomczak and Welling 2018, "VAE with a VampPrior"
//
// A pseudo-input is the sigmoid of its parameters, so that it stays within the data's range. They start as samples of the
// data, see initialise().
#include "vae/levels.hpp"

#include <algorithm>
#include <cmath>

namespace vkvae {
namespace {

Tensor vamp_nll(Graph& g, const Vae& vae, const Weights& w, Tensor z) {
    Tensor moments = vae.encode(g, w, vae.pseudo_inputs(g, w));
    return scale(g, log_mean_exp(g, gaussian_log_densities(g, z, moments)), -1);
}

const Prior kPriors[] = {
    {"standard_normal", "", nullptr},
    {"vamp", "components!", vamp_nll},
};

} // namespace

void define_prior(Vae::Scope& scope, const ModelConfig& c) {
    if (c.prior != "vamp")
        return;
    scope.prefix = "prior.";
    scope.parameter("pseudo_inputs", {c.prior_components, c.pixels()}, {c.prior_components, c.channels, c.height, c.width},
                    {c.prior_components, c.channels, c.height, c.width}, {0, 2, 3, 1}, 0);
}

Tensor Vae::pseudo_inputs(Graph& g, const Weights& w) const {
    require(config_.prior == "vamp", "the prior ", config_.prior, " has no pseudo-inputs");
    for (size_t i = 0; i < definitions_.size(); i++)
        if (definitions_[i].name == "prior.pseudo_inputs")
            return activate(g, w.tensors[i], Activation::sigmoid);
    fail(Status::data, "the model has no parameter prior.pseudo_inputs");
}

std::span<const Prior> priors() { return kPriors; }

const Prior& find_prior(const std::string& name) {
    std::string known;
    for (const Prior& prior : kPriors) {
        if (name == prior.name)
            return prior;
        known += concat_text(known.empty() ? "" : ", ", prior.name);
    }
    fail(Status::data, "unknown prior '", name, "'; known are ", known);
}

} // namespace vkvae
