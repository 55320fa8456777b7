// libFuzzer target: any bytes either are a picture of the size it says or give Error(data). PNG checksums are not
// verified, because a fuzzer cannot guess them and would never get past them.
#include "dataset/image.hpp"
#include "vkvae/error.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    constexpr int kChannels[4] = {0, 1, 3, 4};
    const vkvae::DecodeLimits limits{.max_pixels = 1 << 18, .check_crc = false}; // small: it is speed that finds bugs
    const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
    try {
        const vkvae::Image image = vkvae::decode_image(file, "fuzz", kChannels[size % 4], limits);
        const vkvae::Extent from{image.height, image.width, image.channels}, to{5, 9, 3};
        if (image.pixels.size() !=
            static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width * image.channels))
            std::abort();
        std::uint8_t fitted[5 * 9 * 3];
        vkvae::fit_pixels(image.pixels.data(), from, fitted, to);
    } catch (const vkvae::Error& error) {
        if (error.status() != vkvae::Status::data)
            std::abort();
    }
    return 0;
}
