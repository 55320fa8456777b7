// The double-precision reference: every operation as the plainest loop that says its formula. Tests compare the GPU's
// f32 with these, and these with PyTorch's definitions and central differences. Slow on purpose, and in one header so
// that all the formulas can be read in one place; nothing of the library is included.
// Layouts are the library's internal ones: images NHWC, dense weights [in][out], convolution weights [KH][KW][..][..].
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace reference {

using Values = std::vector<double>;

// A test that gets a shape wrong should say so, not read past the end.
inline void expect_size(const Values& values, size_t size, const char* what) {
    if (values.size() != size)
        throw std::invalid_argument(std::string("reference: ") + what + " has " + std::to_string(values.size()) +
                                    " elements, expected " + std::to_string(size));
}

inline void expect(bool ok, const char* what) {
    if (!ok)
        throw std::invalid_argument(std::string("reference: ") + what);
}

// ---- Matrix products ------------------------------------------------------------------------------------------------

enum class MatmulForm { nn, nt, tn };

// C = op(A) op(B), C (M, N):  c[i][j] = sum_k op(a)[i][k] op(b)[k][j]
//   nn: A (M, K), B (K, N)    nt: A (M, K), B (N, K)    tn: A (K, M), B (K, N)
inline Values matmul(const Values& a, const Values& b, size_t m, size_t n, size_t k, MatmulForm form = MatmulForm::nn) {
    expect_size(a, m * k, "matmul a");
    expect_size(b, k * n, "matmul b");
    Values c(m * n, 0.0);
    for (size_t i = 0; i < m; ++i)
        for (size_t j = 0; j < n; ++j)
            for (size_t l = 0; l < k; ++l) {
                const double left = form == MatmulForm::tn ? a[l * m + i] : a[i * k + l];
                const double right = form == MatmulForm::nt ? b[j * k + l] : b[l * n + j];
                c[i * n + j] += left * right;
            }
    return c;
}

// y[i][j] = sum_k x[i][k] w[k][j] + bias[j];  x (N, K), w (K, M), bias (M) or empty, y (N, M)
inline Values linear(const Values& x, const Values& w, const Values& bias, size_t n, size_t k, size_t m) {
    Values y = matmul(x, w, n, m, k);
    if (!bias.empty()) {
        expect_size(bias, m, "linear bias");
        for (size_t i = 0; i < n; ++i)
            for (size_t j = 0; j < m; ++j)
                y[i * m + j] += bias[j];
    }
    return y;
}

// ---- Convolutions ---------------------------------------------------------------------------------------------------

struct Pads {
    size_t top = 0, left = 0, bottom = 0, right = 0;
};

struct Conv2d {
    size_t n = 1, h = 1, w = 1, cin = 1, cout = 1, kh = 1, kw = 1, stride = 1;
    Pads pads = {};

    size_t out_h() const {
        expect(h + pads.top + pads.bottom >= kh, "conv2d: kernel higher than the padded image");
        return (h + pads.top + pads.bottom - kh) / stride + 1;
    }
    size_t out_w() const {
        expect(w + pads.left + pads.right >= kw, "conv2d: kernel wider than the padded image");
        return (w + pads.left + pads.right - kw) / stride + 1;
    }
};

// y[n][oh][ow][co] = bias[co] + sum_{kh,kw,ci} x[n][oh s - top + kh][ow s - left + kw][ci] weight[kh][kw][ci][co],
// zero outside;  x (N, H, W, Cin), weight (KH, KW, Cin, Cout), bias (Cout) or empty, y (N, OH, OW, Cout)
inline Values conv2d(const Values& x, const Values& weight, const Values& bias, const Conv2d& c) {
    expect_size(x, c.n * c.h * c.w * c.cin, "conv2d x");
    expect_size(weight, c.kh * c.kw * c.cin * c.cout, "conv2d weight");
    if (!bias.empty())
        expect_size(bias, c.cout, "conv2d bias");
    const size_t oh_count = c.out_h(), ow_count = c.out_w();
    Values y(c.n * oh_count * ow_count * c.cout, 0.0);
    for (size_t n = 0; n < c.n; ++n)
        for (size_t oh = 0; oh < oh_count; ++oh)
            for (size_t ow = 0; ow < ow_count; ++ow)
                for (size_t co = 0; co < c.cout; ++co) {
                    double sum = bias.empty() ? 0.0 : bias[co];
                    for (size_t kh = 0; kh < c.kh; ++kh)
                        for (size_t kw = 0; kw < c.kw; ++kw) {
                            const size_t padded_h = oh * c.stride + kh, padded_w = ow * c.stride + kw;
                            if (padded_h < c.pads.top || padded_h >= c.pads.top + c.h || padded_w < c.pads.left ||
                                padded_w >= c.pads.left + c.w)
                                continue;
                            const size_t ih = padded_h - c.pads.top, iw = padded_w - c.pads.left;
                            for (size_t ci = 0; ci < c.cin; ++ci)
                                sum += x[((n * c.h + ih) * c.w + iw) * c.cin + ci] *
                                       weight[((kh * c.kw + kw) * c.cin + ci) * c.cout + co];
                        }
                    y[((n * oh_count + oh) * ow_count + ow) * c.cout + co] = sum;
                }
    return y;
}

struct ConvTranspose2d {
    size_t n = 1, h = 1, w = 1, cin = 1, cout = 1, kh = 1, kw = 1, stride = 1, padding = 0, output_padding = 0;

    // PyTorch: OH = (H - 1) s - 2 p + KH + output_padding
    size_t out_h() const { return out_extent(h, kh); }
    size_t out_w() const { return out_extent(w, kw); }

  private:
    size_t out_extent(size_t extent, size_t kernel) const {
        const size_t full = (extent - 1) * stride + kernel + output_padding;
        expect(full > 2 * padding, "conv_transpose2d: padding leaves no output");
        return full - 2 * padding;
    }
};

// Every input pixel adds its weighted kernel to the output:
// y[n][ih s - p + kh][iw s - p + kw][co] += x[n][ih][iw][ci] weight[kh][kw][co][ci], plus bias[co] everywhere;
// x (N, H, W, Cin), weight (KH, KW, Cout, Cin), bias (Cout) or empty, y (N, OH, OW, Cout).
// With the same buffer as weight it is the adjoint of the convolution Cout -> Cin.
inline Values conv_transpose2d(const Values& x, const Values& weight, const Values& bias, const ConvTranspose2d& c) {
    expect_size(x, c.n * c.h * c.w * c.cin, "conv_transpose2d x");
    expect_size(weight, c.kh * c.kw * c.cout * c.cin, "conv_transpose2d weight");
    if (!bias.empty())
        expect_size(bias, c.cout, "conv_transpose2d bias");
    const size_t oh_count = c.out_h(), ow_count = c.out_w();
    Values y(c.n * oh_count * ow_count * c.cout, 0.0);
    if (!bias.empty())
        for (size_t i = 0; i < y.size(); ++i)
            y[i] = bias[i % c.cout];
    for (size_t n = 0; n < c.n; ++n)
        for (size_t ih = 0; ih < c.h; ++ih)
            for (size_t iw = 0; iw < c.w; ++iw)
                for (size_t kh = 0; kh < c.kh; ++kh)
                    for (size_t kw = 0; kw < c.kw; ++kw) {
                        const size_t padded_h = ih * c.stride + kh, padded_w = iw * c.stride + kw;
                        if (padded_h < c.padding || padded_h >= c.padding + oh_count || padded_w < c.padding ||
                            padded_w >= c.padding + ow_count)
                            continue;
                        const size_t oh = padded_h - c.padding, ow = padded_w - c.padding;
                        for (size_t co = 0; co < c.cout; ++co)
                            for (size_t ci = 0; ci < c.cin; ++ci)
                                y[((n * oh_count + oh) * ow_count + ow) * c.cout + co] +=
                                    x[((n * c.h + ih) * c.w + iw) * c.cin + ci] *
                                    weight[((kh * c.kw + kw) * c.cout + co) * c.cin + ci];
                    }
    return y;
}

// ---- Elementwise ----------------------------------------------------------------------------------------------------

template <class Function> Values map(const Values& x, Function f) {
    Values y(x.size());
    for (size_t i = 0; i < x.size(); ++i)
        y[i] = f(x[i]);
    return y;
}

inline double sigmoid(double x) {
    return x >= 0.0 ? 1.0 / (1.0 + std::exp(-x)) : std::exp(x) / (1.0 + std::exp(x));
}
// log(1 + e^x), without overflow. (PyTorch returns x above 20: 2e-9 away.)
inline double softplus(double x) {
    return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}
// Phi and phi, the distribution function and density of the standard normal.
inline double normal_cdf(double x) {
    return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}
inline double normal_pdf(double x) {
    return std::exp(-0.5 * x * x) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
}

enum class Activation { relu, leaky_relu, elu, silu, gelu, sigmoid, tanh, softplus };

inline constexpr std::initializer_list<Activation> kActivations = {
    Activation::relu, Activation::leaky_relu, Activation::elu,  Activation::silu,
    Activation::gelu, Activation::sigmoid,    Activation::tanh, Activation::softplus};

inline constexpr double kLeakySlope = 0.01; // PyTorch's default

inline double activate(Activation activation, double x) {
    switch (activation) {
    case Activation::relu: // max(x, 0)
        return x > 0.0 ? x : 0.0;
    case Activation::leaky_relu: // x for x > 0, else 0.01 x
        return x > 0.0 ? x : kLeakySlope * x;
    case Activation::elu: // x for x > 0, else e^x - 1
        return x > 0.0 ? x : std::expm1(x);
    case Activation::silu: // x sigmoid(x)
        return x * sigmoid(x);
    case Activation::gelu: // x Phi(x), the exact (erf) form
        return x * normal_cdf(x);
    case Activation::sigmoid: // 1 / (1 + e^-x)
        return sigmoid(x);
    case Activation::tanh:
        return std::tanh(x);
    case Activation::softplus: // log(1 + e^x)
        return softplus(x);
    }
    throw std::invalid_argument("reference: unknown activation");
}

// d activate / dx; 0 for relu and 0.01 for leaky_relu at 0, as in PyTorch.
inline double activation_derivative(Activation activation, double x) {
    const double s = sigmoid(x);
    switch (activation) {
    case Activation::relu:
        return x > 0.0 ? 1.0 : 0.0;
    case Activation::leaky_relu:
        return x > 0.0 ? 1.0 : kLeakySlope;
    case Activation::elu:
        return x > 0.0 ? 1.0 : std::exp(x);
    case Activation::silu: // s + x s (1 - s)
        return s * (1.0 + x * (1.0 - s));
    case Activation::gelu: // Phi(x) + x phi(x)
        return normal_cdf(x) + x * normal_pdf(x);
    case Activation::sigmoid: // s (1 - s)
        return s * (1.0 - s);
    case Activation::tanh: // 1 - tanh^2
        return 1.0 - std::tanh(x) * std::tanh(x);
    case Activation::softplus:
        return s;
    }
    throw std::invalid_argument("reference: unknown activation");
}

inline Values activate(Activation activation, const Values& x) {
    return map(x, [&](double value) { return activate(activation, value); });
}

// y[i] = a[i] op b[i mod |b|]: b has a's shape, or the last dimensions of it (a bias), or one element.
template <class Function> Values broadcast(const Values& a, const Values& b, Function f) {
    expect(!b.empty() && a.size() % b.size() == 0, "broadcast: b's size does not divide a's");
    Values y(a.size());
    for (size_t i = 0; i < a.size(); ++i)
        y[i] = f(a[i], b[i % b.size()]);
    return y;
}

inline Values add(const Values& a, const Values& b) {
    return broadcast(a, b, [](double x, double y) { return x + y; });
}
inline Values sub(const Values& a, const Values& b) {
    return broadcast(a, b, [](double x, double y) { return x - y; });
}
inline Values mul(const Values& a, const Values& b) {
    return broadcast(a, b, [](double x, double y) { return x * y; });
}
// y = factor x
inline Values scale(const Values& x, double factor) {
    return map(x, [&](double value) { return factor * value; });
}

// sum_i a[i] b[i]
inline double dot(const Values& a, const Values& b) {
    expect_size(b, a.size(), "dot b");
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i)
        sum += a[i] * b[i];
    return sum;
}

