// Poisson likelihood with log rate p: nll = e^p - x p + log x!, x = 0, 1, 2, ...
//
// variants: poisson | poisson_mean -DMEAN
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/gamma.glsl"
#include "common/index.glsl"
#include "common/likelihood_wide.glsl"

float nll(float x) { return exp(parameter(0)) - x * parameter(0) + log_factorial(x); }
void nll_gradient(float x) { put(0, exp(parameter(0)) - x); }
float mean() { return exp(parameter(0)); }
