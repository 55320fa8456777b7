// Categorical likelihood: x is one of 0, 1, ... size - 1, the parameters are the logits l of these classes.
// nll = log sum_k e^(l_k) - l_x,  dl_k = softmax(l)_k - [k = x]. For the mean, which means nothing here, the most probable
// class, the first of equal ones.
//
// variants: categorical | categorical_mean -DMEAN
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/likelihood_wide.glsl"

float log_sum() {
    float largest = parameter(0), total = 0.0;
    for (uint k = 1; k < size; k++)
        largest = max(largest, parameter(k));
    for (uint k = 0; k < size; k++)
        total += exp(parameter(k) - largest);
    return largest + log(total);
}
// Data are checked before they come here; whatever else there is stays inside of the row.
uint class_of(float x) { return min(uint(x), size - 1); }

float nll(float x) { return log_sum() - parameter(class_of(x)); }
void nll_gradient(float x) {
    float s = log_sum();
    for (uint k = 0; k < size; k++)
        put(k, exp(parameter(k) - s) - (k == class_of(x) ? 1.0 : 0.0));
}
float mean() {
    uint best = 0;
    for (uint k = 1; k < size; k++)
        best = parameter(k) > parameter(best) ? k : best;
    return float(best);
}
