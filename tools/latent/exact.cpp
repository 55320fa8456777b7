// Exactly reproducible exp, and what is made of it.
#include "latent/exact.hpp"

#include <algorithm>

namespace vkvae {

// e^x = 2^k e^r with |r| <= ln(2)/2, e^r by its Taylor series: 0.35^15 / 15! < 2^-53.
double exact_exp(double x) {
    if (x < -700)
        return 0;
    x = std::min(x, 700.0);
    constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33; // the high part times k is exact
    double k = std::floor(x * 1.4426950408889634 + 0.5);
    double r = (x - k * kLn2High) - k * kLn2Low;
    double sum = 1;
    for (int n = 15; n >= 1; n--)
        sum = 1 + sum * r / n;
    return std::ldexp(sum, int(k));
}

// 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + x^7/(3 5 7) + ...): Marsaglia 2004, "Evaluating the normal distribution".
double normal_cdf(double x) {
    if (!(x > -9 && x < 9))
        return x > 0 ? 1 : 0;
    double square = x * x, term = x, sum = x;
    for (int n = 3; sum + term != sum; n += 2) {
        term = term * square / n;
        sum += term;
    }
    double value = 0.5 + sum * exact_exp(-0.5 * square) * 0.3989422804014327;
    return std::clamp(value, 0.0, 1.0);
}

double normal_quantile(double p) {
    double low = -9, high = 9;
    for (int i = 0; i < 54; i++) {
        double middle = 0.5 * (low + high);
        (normal_cdf(middle) < p ? low : high) = middle;
    }
    return 0.5 * (low + high);
}

double logistic_cdf(double x) {
    double e = exact_exp(x < 0 ? x : -x); // never large
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

} // namespace vkvae
