// The fence around stb: no other file sees its headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vkvae {

struct StbInfo {
    int width = 0, height = 0, channels = 0;
};

// PNG and JPEG only. False and a reason when stb refuses the bytes.
bool stb_info(std::span<const std::byte> file, StbInfo& info, std::string& reason);

// `pixels` gets height * width * channels bytes. No single allocation inside the decoder passes max_allocation.
bool stb_decode(std::span<const std::byte> file, const StbInfo& expected, int channels, std::size_t max_allocation,
                std::vector<std::uint8_t>& pixels, std::string& reason);

// PNG bytes; empty when stb ran out of memory.
std::vector<std::byte> stb_encode_png(int width, int height, int channels, const std::uint8_t* pixels);

// JPEG bytes, for tests.
std::vector<std::byte> stb_encode_jpeg(int width, int height, int channels, const std::uint8_t* pixels, int quality);

} // namespace vkvae
