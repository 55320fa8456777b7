// Bernoulli likelihood with logits p: nll = softplus(p) - x p, without overflow for any p.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/index.glsl"
#include "common/likelihood.glsl"

float nll(float x, float p) { return softplus(p) - x * p; }
float nll_gradient(float x, float p) { return sigmoid(p) - x; }
