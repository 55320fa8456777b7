// Writing PNG files and tiling images.
#include "dataset/image.hpp"
#include "dataset/stb.hpp"
#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <climits>

namespace vkvae {

namespace {

constexpr std::uint8_t kGap = 40; // between tiles: tells black images apart without outshining them

std::uint8_t to_u8(float value) {
    require(value == value, "an image holds NaN"); // comparisons below would turn it into black
    return static_cast<std::uint8_t>(std::clamp(value, 0.0f, 1.0f) * 255.0f + 0.5f);
}

} // namespace

void write_png(const std::filesystem::path& path, int width, int height, int channels,
               std::span<const std::uint8_t> pixels) {
    require(channels == 1 || channels == 3 || channels == 4, "write_png: ", channels, " channels");
    // stb_image_write computes sizes in int: https://github.com/nothings/stb/issues/1964
    std::uint64_t size = 0;
    const bool fits =
        width > 0 && height > 0 &&
        product_within({std::uint64_t(width), std::uint64_t(height), std::uint64_t(channels)}, INT_MAX / 2, size);
    require(fits, "write_png: cannot write ", width, " x ", height, " x ", channels, " pixels");
    require(pixels.size() == size, "write_png: ", width, " x ", height, " x ", channels, " need ", size, " bytes, got ",
            pixels.size());
    const std::vector<std::byte> file = stb_encode_png(width, height, channels, pixels.data());
    require(!file.empty(), "write_png: not enough memory for ", width, " x ", height, " pixels");
    write_file_atomic(path, file);
}

void write_png(const std::filesystem::path& path, const Image& image) {
    write_png(path, image.width, image.height, image.channels, image.pixels);
}

Image make_grid(std::span<const float> images, int n, int h, int w, int c, int columns, int pad) {
    require(n > 0 && h > 0 && w > 0 && columns > 0 && pad >= 0, "make_grid: n ", n, ", h ", h, ", w ", w, ", columns ",
            columns, ", pad ", pad);
    require(c == 1 || c == 3 || c == 4, "make_grid: ", c, " channels are not a picture");
    std::uint64_t size = 0;
    require(
        product_within({std::uint64_t(n), std::uint64_t(h), std::uint64_t(w), std::uint64_t(c)}, INT_MAX / 2, size) &&
            images.size() == size,
        "make_grid: ", n, " x ", h, " x ", w, " x ", c, " images do not fit ", images.size(), " values");
    columns = std::min(columns, n);
    const std::int64_t rows = (std::int64_t{n} + columns - 1) / columns;
    const std::int64_t width = columns * (std::int64_t{w} + pad) + pad, height = rows * (std::int64_t{h} + pad) + pad;
    require(product_within({std::uint64_t(width), std::uint64_t(height), std::uint64_t(c)}, INT_MAX / 2, size),
            "make_grid: a picture of ", width, " x ", height, " pixels is too large");
    Image grid{.width = static_cast<int>(width), .height = static_cast<int>(height), .channels = c, .pixels = {}};
    grid.pixels.assign(static_cast<std::size_t>(size), kGap);
    if (c == 4)
        for (std::size_t i = 3; i < grid.pixels.size(); i += 4)
            grid.pixels[i] = 255;
    const float* in = images.data();
    for (int i = 0; i < n; ++i) {
        const std::int64_t left = pad + (i % columns) * (std::int64_t{w} + pad);
        const std::int64_t top = pad + (i / columns) * (std::int64_t{h} + pad);
        for (int y = 0; y < h; ++y) {
            std::uint8_t* out = grid.pixels.data() + ((top + y) * width + left) * c;
            for (int k = 0; k < w * c; ++k)
                *out++ = to_u8(*in++);
        }
    }
    return grid;
}

} // namespace vkvae
