// Laplace likelihood with median p and one log scale s: nll = |x-p| e^(-s) + s + log 2.
#version 450
#extension GL_GOOGLE_include_directive : require
#define HAS_SIGMA
#include "common/index.glsl"
#include "common/likelihood.glsl"

float per_scale() { return exp(-log_sigma[0]); }
float nll(float x, float p) { return abs(x - p) * per_scale() + log_sigma[0] + 0.693147181; }
float nll_gradient(float x, float p) { return sign(p - x) * per_scale(); }
float nll_sigma_gradient(float x, float p) { return 1.0 - abs(x - p) * per_scale(); }