// ---- Reductions, softmax, norms -------------------------------------------------------------------------------------

enum class Reduction { sum, mean, max };

// y[o][i] = op over a of x[o][a][i];  x (outer, axis, inner), y (outer, inner)
inline Values reduce(const Values& x, size_t outer, size_t axis, size_t inner, Reduction op) {
    expect_size(x, outer * axis * inner, "reduce x");
    expect(axis > 0 || op == Reduction::sum, "reduce: an empty axis has no mean and no maximum");
    Values y(outer * inner);
    for (size_t o = 0; o < outer; ++o)
        for (size_t i = 0; i < inner; ++i) {
            double sum = 0.0, maximum = -std::numeric_limits<double>::infinity();
            for (size_t a = 0; a < axis; ++a) {
                const double value = x[(o * axis + a) * inner + i];
                sum += value;
                maximum = std::max(maximum, value);
            }
            y[o * inner + i] = op == Reduction::sum    ? sum
                               : op == Reduction::mean ? sum / static_cast<double>(axis)
                                                       : maximum;
        }
    return y;
}

// y[r][c] = e^(x[r][c] - m_r) / sum_j e^(x[r][j] - m_r), m_r = max_j x[r][j];  x, y (rows, cols)
inline Values softmax(const Values& x, size_t rows, size_t cols) {
    expect_size(x, rows * cols, "softmax x");
    Values y(x.size());
    for (size_t r = 0; r < rows; ++r) {
        const auto row = x.begin() + static_cast<std::ptrdiff_t>(r * cols);
        const double maximum = cols == 0 ? 0.0 : *std::max_element(row, row + static_cast<std::ptrdiff_t>(cols));
        double sum = 0.0;
        for (size_t c = 0; c < cols; ++c)
            sum += std::exp(x[r * cols + c] - maximum);
        for (size_t c = 0; c < cols; ++c)
            y[r * cols + c] = std::exp(x[r * cols + c] - maximum) / sum;
    }
    return y;
}

