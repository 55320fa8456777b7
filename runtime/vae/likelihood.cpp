// The table of likelihoods, and what data they take. Adding one: its op (shader and formulas) and a row here.
#include "vae/likelihood.hpp"

#include <algorithm>
#include <cmath>

namespace vkvae {
namespace {

int64_t one(const ModelConfig&) { return 1; }
int64_t two(const ModelConfig&) { return 2; }

template <Wide kind> Tensor wide_row(Graph& g, Tensor x, Tensor prediction, Tensor, float scale) {
    return wide_nll(g, kind, x, prediction, scale);
}
template <Wide kind> Tensor wide_mean_row(Graph& g, Tensor prediction, int64_t parameters) {
    return wide_mean(g, kind, prediction, parameters);
}

Tensor bernoulli_row(Graph& g, Tensor x, Tensor prediction, Tensor, float scale) {
    return bernoulli_nll(g, x, prediction, scale);
}

Tensor bernoulli_mean(Graph& g, Tensor prediction, int64_t) { return activate(g, prediction, Activation::sigmoid); }

// Pixels that are always black would want minus infinity; at 0.001 one that is white after all costs 7 nats.
double logit(double mean) {
    mean = std::clamp(mean, 0.001, 0.999);
    return std::log(mean / (1 - mean));
}

// The continuous Bernoulli's mean 1/(1 - e^-p) - 1/p has no inverse in closed form. It rises from 1/50 to 49/50.
double continuous_logit(double mean) {
    double low = -50, high = 50;
    for (int i = 0; i < 60; i++) {
        double p = (low + high) / 2;
        double here = std::abs(p) < 1e-3 ? 0.5 + p / 12 : -1 / std::expm1(-p) - 1 / p;
        (here < mean ? low : high) = p;
    }
    return (low + high) / 2;
}

// "sigma": a number, learned, or of each element.
int64_t gaussian_parameters(const ModelConfig& config) { return config.pixel_sigma ? 2 : 1; }
Tensor gaussian_row(Graph& g, Tensor x, Tensor prediction, Tensor log_sigma, float scale) {
    return log_sigma ? gaussian_nll(g, x, prediction, log_sigma, scale)
                     : wide_nll(g, Wide::gaussian_pair, x, prediction, scale);
}
Tensor gaussian_mean(Graph& g, Tensor prediction, int64_t parameters) {
    return parameters == 1 ? prediction : wide_mean(g, Wide::gaussian_pair, prediction, parameters);
}
Tensor itself(Graph&, Tensor prediction, int64_t) { return prediction; }
double identity(double mean) { return mean; }

// What never occurs would want minus infinity.
double log_mean(double mean) { return std::log(std::max(mean, 0.001)); }

int64_t logistic_parameters(const ModelConfig& config) { return config.components == 1 ? 2 : 3 * config.components; }
double twice_less_one(double mean) { return 2 * mean - 1; }
int64_t class_count(const ModelConfig& config) { return config.classes; }

Tensor multinomial_row(Graph& g, Tensor x, Tensor prediction, Tensor, float scale) {
    return multinomial_nll(g, x, prediction, scale);
}
// The share of each place: the mean of rows whose total is one.
Tensor shares(Graph& g, Tensor prediction, int64_t) { return softmax(g, prediction); }

using enum Wide;

const Likelihood kLikelihoods[] = {
    {"bernoulli", "", Elements::unit, one, bernoulli_row, bernoulli_mean, logit},
    {"continuous_bernoulli", "", Elements::unit, one, wide_row<continuous_bernoulli>,
     wide_mean_row<continuous_bernoulli>, continuous_logit, true},
    {"gaussian", "sigma", Elements::real, gaussian_parameters, gaussian_row, gaussian_mean, identity, true},
    {"laplace", "sigma", Elements::real, one, laplace_nll, itself, identity, true},
    {"discretised_logistic", "components", Elements::levels, logistic_parameters, wide_row<discretised_logistic>,
     wide_mean_row<discretised_logistic>, twice_less_one},
    {"categorical", "classes!", Elements::tokens, class_count, wide_row<categorical>, wide_mean_row<categorical>, nullptr},
    {"multinomial", "", Elements::counts, one, multinomial_row, shares, log_mean},
    {"poisson", "", Elements::counts, one, wide_row<poisson>, wide_mean_row<poisson>, log_mean},
    {"negative_binomial", "", Elements::counts, two, wide_row<negative_binomial>, wide_mean_row<negative_binomial>,
     log_mean},
};

} // namespace

std::span<const Likelihood> likelihoods() { return kLikelihoods; }

const Likelihood& find_likelihood(const std::string& name) {
    std::string known;
    for (const Likelihood& likelihood : kLikelihoods) {
        if (name == likelihood.name)
            return likelihood;
        known += concat_text(known.empty() ? "" : ", ", likelihood.name);
    }
    fail(Status::data, "unknown likelihood '", name, "'; known are ", known);
}

bool takes_integers(const ModelConfig& model) {
    Elements elements = find_likelihood(model.likelihood).elements;
    return elements == Elements::counts || elements == Elements::tokens;
}

namespace {

constexpr float kMostExact = 1 << 24; // integers beyond are not all f32 numbers

bool allowed(Elements elements, float value, int64_t classes) {
    switch (elements) {
    case Elements::unit:
        return value >= 0 && value <= 1;
    case Elements::levels: // as a division by 255 leaves them
        return value >= 0 && value <= 1 && std::abs(255 * value - std::round(255 * value)) <= 1e-3f;
    case Elements::counts:
        return value >= 0 && value <= kMostExact && value == std::floor(value);
    case Elements::tokens:
        return value >= 0 && value < float(classes) && value == std::floor(value);
    default:
        return std::isfinite(value);
    }
}

std::string description(Elements elements, int64_t classes) {
    switch (elements) {
    case Elements::unit:
        return "numbers from 0 to 1";
    case Elements::levels:
        return "the levels k/255 from 0 to 1";
    case Elements::counts:
        return "counts: integers from 0 to 2^24";
    case Elements::tokens:
        return concat_text("tokens: integers from 0 to ", classes - 1);
    default:
        return "finite numbers";
    }
}

} // namespace

void check_elements(const DataView& data, const ModelConfig& model) {
    Elements elements = find_likelihood(model.likelihood).elements;
    if (data.type == DType::u8) {
        require_data(!takes_integers(model), "a ", model.likelihood, " likelihood takes ",
                     description(elements, model.classes), ", as f32; bytes stand for shades from 0 to 1");
        return;
    }
    const int64_t numbers = data.count * data.width;
    for (int64_t i = 0; i < numbers; i++) {
        float value;
        std::memcpy(&value, data.bytes.data() + 4 * i, 4);
        require_data(allowed(elements, value, model.classes), "sample ", i / data.width, " holds ", value,
                     " at position ", i % data.width, ", a ", model.likelihood, " likelihood takes ",
                     description(elements, model.classes));
    }
}

} // namespace vkvae
