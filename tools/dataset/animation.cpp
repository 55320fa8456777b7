// Animated PNG: an ordinary PNG whose first frame is its image (IDAT), the others in chunks that old readers skip.
#include "dataset/image.hpp"
#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <zlib.h>

#include <climits>

namespace vkvae {

namespace {

void append32(std::vector<std::byte>& out, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        out.push_back(std::byte(value >> shift & 255));
}

void append_chunk(std::vector<std::byte>& out, const char* type, const std::vector<std::byte>& data) {
    append32(out, static_cast<std::uint32_t>(data.size()));
    const std::size_t begin = out.size();
    for (int i = 0; i < 4; ++i)
        out.push_back(std::byte(type[i]));
    out.insert(out.end(), data.begin(), data.end());
    const Bytef* covered = reinterpret_cast<const Bytef*>(out.data() + begin);
    append32(out, static_cast<std::uint32_t>(crc32(0, covered, static_cast<uInt>(out.size() - begin))));
}

// A frame's rows, each as its differences from the row above (filter 2), deflated.
std::vector<std::byte> deflate_frame(std::span<const std::uint8_t> pixels, std::size_t row) {
    std::vector<Bytef> filtered;
    filtered.reserve(pixels.size() + pixels.size() / row);
    for (std::size_t at = 0; at < pixels.size(); at += row) {
        filtered.push_back(2);
        for (std::size_t i = at; i < at + row; ++i)
            filtered.push_back(static_cast<Bytef>(pixels[i] - (at > 0 ? pixels[i - row] : 0)));
    }
    uLongf size = compressBound(static_cast<uLong>(filtered.size()));
    std::vector<std::byte> out(size);
    const int result = compress2(reinterpret_cast<Bytef*>(out.data()), &size, filtered.data(),
                                 static_cast<uLong>(filtered.size()), Z_BEST_COMPRESSION);
    require(result == Z_OK, "zlib could not compress a frame: code ", result);
    out.resize(size);
    return out;
}

} // namespace

void write_apng(const std::filesystem::path& path, int width, int height, int channels, int frames_per_second,
                std::span<const std::uint8_t> pixels) {
    require(channels == 1 || channels == 3 || channels == 4, "write_apng: ", channels, " channels");
    require(frames_per_second >= 1 && frames_per_second <= 100, "write_apng: ", frames_per_second, " frames a second");
    std::uint64_t size = 0; // of a frame; chunks count in 31 bits, zlib's bound stays below twice the size
    const bool fits =
        width > 0 && height > 0 &&
        product_within({std::uint64_t(width), std::uint64_t(height), std::uint64_t(channels)}, INT_MAX / 2, size);
    require(fits, "write_apng: cannot write ", width, " x ", height, " x ", channels, " pixels");
    require(!pixels.empty() && pixels.size() % size == 0, "write_apng: ", pixels.size(), " bytes are no frames of ",
            size);
    const std::size_t frames = pixels.size() / size, row = std::size_t(width) * std::size_t(channels);
    std::vector<std::byte> out, data;
    for (const int byte : {0x89, int('P'), int('N'), int('G'), 13, 10, 26, 10})
        out.push_back(std::byte(byte));
    append32(data, static_cast<std::uint32_t>(width));
    append32(data, static_cast<std::uint32_t>(height));
    const int colour = channels == 1 ? 0 : channels == 3 ? 2 : 6;
    for (const int byte : {8, colour, 0, 0, 0}) // bits, colour type, the only compression and filtering, no interlacing
        data.push_back(std::byte(byte));
    append_chunk(out, "IHDR", data);
    data.clear();
    append32(data, static_cast<std::uint32_t>(frames));
    append32(data, 0); // plays: for ever
    append_chunk(out, "acTL", data);
    std::uint32_t sequence = 0;
    for (std::size_t frame = 0; frame < frames; ++frame) {
        data.clear();
        for (const std::uint32_t word : {sequence++, std::uint32_t(width), std::uint32_t(height), 0u, 0u})
            append32(data, word); // the last two: where it stands
        for (const int byte :
             {0, 1, 0, frames_per_second, 0, 0}) // 1 / fps s; then it is replaced by the next as a whole
            data.push_back(std::byte(byte));
        append_chunk(out, "fcTL", data);
        data.clear();
        if (frame > 0)
            append32(data, sequence++);
        const std::vector<std::byte> body = deflate_frame(pixels.subspan(frame * size, size), row);
        data.insert(data.end(), body.begin(), body.end());
        append_chunk(out, frame > 0 ? "fdAT" : "IDAT", data);
    }
    append_chunk(out, "IEND", {});
    write_file_atomic(path, out);
}

} // namespace vkvae
