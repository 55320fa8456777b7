// Gaussian likelihood with mean p and one log standard deviation s: nll = (x-p)^2 e^(-2s) / 2 + s + log(2 pi)/2.
#version 450
#extension GL_GOOGLE_include_directive : require
#define HAS_SIGMA
#include "common/index.glsl"
#include "common/likelihood.glsl"

float precision_factor() { return exp(-2.0 * log_sigma[0]); }
float nll(float x, float p) {
    return 0.5 * (x - p) * (x - p) * precision_factor() + log_sigma[0] + 0.918938533; // log(2 pi) / 2
}
float nll_gradient(float x, float p) { return (p - x) * precision_factor(); }
float nll_sigma_gradient(float x, float p) { return 1.0 - (x - p) * (x - p) * precision_factor(); }