// y = gamma[c] (x - mean) / sqrt(var + eps) + beta[c], mean and biased variance over every (s, c in the group) of each
// sample;  x, y (N, S, C) with S = H W, gamma, beta (C) or empty
inline Values group_norm(const Values& x, const Values& gamma, const Values& beta, size_t n, size_t s, size_t c,
                         size_t groups, double eps) {
    expect_size(x, n * s * c, "group_norm x");
    expect(groups > 0 && c % groups == 0, "group_norm: the groups do not divide the channels");
    if (!gamma.empty())
        expect_size(gamma, c, "group_norm gamma");
    if (!beta.empty())
        expect_size(beta, c, "group_norm beta");
    const size_t width = c / groups;
    const double count = static_cast<double>(s * width);
    Values y(x.size());
    for (size_t in = 0; in < n; ++in)
        for (size_t g = 0; g < groups; ++g) {
            double mean = 0.0, variance = 0.0;
            for (size_t is = 0; is < s; ++is)
                for (size_t ic = g * width; ic < (g + 1) * width; ++ic)
                    mean += x[(in * s + is) * c + ic] / count;
            for (size_t is = 0; is < s; ++is)
                for (size_t ic = g * width; ic < (g + 1) * width; ++ic) {
                    const double centred = x[(in * s + is) * c + ic] - mean;
                    variance += centred * centred / count;
                }
            for (size_t is = 0; is < s; ++is)
                for (size_t ic = g * width; ic < (g + 1) * width; ++ic) {
                    const double normalized = (x[(in * s + is) * c + ic] - mean) / std::sqrt(variance + eps);
                    y[(in * s + is) * c + ic] =
                        (gamma.empty() ? 1.0 : gamma[ic]) * normalized + (beta.empty() ? 0.0 : beta[ic]);
                }
        }
    return y;
}

