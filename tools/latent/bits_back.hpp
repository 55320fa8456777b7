// Lossless coding with a VAE: bits back with ANS (Townsend, Bird and Barber 2019, arXiv:1901.04866).
//   encode x:  pop z ~ q(z|x),  push x under p(x|z),  push z under p(z)       decode: the same backwards
// On average -ELBO / ln 2 bits an image. z lies on a grid of 2^12 cells of equal mass under p(z) = N(0, I).
//
// Pixels are bytes, whatever likelihood the model was trained with, so p(x|z) is that of a byte given its decoded mean
// m:
//   p(x|m) = w0 [x = 0] + w255 [x = 255] + (1 - w0 - w255) L(x; m, s),
// L a discretised logistic (Salimans et al. 2017, eq. 2) with a little of a uniform; w0, w255 and s of 42 classes of m,
// finer towards 0 and 1, are fitted to the images at hand (EM) and go with them: 252 bytes. Binary images so cost what
// a Bernoulli likelihood says.
//
// Both ends run the networks, in batches of the same size, and must get the same floats: the same device, driver and
// build. Everything else is integers and exact.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "latent/ans.hpp"

namespace vkvae {

// What is coded with. Rows beyond the last image of a batch are zeros.
struct BitsBackNet {
    int64_t pixels = 0, latent = 0, batch = 16;
    // (batch, pixels) in [0,1] -> mu and logvar (batch, D) each.
    std::function<void(std::span<const float> images, std::vector<float>& mu, std::vector<float>& logvar)> encode;
    std::function<std::vector<float>(std::span<const float> z)> decode; // (batch, D) -> means (batch, pixels)
};

inline constexpr size_t kMeanClasses = 42;

struct PixelModel {
    struct Row {
        uint16_t zero = 0, full = 0, scale = 0; // w0 and w255 in 2^-16; s = 2^(scale / 2 - 3)
    };
    std::array<Row, kMeanClasses> rows;
};
size_t mean_class(float mean); // 0 .. 41; means outside [0,1] count as 0 and 1
FrequencyTable pixel_table(const PixelModel& model, size_t mean_class, int mean_byte);

// Bytes (n, pixels) and the words of their code. Error(runtime) if a network gives values that are not finite.
struct BitsBackCode {
    PixelModel pixel_model;
    std::vector<uint32_t> words;
    int64_t invented_bits = 0; // put in to begin with: a longer file would not have more of them
};
BitsBackCode bits_back_encode(const BitsBackNet& net, std::span<const uint8_t> images);
// Error(data), starting with `name`, for words that end too early. Whether the images are the right ones, a checksum of
// theirs must say.
std::vector<uint8_t> bits_back_decode(const BitsBackNet& net, const PixelModel& pixel_model,
                                      std::vector<uint32_t> words, int64_t count, const std::string& name);

std::vector<uint8_t> to_bytes(const PixelModel& model); // 252
PixelModel pixel_model_from(std::span<const uint8_t> bytes, const std::string& name);

} // namespace vkvae
