// Activations and their derivatives, numbered like enum class Activation in vkvae/ops.hpp.
// The derivative gets x (input) and y (output), and uses x alone for silu and gelu, y alone for the others.
const uint ACT_NONE = 0, ACT_RELU = 1, ACT_LEAKY_RELU = 2, ACT_ELU = 3, ACT_SILU = 4, ACT_GELU = 5, ACT_SIGMOID = 6,
           ACT_TANH = 7, ACT_SOFTPLUS = 8;
const float LEAKY_SLOPE = 0.01; // PyTorch's default

// 1/(1+e^-x) without overflow on either side.
float sigmoid(float x) {
    float e = exp(-abs(x));
    float s = 1.0 / (1.0 + e);
    return x >= 0.0 ? s : e * s;
}

// e^x - 1 where e^x - 1 itself would cancel: x + x^2/2! + ... to 6 terms below 1/4, relative error < 1e-7.
float expm1_stable(float x) {
    float series = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0))))));
    return abs(x) < 0.25 ? series : exp(x) - 1.0;
}

// log(1+e), e in [0, 1]; GLSL's log has an absolute error of 2^-21 near 1, the series keeps the tail relative.
float log1p_stable(float e) {
    float series = e * (1.0 + e * (-0.5 + e * (1.0 / 3.0 + e * (-0.25 + e * 0.2))));
    return e < 0.03125 ? series : log(1.0 + e);
}

float softplus(float x) { return max(x, 0.0) + log1p_stable(exp(-abs(x))); }

// Native tanh overflows in some drivers for large |x|; near 0 the quotient would cancel.
float tanh_stable(float x) {
    float a = expm1_stable(-2.0 * abs(x));
    float t = -a / (2.0 + a);
    return x >= 0.0 ? t : -t;
}

// Abramowitz and Stegun 7.1.26, absolute error 1.5e-7.
float erf_approx(float x) {
    float a = abs(x);
    float t = 1.0 / (1.0 + 0.3275911 * a);
    float p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    float r = 1.0 - p * exp(-a * a);
    return x >= 0.0 ? r : -r;
}

float activate(uint kind, float x) {
    switch (kind) {
    case ACT_RELU:
        return max(x, 0.0);
    case ACT_LEAKY_RELU:
        return x >= 0.0 ? x : LEAKY_SLOPE * x;
    case ACT_ELU:
        return x >= 0.0 ? x : expm1_stable(x);
    case ACT_SILU:
        return x * sigmoid(x);
    case ACT_GELU:
        return 0.5 * x * (1.0 + erf_approx(x * 0.70710678));
    case ACT_SIGMOID:
        return sigmoid(x);
    case ACT_TANH:
        return tanh_stable(x);
    case ACT_SOFTPLUS:
        return softplus(x);
    default:
        return x;
    }
}

float activate_derivative(uint kind, float x, float y) {
    switch (kind) {
    case ACT_RELU:
        return y > 0.0 ? 1.0 : 0.0;
    case ACT_LEAKY_RELU:
        return y >= 0.0 ? 1.0 : LEAKY_SLOPE;
    case ACT_ELU:
        return y >= 0.0 ? 1.0 : y + 1.0;
    case ACT_SILU: {
        float s = sigmoid(x);
        return s * (1.0 + x * (1.0 - s));
    }
    case ACT_GELU: // Phi(x) + x phi(x)
        return 0.5 * (1.0 + erf_approx(x * 0.70710678)) + x * 0.39894228 * exp(-0.5 * x * x);
    case ACT_SIGMOID:
        return y * (1.0 - y);
    case ACT_TANH:
        return 1.0 - y * y;
    case ACT_SOFTPLUS: // sigmoid(x) = 1 - e^-softplus(x)
        return -expm1_stable(-y);
    default:
        return 1.0;
    }
}
