// Reading and writing .vkz.
#include "latent/vkz.hpp"

#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

constexpr uint64_t kMagic = 0x1a5a4b56; // "VKZ\x1a"
constexpr uint64_t kVersion = 1, kMostValues = uint64_t(1) << 29;

void append(std::vector<std::byte>& out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        out.push_back(std::byte(value >> 8 * i & 255));
}

struct Reader {
    std::span<const std::byte> bytes;
    const std::string& name;
    size_t at = 0;

    uint64_t number(size_t size) {
        require_data(bytes.size() - at >= size, name, ": truncated .vkz file");
        uint64_t value = 0;
        for (size_t i = size; i-- > 0;)
            value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
        at += size;
        return value;
    }
    uint32_t word() { return uint32_t(number(4)); }
    size_t length(size_t item) { // of a list, whose bytes must be there
        size_t count = word();
        require_data(count <= (bytes.size() - at) / item, name, ": truncated .vkz file");
        return count;
    }
};

} // namespace

std::vector<std::byte> write_vkz(const VkzFile& file) {
    std::vector<std::byte> out;
    append(out, kMagic, 4);
    append(out, kVersion, 2);
    append(out, uint64_t(file.mode), 2);
    append(out, file.model, 8);
    for (uint32_t size : {file.count, file.height, file.width, file.channels, file.latent, uint32_t(file.side.size())})
        append(out, size, 4);
    for (uint8_t byte : file.side)
        append(out, byte, 1);
    require(file.words.size() <= UINT32_MAX, "too many samples for one .vkz file");
    append(out, file.words.size(), 4);
    for (uint32_t word : file.words)
        append(out, word, 4);
    append(out, crc32c(out), 4);
    return out;
}

VkzFile parse_vkz(std::span<const std::byte> bytes, const std::string& name) {
    Reader in{bytes, name};
    require_data(in.number(4) == kMagic, name, ": not a .vkz file");
    uint64_t version = in.number(2);
    require_data(version == kVersion, name, ": a .vkz file of version ", version, ", this program reads version ",
                 kVersion);
    VkzFile file;
    uint64_t mode = in.number(2);
    file.model = in.number(8);
    for (uint32_t* size : {&file.count, &file.height, &file.width, &file.channels, &file.latent})
        *size = in.word();
    file.side.resize(in.length(1));
    for (uint8_t& byte : file.side)
        byte = uint8_t(in.number(1));
    file.words.resize(in.length(4));
    for (uint32_t& word : file.words)
        word = in.word();
    size_t covered = in.at;
    uint32_t crc = in.word();
    require_data(in.at == bytes.size(), name, ": bytes after the end of the .vkz file");
    require_data(crc == crc32c(bytes.first(covered)), name, ": damaged .vkz file: wrong checksum");
    require_data(mode <= 1, name, ": a .vkz file of mode ", mode, ", there are 0 (lossy) and 1 (lossless)");
    file.mode = VkzFile::Mode(mode);
    uint64_t values = 0;
    bool fits = product_within({file.count, file.height, file.width, file.channels}, kMostValues, values) &&
                values > 0 && product_within({file.count, file.latent}, kMostValues, values) && values > 0;
    require_data(fits, name, ": ", file.count, " samples of ", file.height, " x ", file.width, " x ", file.channels,
                 " with ", file.latent, " latents are none or too many");
    return file;
}

} // namespace vkvae
