// libFuzzer target: any bytes, once their checksum is made right, either are a .vkz file whose latents and pixel model
// can be decoded, or give Error(data).
#include "io/file.hpp"
#include "latent/bits_back.hpp"
#include "latent/latent_code.hpp"
#include "latent/vkz.hpp"
#include "vkvae/error.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data),
                                 reinterpret_cast<const std::byte*>(data) + size);
    if (size >= 4) { // what a fuzzer cannot guess
        const std::uint32_t crc = vkvae::crc32c(std::span(bytes).first(size - 4));
        for (std::size_t i = 0; i < 4; i++)
            bytes[size - 4 + i] = std::byte(crc >> 8 * i & 255);
    }
    try {
        const vkvae::VkzFile file = vkvae::parse_vkz(bytes, "fuzz");
        if (file.side.size() + 4 * file.words.size() > size)
            std::abort();
        constexpr std::uint64_t kEnough = 1 << 16; // samples that cost no bits may be many
        if (file.mode == vkvae::VkzFile::Mode::lossless)
            vkvae::pixel_model_from(file.side, "fuzz");
        else if (file.side.size() == file.latent && std::uint64_t(file.count) * file.latent <= kEnough)
            vkvae::decode_latents(file.words, file.count, file.side, "fuzz");
    } catch (const vkvae::Error& error) {
        if (error.status() != vkvae::Status::data)
            std::abort();
    }
    return 0;
}
