// stb_image and stb_image_write, restricted for untrusted input: PNG and JPEG only, no file access, a cap on the sides
// and on every allocation. Needs stb_image 2.28 or newer (older JPEG decoders write out of bounds); the header does not
// say its version to the preprocessor, so the build checks its first line. 2.30 was fuzzed in this configuration.
#include "dataset/stb.hpp"

#include "dataset/image.hpp"

#include <cstdlib>

namespace {

// Per thread, because images are decoded on several.
thread_local std::size_t allocation_limit = 0;

void* bounded_malloc(std::size_t size) {
    return size <= allocation_limit ? std::malloc(size) : nullptr;
}
void* bounded_realloc(void* old, std::size_t size) {
    return size <= allocation_limit ? std::realloc(old, size) : nullptr;
}

} // namespace

#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 16384
#define STBI_MALLOC(size) bounded_malloc(size)
#define STBI_REALLOC(old, size) bounded_realloc(old, size)
#define STBI_FREE(old) std::free(old)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION

// Static, so that a program that embeds our code can have its own stb; the functions we do not call are then unused.
// GCC does not see that a memory context has no read callback, and warns of fields that only callbacks need.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif
#include <stb_image.h>
#include <stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

static_assert(STBI_MAX_DIMENSIONS == vkvae::kMaxImageSide);

namespace vkvae {

namespace {

const stbi_uc* stb_bytes(std::span<const std::byte> file) {
    return reinterpret_cast<const stbi_uc*>(file.data());
}

void append_bytes(void* context, void* data, int size) {
    std::vector<std::byte>& out = *static_cast<std::vector<std::byte>*>(context);
    const std::byte* bytes = static_cast<const std::byte*>(data);
    out.insert(out.end(), bytes, bytes + size);
}

} // namespace

bool stb_info(std::span<const std::byte> file, StbInfo& info, std::string& reason) {
    if (file.size() > kMaxImageFileBytes) { // stb counts in int
        reason = "the file is too large";
        return false;
    }
    allocation_limit = std::size_t{1} << 20; // the JPEG state is 18 KiB
    const int size = static_cast<int>(file.size());
    if (stbi_info_from_memory(stb_bytes(file), size, &info.width, &info.height, &info.channels) != 0)
        return true;
    reason = stbi_failure_reason() ? stbi_failure_reason() : "unknown";
    return false;
}

bool stb_decode(std::span<const std::byte> file, const StbInfo& expected, int channels, std::size_t max_allocation,
                std::vector<std::uint8_t>& pixels, std::string& reason) {
    allocation_limit = max_allocation;
    StbInfo got;
    const int size = static_cast<int>(file.size());
    stbi_uc* decoded = stbi_load_from_memory(stb_bytes(file), size, &got.width, &got.height, &got.channels, channels);
    if (decoded == nullptr) {
        reason = stbi_failure_reason() ? stbi_failure_reason() : "unknown";
        return false;
    }
    const bool same = got.width == expected.width && got.height == expected.height;
    if (same)
        pixels.assign(decoded, decoded + std::size_t(got.width) * std::size_t(got.height) * std::size_t(channels));
    else
        reason = "the header and the pixels disagree about the size";
    stbi_image_free(decoded);
    return same;
}

std::vector<std::byte> stb_encode_png(int width, int height, int channels, const std::uint8_t* pixels) {
    std::vector<std::byte> out;
    if (stbi_write_png_to_func(append_bytes, &out, width, height, channels, pixels, width * channels) == 0)
        out.clear();
    return out;
}

std::vector<std::byte> stb_encode_jpeg(int width, int height, int channels, const std::uint8_t* pixels, int quality) {
    std::vector<std::byte> out;
    if (stbi_write_jpg_to_func(append_bytes, &out, width, height, channels, pixels, quality) == 0)
        out.clear();
    return out;
}

} // namespace vkvae
