// A mixture of K logistic distributions cut into 256 levels, x = 0, 1/255, ... 1. In y = 2x - 1, the levels' distance is
// 2/255, component k has the mean m and the log scale s, and with a, b = (y - m +- 1/255) e^(-s)
//   P_k(x) = sigmoid(a) - sigmoid(b), but sigmoid(a) at the lowest and 1 - sigmoid(b) at the highest level,
//   -log P_k(x) = softplus(-a) + softplus(b) - log(1 - e^(b-a)), without those that such a level does not have,
//   nll = -log sum_k softmax(l)_k P_k(x)
// Parameters: K logits l, K means, K log scales; a single component has no logit. s counts as at least -7 and at most 7 (no
// gradient beyond). The mixture is of each channel by itself.
// Source: Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow", appendix; Salimans et
// al. 2017, "PixelCNN++", section 2.1. The difference of sigmoids in closed form needs no case for small ones.
//
// variants: discretised_logistic | discretised_logistic_mean -DMEAN
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/index.glsl"
#include "common/likelihood_wide.glsl"

uint components() { return size == 2 ? 1 : size / 3; }
uint first_mean() { return size == 2 ? 0 : components(); }
float log_scale(uint k) { return clamp(parameter(first_mean() + components() + k), -7.0, 7.0); }

// What the level of x is bounded by.
struct Level {
    float a, b, width; // a - b
    bool lower, upper; // whether there are levels below and above
};
Level level(float x, uint k) {
    float y = 2.0 * x - 1.0 - parameter(first_mean() + k), per_scale = exp(-log_scale(k));
    return Level((y + 1.0 / 255.0) * per_scale, (y - 1.0 / 255.0) * per_scale, 2.0 / 255.0 * per_scale,
                 x > 0.5 / 255.0, x < 254.5 / 255.0);
}
float component_nll(float x, uint k) {
    Level v = level(x, k);
    return (v.upper ? softplus(-v.a) : 0.0) + (v.lower ? softplus(v.b) : 0.0) -
           (v.lower && v.upper ? log(-expm1_stable(-v.width)) : 0.0);
}

// Of the logits, or of what they become for x: logits - nll of each component.
float logit(uint k) { return size == 2 ? 0.0 : parameter(k); }
float log_sum() {
    float largest = logit(0), total = 0.0;
    for (uint k = 1; k < components(); k++)
        largest = max(largest, logit(k));
    for (uint k = 0; k < components(); k++)
        total += exp(logit(k) - largest);
    return largest + log(total);
}
float log_sum_for(float x) {
    float largest = logit(0) - component_nll(x, 0), total = 0.0;
    for (uint k = 1; k < components(); k++)
        largest = max(largest, logit(k) - component_nll(x, k));
    for (uint k = 0; k < components(); k++)
        total += exp(logit(k) - component_nll(x, k) - largest);
    return largest + log(total);
}

float nll(float x) { return size == 2 ? component_nll(x, 0) : log_sum() - log_sum_for(x); }
void nll_gradient(float x) {
    float prior = size == 2 ? 0.0 : log_sum(), posterior = size == 2 ? 0.0 : log_sum_for(x);
    for (uint k = 0; k < components(); k++) {
        float share = size == 2 ? 1.0 : exp(logit(k) - component_nll(x, k) - posterior);
        if (size > 2)
            put(k, exp(logit(k) - prior) - share);
        Level v = level(x, k);
        float da = v.upper ? sigmoid(-v.a) : 0.0, db = v.lower ? sigmoid(v.b) : 0.0;
        put(first_mean() + k, share * (da - db) * exp(-log_scale(k)));
        float ds = v.a * da - v.b * db; // and of the width:
        if (v.lower && v.upper)
            ds += v.width * exp(-v.width) / -expm1_stable(-v.width);
        bool limited = parameter(first_mean() + components() + k) != log_scale(k);
        put(first_mean() + components() + k, limited ? 0.0 : share * ds);
    }
}
// The components' means, in the data's range: what lies beyond it is at its end.
float mean() {
    float total = 0.0, s = log_sum();
    for (uint k = 0; k < components(); k++)
        total += exp(logit(k) - s) * clamp(0.5 * parameter(first_mean() + k) + 0.5, 0.0, 1.0);
    return total;
}
