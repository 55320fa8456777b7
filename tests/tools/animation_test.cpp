// The contract of write_apng: a PNG that old readers show the first frame of, whose chunks hold every frame exactly.
#include "dataset/image.hpp"
#include "io/temp_folder.hpp"

#include <doctest/doctest.h>
#include <zlib.h>

using namespace vkvae;
using namespace vkvae::test;

namespace {

struct Chunk {
    std::string type;
    std::vector<std::byte> data;
};

uint32_t word(const std::vector<std::byte>& bytes, size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++)
        value = value << 8 | std::to_integer<uint32_t>(bytes[at + i]);
    return value;
}

std::vector<Chunk> chunks_of(const std::vector<std::byte>& file) {
    std::vector<Chunk> chunks;
    for (size_t at = 8; at < file.size();) {
        size_t length = word(file, at);
        auto begin = file.begin() + std::ptrdiff_t(at);
        chunks.push_back({to_text({begin + 4, begin + 8}), {begin + 8, begin + 8 + std::ptrdiff_t(length)}});
        CHECK(word(file, at + 8 + length) ==
              crc32(0, reinterpret_cast<const Bytef*>(file.data()) + at + 4, static_cast<uInt>(length + 4)));
        at += 12 + length;
    }
    return chunks;
}

// Inflates and undoes filters 0 and 2.
std::vector<uint8_t> pixels_of(const std::vector<std::byte>& deflated, size_t skip, size_t rows, size_t row) {
    std::vector<Bytef> filtered(rows * (row + 1));
    uLongf size = static_cast<uLongf>(filtered.size());
    REQUIRE(uncompress(filtered.data(), &size, reinterpret_cast<const Bytef*>(deflated.data()) + skip,
                       static_cast<uLong>(deflated.size() - skip)) == Z_OK);
    REQUIRE(size == filtered.size());
    std::vector<uint8_t> pixels;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < row; x++) {
            Bytef filter = filtered[y * (row + 1)];
            REQUIRE((filter == 0 || filter == 2));
            uint8_t above = filter == 2 && y > 0 ? pixels[(y - 1) * row + x] : uint8_t(0);
            pixels.push_back(uint8_t(filtered[y * (row + 1) + 1 + x] + above));
        }
    return pixels;
}

} // namespace

TEST_CASE("an animation holds its frames exactly, in order, and is a PNG of the first") {
    const TempFolder folder;
    for (int channels : {1, 3, 4})
        for (int frames : {1, 5}) {
            const int width = 7, height = 3;
            const size_t row = size_t(width * channels), size = row * height;
            std::vector<uint8_t> pixels;
            for (size_t i = 0; i < size * size_t(frames); i++)
                pixels.push_back(uint8_t(i * i * 31 + i * 7));
            const std::filesystem::path path = folder.path / "a.png";
            write_apng(path, width, height, channels, 25, pixels);
            const std::vector<std::byte> file = read_file(path, 1 << 20);
            const Image still = decode_image(file, "a", channels);
            CHECK((still.width == width && still.height == height));
            CHECK(still.pixels == std::vector<uint8_t>(pixels.begin(), pixels.begin() + std::ptrdiff_t(size)));

            const std::vector<Chunk> chunks = chunks_of(file);
            CHECK(chunks[0].type == "IHDR");
            CHECK(chunks[1].type == "acTL"); // before the image, or it is no animation
            CHECK(word(chunks[1].data, 0) == uint32_t(frames));
            CHECK(chunks.back().type == "IEND");
            REQUIRE(chunks.size() == 3 + 2 * size_t(frames));
            uint32_t sequence = 0;
            for (size_t frame = 0; frame < size_t(frames); frame++) {
                const Chunk &control = chunks[2 + 2 * frame], &image = chunks[3 + 2 * frame];
                CHECK(control.type == "fcTL");
                CHECK(word(control.data, 0) == sequence++);
                CHECK(word(control.data, 4) == uint32_t(width));
                CHECK(word(control.data, 8) == uint32_t(height));
                CHECK(word(control.data, 20) == (1u << 16 | 25u)); // 1/25 s
                CHECK(image.type == (frame == 0 ? "IDAT" : "fdAT"));
                if (frame > 0)
                    CHECK(word(image.data, 0) == sequence++);
                const auto begin = pixels.begin() + std::ptrdiff_t(frame * size);
                CHECK(pixels_of(image.data, frame > 0 ? 4 : 0, height, row) ==
                      std::vector<uint8_t>(begin, begin + std::ptrdiff_t(size)));
            }
        }
}

TEST_CASE("frames that are none, too large or of the wrong size are refused") {
    const TempFolder folder;
    const std::vector<uint8_t> pixels(12);
    const auto refusal = [&](int width, int height, int channels, int fps, size_t bytes) {
        return outcome_of([&] {
                   write_apng(folder.path / "a.png", width, height, channels, fps, std::span(pixels).first(bytes));
               })
            .message;
    };
    CHECK(refusal(2, 2, 3, 0, 12).find("0 frames a second") != std::string::npos);
    CHECK(refusal(2, 2, 2, 9, 12).find("2 channels") != std::string::npos);
    CHECK(refusal(2, 2, 3, 9, 11).find("11 bytes") != std::string::npos);
    CHECK(!refusal(2, 2, 3, 9, 0).empty());
    CHECK(!refusal(0, 2, 3, 9, 12).empty());
    CHECK(!refusal(1 << 20, 1 << 20, 3, 9, 12).empty());
    CHECK(folder.entries() == 0);
}
