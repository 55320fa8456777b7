// Continuous Bernoulli likelihood with logits p, x in [0,1]: nll = A(p) - x p with the log normaliser
// A(p) = log of the integral of e^(p x) over [0,1] = log((e^p - 1) / p), whose derivative is the mean.
// Source: Loaiza-Ganem and Cunningham 2019, "The continuous Bernoulli: fixing a pervasive error in variational
// autoencoders", section 3; in logits the normaliser has no other form at 1/2. Where e^p - 1 would cancel, Taylor series.
//
// variants: continuous_bernoulli | continuous_bernoulli_mean -DMEAN
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/index.glsl"
#include "common/likelihood_wide.glsl"

float log_normaliser(float p) {
    float a = abs(p), q = p * p;
    if (a < 1.0) // next term: p^8 / 9676800
        return 0.5 * p + q * (1.0 / 24.0 + q * (-1.0 / 2880.0 + q * (1.0 / 181440.0)));
    return max(p, 0.0) + log((1.0 - exp(-a)) / a);
}

float mean() {
    float p = parameter(0), a = abs(p), q = p * p;
    if (a < 1.0) // next term: p^9 / 47900160
        return 0.5 + p * (1.0 / 12.0 + q * (-1.0 / 720.0 + q * (1.0 / 30240.0 - q * (1.0 / 1209600.0))));
    float e = exp(-a), below = 1.0 / a - e / (1.0 - e); // the mean for -a
    return p < 0.0 ? below : 1.0 - below;
}

float nll(float x) { return log_normaliser(parameter(0)) - x * parameter(0); }
void nll_gradient(float x) { put(0, mean() - x); }
