// Text for the report: escaping, base64, and numbers as people read them. No locale is consulted anywhere, so that the
// same run gives the same bytes on every machine.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace vkvae {

// Text made safe for element content and quoted attributes. Bytes that are not UTF-8, and control characters that HTML
// does not allow, become U+FFFD.
std::string escape_html(std::string_view text);

std::string encode_base64(std::span<const std::byte> bytes);

// A number with a fixed count of decimals; the minus sign is U+2212. "–" when not finite.
std::string format_fixed(double value, int decimals);

// Two significant digits and a power of ten: 2.5e−4, 1e12.
std::string format_exponent(double value);

// A number with about `digits` significant digits: 543.2, 98.41, 0.0123, 2.5e−4. "–" when not finite.
std::string format_number(double value, int digits = 4);

// format_number without the zeros at the end of its decimals: 0.001, 1, 2.5.
std::string format_short(double value, int digits = 4);

// A whole number in groups of three, with narrow no-break spaces.
std::string format_count(double value);

// 1.06 M, 18.4 k, 512.
std::string format_compact(double value);

// 4.3 MiB.
std::string format_bytes(double bytes);

} // namespace vkvae
