// Negative binomial likelihood with log mean p and log dispersion d, x = 0, 1, 2, ...: the variance is m + e^d m^2 for
// the mean m = e^p. With r = e^-d and t = p + d
//   nll = r softplus(t) + x softplus(-t) - log Gamma(x + r) + log Gamma(r) + log x!
//   dp = (m - x) sigmoid(-t),  dd = dp - r softplus(t) + r (psi(x + r) - psi(r))
// d counts as at least -15 and at most 15 (no gradient beyond). The usual model of gene counts: Lopez et al. 2018, "Deep
// generative modeling for single-cell transcriptomics".
//
// variants: negative_binomial | negative_binomial_mean -DMEAN
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/gamma.glsl"
#include "common/index.glsl"
#include "common/likelihood_wide.glsl"

float log_dispersion() { return clamp(parameter(1), -15.0, 15.0); }

float nll(float x) {
    float d = log_dispersion(), r = exp(-d), t = parameter(0) + d;
    return r * softplus(t) + (x * softplus(-t) - log_rising(r, x)) + log_factorial(x);
}
void nll_gradient(float x) {
    float d = log_dispersion(), r = exp(-d), t = parameter(0) + d;
    float dp = (exp(parameter(0)) - x) * sigmoid(-t);
    put(0, dp);
    put(1, parameter(1) == d ? dp - r * (softplus(t) - digamma_rise(r, x)) : 0.0);
}
float mean() { return exp(parameter(0)); }
