// What the tests of the vae layer share: small models, data, and a loaded Vae.
#pragma once

#include "device.hpp"
#include "gpu/sample_plan.hpp"
#include "io/temp_folder.hpp"
#include "ops/philox.hpp"
#include "vkvae/vae.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <memory>

namespace vkvae::test {

// 6 x 6 in one channel, latent 3: trains in no time.
inline const char* const kTinyModel = R"({"name": "tiny", "input": [6, 6, 1], "latent": 3, "likelihood": "bernoulli",
    "encoder": [{"type": "linear", "out": 16, "activation": "relu"}],
    "decoder": [{"type": "linear", "out": 16, "activation": "relu"}, {"type": "linear", "out": 36}]})";

// A Vae with its parameters on the device, initialised from a seed.
struct Model {
    Vae vae;
    Parameters parameters;
    explicit Model(const std::string& json, bool training = true, uint64_t seed = 1, Device& device = test_device())
        : vae(parse_model(json)), parameters(vae.make_parameters()) {
        parameters.allocate(device, training);
        parameters.initialise(seed);
    }
    const Parameter& definition(const std::string& name) const {
        for (const Parameter& p : parameters.list())
            if (p.name == name)
                return p;
        FAIL("no parameter " << name);
        throw std::logic_error(name);
    }
    void set(const std::string& name, std::vector<float> values) { parameters.write(definition(name), values); }
    void fill(const std::string& name, float value) {
        const Parameter& p = definition(name);
        parameters.write(p, std::vector<float>(size_t(p.count()), value));
    }
    std::vector<float> weights() const { return parameters.read(Parameters::Region::weights); }
};

// A device whose kernels see no more than this in one binding.
inline std::unique_ptr<Device> device_with_storage_range(const char* bytes) {
    Environment limit("VKVAE_LIMIT_STORAGE_RANGE", bytes);
    return Device::create(test_options());
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// Blobs: a bright spot at a place of its own in each sample, so that there is something to learn. (count, h w) u8.
inline std::vector<std::byte> blobs(int64_t count, int64_t height, int64_t width) {
    std::vector<std::byte> bytes;
    for (int64_t i = 0; i < count; i++) {
        float cy = float(height) * random_uniform(3, Stream::data, 0, 0, uint32_t(i));
        float cx = float(width) * random_uniform(3, Stream::data, 0, 1, uint32_t(i));
        for (int64_t at = 0; at < height * width; at++) {
            float dy = float(at / width) - cy, dx = float(at % width) - cx;
            bytes.push_back(std::byte(uint8_t(255 * std::exp(-(dy * dy + dx * dx) / 3))));
        }
    }
    return bytes;
}

// The same numbers as f32 in [0, 1], as the device makes them from u8.
inline std::vector<float> as_floats(std::span<const std::byte> bytes) {
    std::vector<float> values;
    for (std::byte b : bytes)
        values.push_back(float(uint8_t(b)) / 255.0f);
    return values;
}

// Borrowed bytes with the width of one sample.
inline DataView view_of(std::span<const std::byte> bytes, int64_t width, DType type = DType::u8) {
    return {bytes, int64_t(bytes.size()) / (width * (type == DType::u8 ? 1 : 4)), width, type};
}
inline DataView view_of(std::span<const float> values, int64_t width) {
    return view_of(std::as_bytes(values), width, DType::f32);
}

inline std::vector<float> random_values(size_t count, uint32_t which, float low, float high) {
    std::vector<float> values;
    for (size_t i = 0; i < count; i++)
        values.push_back(low + (high - low) * random_uniform(23, Stream::data, 1, which, uint32_t(i)));
    return values;
}

} // namespace vkvae::test
