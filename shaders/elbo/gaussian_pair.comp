// Gaussian likelihood whose mean m and log standard deviation s are both of each element:
// nll = (x-m)^2 e^(-2s) / 2 + s + log(2 pi)/2. s counts as at least -7 and at most 7 (no gradient beyond): a density has
// no largest value, and a pixel that is the same in all data would send s to minus infinity.
//
// variants: gaussian_pair | gaussian_pair_mean -DMEAN
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/likelihood_wide.glsl"

float log_sigma() { return clamp(parameter(1), -7.0, 7.0); }
float standardised(float x) { return (x - parameter(0)) * exp(-log_sigma()); }

float nll(float x) {
    float u = standardised(x);
    return 0.5 * u * u + log_sigma() + 0.918938533; // log(2 pi) / 2
}
void nll_gradient(float x) {
    float u = standardised(x);
    put(0, -u * exp(-log_sigma()));
    put(1, parameter(1) == log_sigma() ? 1.0 - u * u : 0.0);
}
float mean() { return parameter(0); }
