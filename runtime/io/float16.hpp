// Floating-point numbers of 16 bits. f16: sign, 5 bits of exponent (bias 15), 10 of fraction, IEEE 754's binary16.
// bf16: the upper half of an f32.
#pragma once

#include <cstdint>

namespace vkvae {

float from_f16(std::uint16_t bits); // exact
float from_bf16(std::uint16_t bits);

// To nearest, ties to even; beyond the range infinity; NaN stays NaN.
std::uint16_t to_f16(float value);
std::uint16_t to_bf16(float value);

} // namespace vkvae
