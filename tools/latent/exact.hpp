// Functions whose values are the same bit for bit on every machine: the two ends of an entropy coder must agree on
// every probability. Only + - * / and exact functions (floor, ldexp) are used, and the build forbids fused
// multiply-adds here.
#pragma once

#include <cmath>

namespace vkvae {

double exact_exp(double x);       // within an ulp or two of e^x
double normal_cdf(double x);      // of N(0, 1), within 1e-15
double normal_quantile(double p); // its inverse, for 0 < p < 1; within 1e-12 of where the rounded cdf has p
double logistic_cdf(double x);    // 1 / (1 + e^-x)

} // namespace vkvae
