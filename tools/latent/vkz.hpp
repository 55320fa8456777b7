// .vkz: compressed images. All numbers little-endian:
//   "VKZ\x1a", u16 version 1, u16 mode, u64 model, u32 count, height, width, channels, latent,
//   u32 bytes of side information, these bytes, u32 words of code, these words, u32 CRC-32C of all before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vkvae {

struct VkzFile {
    enum class Mode : uint16_t { lossy = 0, lossless = 1 };
    Mode mode = Mode::lossy;
    uint64_t model = 0; // hash of the model that decodes it
    uint32_t count = 0, height = 0, width = 0, channels = 0, latent = 0;
    std::vector<uint8_t> side; // lossy: the grid of each dimension; lossless: see bits_back.hpp
    std::vector<uint32_t> words;
    uint64_t pixels() const { return uint64_t(height) * width * channels; }
};

std::vector<std::byte> write_vkz(const VkzFile& file);

// Error(data), starting with `name`, unless the bytes are a whole, undamaged file of samples that are not too many
// (2^29 values). Whether `side` and `words` make sense is for the decoders to say.
VkzFile parse_vkz(std::span<const std::byte> bytes, const std::string& name);

} // namespace vkvae