// y[r][c] = gamma[c] (x[r][c] - mean_r) / sqrt(var_r + eps) + beta[c], biased variance of the row;
// x, y (rows, cols), gamma, beta (cols) or empty
inline Values layer_norm(const Values& x, const Values& gamma, const Values& beta, size_t rows, size_t cols,
                         double eps) {
    expect_size(x, rows * cols, "layer_norm x");
    if (!gamma.empty())
        expect_size(gamma, cols, "layer_norm gamma");
    if (!beta.empty())
        expect_size(beta, cols, "layer_norm beta");
    const double count = static_cast<double>(cols);
    Values y(x.size());
    for (size_t r = 0; r < rows; ++r) {
        double mean = 0.0, variance = 0.0;
        for (size_t c = 0; c < cols; ++c)
            mean += x[r * cols + c] / count;
        for (size_t c = 0; c < cols; ++c)
            variance += (x[r * cols + c] - mean) * (x[r * cols + c] - mean) / count;
        for (size_t c = 0; c < cols; ++c)
            y[r * cols + c] = (gamma.empty() ? 1.0 : gamma[c]) * (x[r * cols + c] - mean) / std::sqrt(variance + eps) +
                              (beta.empty() ? 0.0 : beta[c]);
    }
    return y;
}

// ---- Shapes ---------------------------------------------------------------------------------------------------------

