// Start values of a training. The random ones are drawn by Parameters; here is what depends on the data.
#include "vae/quantizer.hpp"

#include <cstring>

namespace vkvae {
namespace {

// Of each of the `period` numbers that a row repeats: channels of a picture in (H, W, C) order, or all of a row.
std::vector<double> means(const DataView& data, int64_t period) {
    std::vector<double> sum(static_cast<size_t>(period));
    for (int64_t i = 0; i < data.count; i++) {
        const std::byte* row = data.bytes.data() + uint64_t(i) * data.row_bytes();
        for (int64_t at = 0; at < data.width; at += period)
            for (int64_t k = 0; k < period; k++) {
                float value;
                if (data.type == DType::u8)
                    value = float(std::to_integer<int>(row[at + k])) / 255;
                else
                    std::memcpy(&value, row + 4 * (at + k), 4);
                sum[size_t(k)] += value;
            }
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
    if (c.vq)
        initialise_codebooks(parameters, vae, data, seed);
    if (!c.output_at_mean)
        return;
    const Parameter& bias = parameters.list()[vae.output_bias()];
    // A linear layer has a number for each pixel, on disk in (C, H, W) order if it has learnt that order.
    std::vector<double> mean = means(data, bias.count());
    std::vector<float> values(mean.size());
    const bool planes = bias.disk_view.size() == 3;
    const auto pixels = size_t(c.height * c.width), channels = size_t(c.channels);
    for (size_t i = 0; i < values.size(); i++)
        values[i] =
            float(find_likelihood(c.likelihood).prediction_of(mean[planes ? i % pixels * channels + i / pixels : i]));
    parameters.write(bias, values);
}

} // namespace vkvae
