// Start values of a training. The random ones are drawn by Parameters; here is what depends on the data.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/philox.hpp"
#include "vae/quantizer.hpp"

namespace vkvae {
namespace {

float number_at(const DataView& data, int64_t row, int64_t at) {
    const std::byte* from = data.bytes.data() + uint64_t(row) * data.row_bytes();
    if (data.type == DType::u8)
        return float(std::to_integer<int>(from[at])) / 255;
    float value;
    std::memcpy(&value, from + 4 * at, 4);
    return value;
}

// Samples of the data, as far into the sigmoid's range as it can learn from.
void start_pseudo_inputs(Parameters& parameters, const ModelConfig& c, const DataView& data, uint64_t seed) {
    for (const Parameter& p : parameters.list()) {
        if (p.name != "prior.pseudo_inputs")
            continue;
        std::vector<uint32_t> order = permutation(uint32_t(data.count), seed, 0);
        std::vector<float> values;
        for (int64_t k = 0; k < c.prior_components; k++)
            for (int64_t channel = 0; channel < c.channels; channel++) // on disk (K, C, H, W)
                for (int64_t i = 0; i < c.height * c.width; i++) {
                    float x = number_at(data, order[size_t(k % data.count)], i * c.channels + channel);
                    x = std::clamp(x, 0.02f, 0.98f);
                    values.push_back(std::log(x / (1 - x)));
                }
        parameters.write(p, values);
    }
}

// Of each of the `period` numbers that a row repeats: channels of a picture in (H, W, C) order, or all of a row.
std::vector<double> means(const DataView& data, int64_t period) {
    std::vector<double> sum(static_cast<size_t>(period));
    for (int64_t i = 0; i < data.count; i++) {
        for (int64_t at = 0; at < data.width; at += period)
            for (int64_t k = 0; k < period; k++)
                sum[size_t(k)] += number_at(data, i, at + k);
    }
    for (double& s : sum)
        s /= double(data.count) * double(data.width / period);
    return sum;
}

} // namespace

void initialise(Parameters& parameters, const Vae& vae, const DataView& data, uint64_t seed) {
    const ModelConfig& c = vae.config();
    data.check(c);
    parameters.initialise(seed);
    if (c.prior == "vamp")
        start_pseudo_inputs(parameters, c, data, seed);
    if (c.vq)
        initialise_codebooks(parameters, vae, data, seed);
    if (!c.output_at_mean)
        return;
    const Parameter& bias = parameters.list()[vae.output_bias()];
    // A linear layer has numbers for each pixel, on disk in (C, H, W) order if it has learnt that order. The likelihood's
    // parameters of an element are neighbours, of which the first says the mean.
    const auto parameters_each = size_t(c.parameters);
    std::vector<double> mean = means(data, bias.count() / c.parameters);
    std::vector<float> values(mean.size() * parameters_each);
    const bool planes = bias.disk_view.size() == 3;
    const auto pixels = size_t(c.height * c.width), channels = size_t(c.channels) * parameters_each;
    for (size_t i = 0; i < values.size(); i++) {
        size_t at = planes ? i % pixels * channels + i / pixels : i;
        if (at % parameters_each == 0)
            values[i] = float(find_likelihood(c.likelihood).prediction_of(mean[at / parameters_each]));
    }
    parameters.write(bias, values);
}

} // namespace vkvae
