// Untrusted PNG and JPEG files: we walk the container ourselves (complete? checksums? plausible size?) before stb sees
// it, because stb accepts truncated JPEGs and files whose header claims far more pixels than their bytes can hold.
#include "dataset/image.hpp"
#include "dataset/stb.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace vkvae {

namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint8_t kPngSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
constexpr std::uint64_t kDeflateRatio = 1032;        // no deflate stream expands further (zlib's technical notes)
constexpr std::uint64_t kJpegPixelsPerByte = 8 * 64; // each 8 x 8 block costs a bit or more

unsigned byte_at(Bytes file, std::size_t at) {
    return std::to_integer<unsigned>(file[at]);
}

std::uint32_t big_endian32(Bytes file, std::size_t at) {
    return byte_at(file, at) << 24 | byte_at(file, at + 1) << 16 | byte_at(file, at + 2) << 8 | byte_at(file, at + 3);
}

bool is_png(Bytes file) {
    return file.size() >= sizeof kPngSignature && std::memcmp(file.data(), kPngSignature, sizeof kPngSignature) == 0;
}

bool is_jpeg(Bytes file) {
    return file.size() >= 3 && byte_at(file, 0) == 0xff && byte_at(file, 1) == 0xd8 && byte_at(file, 2) == 0xff;
}

// Signature, then chunks of {u32 length, 4 letters, data, CRC-32 of letters and data}, IHDR first, IEND last.
void check_png(Bytes file, const std::string& name, bool check_crc) {
    std::size_t at = sizeof kPngSignature;
    for (bool first = true;; first = false) {
        require_data(file.size() - at >= 12, name, ": truncated PNG");
        const std::size_t length = big_endian32(file, at);
        require_data(length <= file.size() - at - 12, name, ": truncated PNG");
        const Bytes letters = file.subspan(at + 4, 4);
        require_data(first == (std::memcmp(letters.data(), "IHDR", 4) == 0), name, ": damaged PNG: IHDR is not first");
        require_data(!first || length == 13, name, ": damaged PNG: IHDR has ", length, " bytes");
        if (check_crc) {
            const Bytes covered = file.subspan(at + 4, length + 4);
            const uLong crc =
                crc32(0, reinterpret_cast<const Bytef*>(covered.data()), static_cast<uInt>(covered.size()));
            require_data(crc == big_endian32(file, at + 8 + length), name, ": damaged PNG: wrong chunk checksum");
        }
        at += 12 + length;
        if (std::memcmp(letters.data(), "IEND", 4) == 0)
            return;
    }
}

// Skips entropy-coded data: to the next marker that is neither a stuffed zero, fill nor a restart.
std::size_t skip_scan(Bytes file, std::size_t at) {
    for (; at + 1 < file.size(); ++at) {
        const unsigned next = byte_at(file, at + 1);
        if (byte_at(file, at) == 0xff && next != 0 && next != 0xff && (next < 0xd0 || next > 0xd7))
            return at;
    }
    return file.size();
}

// SOI, then segments of {0xff, marker, u16 length, data}, entropy-coded data after SOS, EOI last.
void check_jpeg(Bytes file, const std::string& name) {
    std::size_t at = 2;
    bool has_scan = false;
    for (;;) {
        while (at + 1 < file.size() && byte_at(file, at) == 0xff && byte_at(file, at + 1) == 0xff)
            ++at; // fill bytes
        require_data(file.size() >= 2 && at <= file.size() - 2, name, ": truncated JPEG");
        require_data(byte_at(file, at) == 0xff, name, ": damaged JPEG: no marker where one must be");
        const unsigned marker = byte_at(file, at + 1);
        at += 2;
        if (marker == 0xd9)
            break;
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7))
            continue; // these have no length
        require_data(file.size() - at >= 2, name, ": truncated JPEG");
        const std::size_t length = byte_at(file, at) << 8 | byte_at(file, at + 1);
        require_data(length >= 2, name, ": damaged JPEG: segment of ", length, " bytes");
        require_data(length <= file.size() - at, name, ": truncated JPEG");
        at += length;
        if (marker == 0xda) {
            has_scan = true;
            at = skip_scan(file, at);
        }
    }
    require_data(has_scan, name, ": damaged JPEG: no image data");
}

