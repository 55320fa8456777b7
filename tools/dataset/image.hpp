// Pictures: decoding untrusted PNG and JPEG files, resampling, writing PNG, tiling many images into one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace vkvae {

struct Image {
    int width = 0, height = 0, channels = 0; // 1 grey, 3 RGB, 4 RGBA
    std::vector<std::uint8_t> pixels;        // (height, width, channels)
};

inline constexpr std::uint64_t kMaxImageFileBytes = std::uint64_t{64} << 20;
inline constexpr int kMaxImageSide = 16384;

struct DecodeLimits {
    std::uint64_t max_pixels = std::uint64_t{1} << 26; // 8192 x 8192
    bool check_crc = true;                             // of PNG chunks; the fuzzer cannot guess them and turns this off
};

bool looks_like_image(std::span<const std::byte> first_bytes); // PNG or JPEG, by their first 8 or 3 bytes

// A complete PNG or JPEG file, recognised by its content. channels: 1, 3, 4, or 0 for the file's own (1 or 3). Alpha is
// composited over black unless 4 channels are asked for; 16-bit PNGs are cut to 8 bits; EXIF orientation is ignored.
// Error(data), starting with `name`, for anything else: truncated, damaged, too large, claiming more pixels than its
// bytes can hold. Memory stays within a small multiple of the checked pixel count.
Image decode_image(std::span<const std::byte> file, const std::string& name, int channels = 0,
                   const DecodeLimits& limits = {});
Image read_image(const std::filesystem::path& path, int channels = 0);

struct Extent {
    int height = 0, width = 0, channels = 0;
    bool operator==(const Extent&) const = default;
};

// Takes the largest centred rectangle of `in` that has `to`'s aspect and resamples it to `to`: area average along an
// axis that shrinks, linear interpolation (pixel centres at half integers) along one that grows. Grey <-> RGB <-> RGBA
// as needed (Rec. 601 luma; alpha over black). Integer weights: u8 results are the same on every machine.
// Error(usage) when the channel counts cannot be converted.
void fit_pixels(const std::uint8_t* in, const Extent& from, std::uint8_t* out, const Extent& to);
void fit_pixels(const float* in, const Extent& from, float* out, const Extent& to); // in [0,1]

// Writes (height, width, channels) bytes, channels 1, 3 or 4, as a PNG; atomic like write_file_atomic.
void write_png(const std::filesystem::path& path, int width, int height, int channels,
               std::span<const std::uint8_t> pixels);
void write_png(const std::filesystem::path& path, const Image& image);

// Frames of one size, one after the other in `pixels` (n, height, width, channels), as an animated PNG that repeats for
// ever; where animation is not understood, the first is shown. Frames a second: 1 to 100. Atomic.
// Format: PNG, third edition (W3C 2025), section 11.3.4: acTL, fcTL, fdAT.
void write_apng(const std::filesystem::path& path, int width, int height, int channels, int frames_per_second,
                std::span<const std::uint8_t> pixels);

// Tiles images (n, h, w, c) in [0,1] row by row, `columns` to a row, `pad` pixels of dark grey between and around them;
// c is 1, 3 or 4. Values are clamped and rounded to u8. Error(runtime) for NaN: a broken image must not look black.
Image make_grid(std::span<const float> images, int n, int h, int w, int c, int columns, int pad = 2);

} // namespace vkvae
