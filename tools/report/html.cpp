// Text for the report: escaping, base64, numbers.
#include "report/html.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace vkvae {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD
constexpr std::string_view kMinus = "\xE2\x88\x92";       // U+2212
constexpr std::string_view kNarrowSpace = "\xE2\x80\xAF"; // U+202F, no line break
constexpr std::string_view kNothing = "\xE2\x80\x93";     // an en dash

// Bytes of the UTF-8 sequence at the front of `text`, 0 when it is malformed (overlong forms and surrogates included).
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const unsigned first = byte(0);
    const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return tail(1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        const bool legal = (first != 0xE0 || byte(1) >= 0xA0) && (first != 0xED || byte(1) <= 0x9F);
        return legal && tail(1) && tail(2) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        const bool legal = (first != 0xF0 || byte(1) >= 0x90) && (first != 0xF4 || byte(1) <= 0x8F);
        return legal && tail(1) && tail(2) && tail(3) ? 4 : 0;
    }
    return 0;
}

std::string with_unit(double value, double base, std::span<const std::string_view> units) {
    constexpr double kBeyondUnits = 1e16;
    if (!std::isfinite(value) || std::fabs(value) > kBeyondUnits)
        return format_number(value);
    std::size_t unit = 0;
    // 999.5 would print as 1000 with three digits
    while (unit + 1 < units.size() && std::fabs(value) >= (base == 1000.0 ? 999.5 : base)) {
        value /= base;
        ++unit;
    }
    const std::string number = unit == 0 ? format_short(value, 4) : format_number(value, 3);
    return units[unit].empty() ? number : number + std::string(kNarrowSpace) + std::string(units[unit]);
}

} // namespace

std::string escape_html(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 8);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text.substr(at));
        const char c = text[at];
        const unsigned char u = static_cast<unsigned char>(c);
        if (length == 0 || (u < 0x20 && c != '\t' && c != '\n') || u == 0x7F)
            out += kReplacement;
        else if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else if (c == '\'')
            out += "&#39;";
        else
            out += text.substr(at, length);
        at += std::max<std::size_t>(length, 1);
    }
    return out;
}

std::string encode_base64(std::span<const std::byte> bytes) {
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
        std::uint32_t word = 0;
        for (std::size_t i = 0; i < 3; ++i)
            word = word << 8 | (i < count ? std::to_integer<std::uint32_t>(bytes[at + i]) : 0U);
        for (std::size_t i = 0; i < 4; ++i)
            out += i <= count ? kAlphabet[word >> (18 - 6 * i) & 63U] : '=';
    }
    return out;
}

std::string format_fixed(double value, int decimals) {
    constexpr double kLargest = 1e18; // longer ones are unreadable; callers print those with an exponent
    if (!std::isfinite(value) || std::fabs(value) > kLargest)
        return std::string(kNothing);
    std::array<char, 64> text{};
    const std::to_chars_result result = std::to_chars(text.data(), text.data() + text.size(), std::fabs(value),
                                                      std::chars_format::fixed, std::clamp(decimals, 0, 20));
    const std::string_view digits(text.data(), static_cast<std::size_t>(result.ptr - text.data()));
    const bool zero = digits.find_first_not_of("0.") == std::string_view::npos;
    return (value < 0 && !zero ? std::string(kMinus) : std::string()) + std::string(digits);
}

std::string format_exponent(double value) {
    if (!std::isfinite(value))
        return std::string(kNothing);
    std::array<char, 64> text{};
    const std::to_chars_result result =
        std::to_chars(text.data(), text.data() + text.size(), std::fabs(value), std::chars_format::scientific, 1);
    const std::string_view raw(text.data(), static_cast<std::size_t>(result.ptr - text.data())); // d.de+dd
    const std::size_t e = raw.find('e');
    std::string_view mantissa = raw.substr(0, e);
    if (mantissa.ends_with(".0"))
        mantissa.remove_suffix(2);
    std::string_view power = raw.substr(e + 2);
    while (power.size() > 1 && power.front() == '0')
        power.remove_prefix(1);
    const std::string sign(value < 0 ? kMinus : ""), power_sign(raw[e + 1] == '-' ? kMinus : "");
    return sign + std::string(mantissa) + "e" + power_sign + std::string(power);
}

std::string format_number(double value, int digits) {
    if (!std::isfinite(value))
        return std::string(kNothing);
    if (value == 0)
        return "0";
    const double exponent = std::floor(std::log10(std::fabs(value)));
    if (exponent >= 7 || exponent < -3)
        return format_exponent(value);
    return format_fixed(value, std::max(digits - 1 - static_cast<int>(exponent), 0));
}

std::string format_short(double value, int digits) {
    std::string text = format_number(value, digits);
    if (text.find('.') == std::string::npos || text.find('e') != std::string::npos)
        return text;
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.')
        text.pop_back();
    return text;
}

std::string format_count(double value) {
    const std::string text = format_fixed(value, 0);
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::size_t left = text.size() - i;
        const bool between_digits = i > 0 && text[i - 1] >= '0' && text[i - 1] <= '9';
        if (between_digits && left % 3 == 0)
            out += kNarrowSpace;
        out += text[i];
    }
    return out;
}

std::string format_compact(double value) {
    static constexpr std::array<std::string_view, 5> kUnits = {"", "k", "M", "G", "T"};
    return with_unit(value, 1000.0, kUnits);
}

std::string format_bytes(double bytes) {
    static constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    return with_unit(bytes, 1024.0, kUnits);
}

} // namespace vkvae
