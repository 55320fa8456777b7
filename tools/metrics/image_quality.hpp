// How near a reconstruction is to its image, and what a model needs to write data down.
#pragma once

#include <cstdint>
#include <span>

namespace vkvae {

// 10 log10(1 / mse) in dB, of values in [0,1]; infinite for equal images.
double psnr(double mse);

// Structural similarity of two images (h, w, c) in [0,1]: the mean over all windows, and over the channels. Windows are
// Gaussian, 11 x 11 with a deviation of 1.5, and lie inside the image; along a side shorter than 11 a window has the
// largest odd number of pixels that fits, its weights still adding up to one. K1 = 0.01, K2 = 0.03. Source: Wang,
// Bovik, Sheikh and Simoncelli 2004, "Image quality assessment: from error visibility to structural similarity",
// section III.
double ssim(std::span<const float> a, std::span<const float> b, int64_t h, int64_t w, int64_t c);

// Bits for each of `dims` numbers, from nats for all of them. For a density over [0,1] of data that came as bytes, a
// byte has the probability density / 256: 8 bits more (Theis, van den Oord and Bethge 2016, section 3.1).
double bits_per_dim(double nats, int64_t dims, bool density_of_bytes);

} // namespace vkvae