// y[n][oh][ow][c] = x[n][oh / 2][ow / 2][c];  x (N, H, W, C), y (N, 2H, 2W, C)
inline Values upsample_nearest2x(const Values& x, size_t n, size_t h, size_t w, size_t c) {
    expect_size(x, n * h * w * c, "upsample_nearest2x x");
    Values y(4 * x.size());
    for (size_t in = 0; in < n; ++in)
        for (size_t oh = 0; oh < 2 * h; ++oh)
            for (size_t ow = 0; ow < 2 * w; ++ow)
                for (size_t ic = 0; ic < c; ++ic)
                    y[((in * 2 * h + oh) * 2 * w + ow) * c + ic] = x[((in * h + oh / 2) * w + ow / 2) * c + ic];
    return y;
}

// y[o] = x_0[o], x_1[o], ... one after the other along the axis;  x_i (outer, axes[i], inner)
inline Values concat(const std::vector<Values>& inputs, size_t outer, const std::vector<size_t>& axes, size_t inner) {
    expect(inputs.size() == axes.size(), "concat: one axis size per input");
    for (size_t k = 0; k < inputs.size(); ++k)
        expect_size(inputs[k], outer * axes[k] * inner, "concat input");
    Values y;
    for (size_t o = 0; o < outer; ++o)
        for (size_t k = 0; k < inputs.size(); ++k)
            for (size_t i = 0; i < axes[k] * inner; ++i)
                y.push_back(inputs[k][o * axes[k] * inner + i]);
    return y;
}

// y[o][a][i] = x[o][begin + a][i], a < length;  x (outer, axis, inner), y (outer, length, inner)
inline Values slice(const Values& x, size_t outer, size_t axis, size_t inner, size_t begin, size_t length) {
    expect_size(x, outer * axis * inner, "slice x");
    expect(begin + length <= axis, "slice: past the end of the axis");
    Values y;
    for (size_t o = 0; o < outer; ++o)
        for (size_t a = 0; a < length; ++a)
            for (size_t i = 0; i < inner; ++i)
                y.push_back(x[(o * axis + begin + a) * inner + i]);
    return y;
}

// ---- The variational part -------------------------------------------------------------------------------------------

// z = mu + e^(logvar / 2) eps;  all (N, D)
inline Values rsample(const Values& mu, const Values& logvar, const Values& eps) {
    expect_size(logvar, mu.size(), "rsample logvar");
    expect_size(eps, mu.size(), "rsample eps");
    Values z(mu.size());
    for (size_t i = 0; i < mu.size(); ++i)
        z[i] = mu[i] + std::exp(0.5 * logvar[i]) * eps[i];
    return z;
}

// KL(N(mu, e^logvar) || N(0, 1)) = (mu^2 + e^logvar - 1 - logvar) / 2, in nats, per element;  all (N, D)
inline Values kl(const Values& mu, const Values& logvar) {
    expect_size(logvar, mu.size(), "kl logvar");
    Values y(mu.size());
    for (size_t i = 0; i < mu.size(); ++i) // expm1: near the prior the plain form loses every digit
        y[i] = 0.5 * (mu[i] * mu[i] + std::expm1(logvar[i]) - logvar[i]);
    return y;
}

// -log p(x | logits) = sum_d softplus(l) - x l, in nats, p = sigmoid(l);  logits, x (N, D), y (N)
inline Values bernoulli_nll(const Values& logits, const Values& x, size_t n, size_t d) {
    expect_size(logits, n * d, "bernoulli_nll logits");
    expect_size(x, n * d, "bernoulli_nll x");
    Values y(n, 0.0);
    for (size_t i = 0; i < n * d; ++i)
        y[i / d] += softplus(logits[i]) - x[i] * logits[i];
    return y;
}

// -log N(x; mean, sigma^2) = sum_d (x - mean)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2, in nats;
// mean, x (N, D), y (N). One log sigma for all: fixed, or a learned scalar.
inline Values gaussian_nll(const Values& mean, const Values& x, size_t n, size_t d, double log_sigma) {
    expect_size(mean, n * d, "gaussian_nll mean");
    expect_size(x, n * d, "gaussian_nll x");
    Values y(n, 0.0);
    for (size_t i = 0; i < n * d; ++i) {
        const double standardized = (x[i] - mean[i]) * std::exp(-log_sigma);
        y[i / d] += 0.5 * standardized * standardized + log_sigma + 0.5 * std::log(2.0 * std::numbers::pi);
    }
    return y;
}

