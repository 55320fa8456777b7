// The logarithm of the gamma function, as counts need it: with differences taken before they could cancel. Needs
// common/activation.glsl. Stirling's series and its shift: Abramowitz and Stegun 6.1.40, 6.3.18, 6.1.15.

// log Gamma(z) - ((z - 1/2) log z - z + log(2 pi) / 2), z >= 8: within 3e-8.
float stirling_tail(float z) {
    float i = 1.0 / z;
    return i * (0.0833333333 - 0.00277777778 * i * i);
}

// log x!, x = 0, 1, 2, ...
float log_factorial(float x) {
    if (x < 8.0) {
        float product = 1.0;
        for (float i = 2.0; i <= x; i += 1.0)
            product *= i;
        return log(product);
    }
    float z = x + 1.0;
    return (x + 0.5) * log(z) - z + 0.918938533 + stirling_tail(z); // log(2 pi) / 2
}

// log Gamma(r + x) - log Gamma(r) = log( r (r+1) ... (r+x-1) ), x >= 0, r > 0. Below 8 the series starts 8 further on.
float log_rising(float r, float x) {
    float below = 0.0;
    if (r < 8.0) {
        float a = 1.0, b = 1.0; // two products, as one of all could underflow
        for (float i = 1.0; i <= 3.0; i += 1.0) {
            a *= (r + i) / (r + i + x);
            b *= (r + i + 3.0) / (r + i + 3.0 + x);
        }
        below = log(r / (r + x)) + log(a) + log(b * ((r + 7.0) / (r + 7.0 + x)));
        r += 8.0;
    }
    float z = r + x;
    return (r - 0.5) * log1p_stable(x / r) + x * (log(z) - 1.0) + (stirling_tail(z) - stirling_tail(r)) + below;
}

// psi(r + x) - psi(r) = 1/r + 1/(r+1) + ... + 1/(r+x-1): the derivative of log_rising for r.
float digamma_rise(float r, float x) {
    float below = 0.0;
    if (r < 8.0) {
        for (float i = 0.0; i < 8.0; i += 1.0)
            below += x / ((r + i) * (r + i + x));
        r += 8.0;
    }
    float z = r + x, a = 1.0 / (r * r), b = 1.0 / (z * z);
    return log1p_stable(x / r) + 0.5 * x / (r * z) + (a - b) * (0.0833333333 - 0.00833333333 * (a + b)) + below;
}