// The IHDR chunk is first and complete (check_png): width 16, height 20, bit depth 24, colour type 25.
std::uint64_t png_bits_per_pixel(Bytes file) {
    const unsigned depth = byte_at(file, 24), type = byte_at(file, 25);
    const unsigned samples = type == 2 ? 3 : type == 4 ? 2 : type == 6 ? 4 : 1;
    return std::uint64_t{depth} * samples;
}

void check_size(Bytes file, const std::string& name, const StbInfo& info, std::uint64_t max_pixels) {
    require_data(info.width > 0 && info.height > 0 && info.width <= kMaxImageSide && info.height <= kMaxImageSide, name,
                 ": ", info.width, " x ", info.height, " pixels, the limit is ", kMaxImageSide, " a side");
    const std::uint64_t pixels = std::uint64_t(info.width) * std::uint64_t(info.height);
    require_data(pixels <= max_pixels, name, ": ", info.width, " x ", info.height, " are more than ", max_pixels,
                 " pixels");
    const bool plausible = is_png(file) ? pixels * png_bits_per_pixel(file) / 8 <= kDeflateRatio * file.size()
                                        : pixels <= kJpegPixelsPerByte * file.size();
    require_data(plausible, name, ": claims ", info.width, " x ", info.height, " pixels, more than its ", file.size(),
                 " bytes can hold");
    require_data(info.channels >= 1 && info.channels <= 4, name, ": ", info.channels, " channels");
}

} // namespace

bool looks_like_image(Bytes first_bytes) {
    return is_png(first_bytes) || is_jpeg(first_bytes);
}

Image decode_image(Bytes file, const std::string& name, int channels, const DecodeLimits& limits) {
    require(channels == 0 || channels == 1 || channels == 3 || channels == 4, "decode_image: ", channels, " channels");
    require_data(file.size() <= kMaxImageFileBytes, name, ": ", file.size(), " bytes, the limit is ",
                 kMaxImageFileBytes);
    require_data(looks_like_image(file), name, ": not a PNG or JPEG file");
    if (is_png(file))
        check_png(file, name, limits.check_crc);
    else
        check_jpeg(file, name);

    StbInfo info;
    std::string reason;
    require_data(stb_info(file, info, reason), name, ": ", reason);
    check_size(file, name, info, limits.max_pixels);

    const bool has_alpha = info.channels == 2 || info.channels == 4;
    const Extent native{info.height, info.width, info.channels <= 2 ? 1 : 3};
    const Extent wanted{info.height, info.width, channels == 0 ? native.channels : channels};
    // stb has no composition: where there is alpha we ask for it and apply it ourselves.
    const Extent decoded{info.height, info.width, has_alpha ? 4 : native.channels};
    // 16-bit RGBA is 8 bytes a pixel; JPEG pads to whole blocks of up to 32 pixels; PNG gathers its IDAT chunks first.
    const std::size_t max_allocation =
        (std::size_t(info.width) + 64) * (std::size_t(info.height) + 64) * 8 + 2 * file.size() + (std::size_t{1} << 20);
    Image image{.width = info.width, .height = info.height, .channels = wanted.channels, .pixels = {}};
    std::vector<std::uint8_t> pixels;
    require_data(stb_decode(file, info, decoded.channels, max_allocation, pixels, reason), name, ": ", reason);
    if (decoded == wanted) {
        image.pixels = std::move(pixels);
        return image;
    }
    image.pixels.resize(std::size_t(info.width) * std::size_t(info.height) * std::size_t(wanted.channels));
    fit_pixels(pixels.data(), decoded, image.pixels.data(), wanted);
    return image;
}

Image read_image(const std::filesystem::path& path, int channels) {
    const std::vector<std::byte> file = read_file(path, kMaxImageFileBytes);
    return decode_image(file, path_text(path), channels);
}

} // namespace vkvae