// ---- Optimizers -----------------------------------------------------------------------------------------------------

enum class WeightDecay { l2, decoupled }; // Adam adds it to the gradient; AdamW shrinks the weight

struct AdamOptions {
    double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.0;
    WeightDecay decay = WeightDecay::decoupled;
};

// PyTorch's Adam and AdamW; step counts from 1; w, m, v are updated in place.
//   decoupled: w -= lr wd w      l2: g += wd w
//   m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
//   w -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
inline void adam_step(Values& w, const Values& dw, Values& m, Values& v, size_t step, const AdamOptions& o) {
    expect_size(dw, w.size(), "adam dw");
    expect_size(m, w.size(), "adam m");
    expect_size(v, w.size(), "adam v");
    expect(step >= 1, "adam: steps count from 1");
    const double correction1 = 1.0 - std::pow(o.beta1, static_cast<double>(step));
    const double correction2 = 1.0 - std::pow(o.beta2, static_cast<double>(step));
    for (size_t i = 0; i < w.size(); ++i) {
        double g = dw[i];
        if (o.decay == WeightDecay::decoupled)
            w[i] -= o.learning_rate * o.weight_decay * w[i];
        else
            g += o.weight_decay * w[i];
        m[i] = o.beta1 * m[i] + (1.0 - o.beta1) * g;
        v[i] = o.beta2 * v[i] + (1.0 - o.beta2) * g * g;
        w[i] -= o.learning_rate * (m[i] / correction1) / (std::sqrt(v[i] / correction2) + o.eps);
    }
}

// PyTorch's SGD, no dampening, the buffer starting at 0:  g = dw + wd w,  m = momentum m + g,  w -= lr m
inline void sgd_step(Values& w, const Values& dw, Values& m, double learning_rate, double momentum = 0.0,
                     double weight_decay = 0.0) {
    expect_size(dw, w.size(), "sgd dw");
    expect_size(m, w.size(), "sgd m");
    for (size_t i = 0; i < w.size(); ++i) {
        m[i] = momentum * m[i] + dw[i] + weight_decay * w[i];
        w[i] -= learning_rate * m[i];
    }
}

// PyTorch's clip_grad_norm_: all gradients times min(1, max_norm / (norm + 1e-6)), norm = sqrt(sum of all squares).
// Returns the norm before clipping.
inline double clip_global_norm(std::vector<Values>& gradients, double max_norm) {
    double squares = 0.0;
    for (const Values& g : gradients)
        squares += dot(g, g);
    const double norm = std::sqrt(squares);
    const double factor = std::min(1.0, max_norm / (norm + 1e-6));
    for (Values& g : gradients)
        g = scale(g, factor);
    return norm;
}

// ---- Gradients by differences ---------------------------------------------------------------------------------------

using ScalarFunction = std::function<double(const std::vector<Values>&)>;

// df / d inputs[which][index] by the five-point stencil, whose error is O(h^4):
//   (f(x - 2h) - 8 f(x - h) + 8 f(x + h) - f(x + 2h)) / 12 h
// h = 1e-3 balances that against rounding for values near 1; keep kinks (relu's 0) further than 2h away.
inline double numeric_gradient(const ScalarFunction& f, const std::vector<Values>& inputs, size_t which, size_t index,
                               double h = 1e-3) {
    std::vector<Values> moved = inputs;
    double& x = moved.at(which).at(index);
    const double start = x;
    const auto at = [&](double offset) {
        x = start + offset;
        return f(moved);
    };
    return (at(-2.0 * h) - 8.0 * at(-h) + 8.0 * at(h) - at(2.0 * h)) / (12.0 * h);
}

// The gradient of f by every element of inputs[which].
inline Values numeric_gradients(const ScalarFunction& f, const std::vector<Values>& inputs, size_t which,
                                double h = 1e-3) {
    Values gradient(inputs.at(which).size());
    for (size_t i = 0; i < gradient.size(); ++i)
        gradient[i] = numeric_gradient(f, inputs, which, i, h);
    return gradient;
}

} // namespace reference
