// The pipeline cache on disk: {our header, checksum} in front of the driver's blob.
// Source of the scheme: A. Kapoulkine, "Creating a robust pipeline cache with Vulkan" (2020).
#include "gpu/pipeline_cache.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "io/file.hpp"

namespace vkvae {
namespace {

struct CacheHeader {
    uint32_t magic = 0x41565656; // "VVVA"
    uint32_t version = 1;
    uint32_t vendor_id = 0, device_id = 0, driver_version = 0;
    uint32_t pointer_bytes = sizeof(void*);
    uint8_t uuid[VK_UUID_SIZE] = {};
    uint64_t bytes = 0;
    uint32_t checksum = 0; // CRC-32C of the blob
    uint32_t header_checksum = 0; // CRC-32C of the fields above
};
constexpr uint64_t kLargestCache = 256u << 20;

CacheHeader make_header(const Caps& caps, std::span<const std::byte> blob) {
    CacheHeader header;
    header.vendor_id = caps.vendor_id;
    header.device_id = caps.device_id;
    header.driver_version = caps.driver_version;
    std::memcpy(header.uuid, caps.cache_uuid, VK_UUID_SIZE);
    header.bytes = blob.size();
    header.checksum = crc32c(blob);
    header.header_checksum =
        crc32c({reinterpret_cast<const std::byte*>(&header), offsetof(CacheHeader, header_checksum)});
    return header;
}

} // namespace

std::string pipeline_cache_file(const std::string& directory, const Caps& caps) {
    std::span<const std::byte> id(reinterpret_cast<const std::byte*>(caps.cache_uuid), VK_UUID_SIZE);
    std::ostringstream name;
    name << "pipelines-" << std::hex << caps.vendor_id << "-" << caps.device_id << "-" << crc32c(id) << ".bin";
    return (std::filesystem::path(directory) / name.str()).string();
}

std::vector<std::byte> load_pipeline_cache(const std::string& file, const Caps& caps) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(file, ignored))
        return {};
    try {
        std::vector<std::byte> bytes = read_file(file, kLargestCache);
        if (bytes.size() < sizeof(CacheHeader))
            return {};
        std::span<const std::byte> blob(bytes.data() + sizeof(CacheHeader), bytes.size() - sizeof(CacheHeader));
        CacheHeader expected = make_header(caps, blob);
        if (std::memcmp(bytes.data(), &expected, sizeof(expected)) != 0)
            return {};
        return {blob.begin(), blob.end()};
    } catch (const Error&) {
        return {};
    }
}

void store_pipeline_cache(const std::string& file, const Caps& caps, std::span<const std::byte> blob) {
    std::error_code ignored; // if there is no directory then, writing says so
    std::filesystem::create_directories(std::filesystem::path(file).parent_path(), ignored);
    CacheHeader header = make_header(caps, blob);
    std::span<const std::byte> head(reinterpret_cast<const std::byte*>(&header), sizeof(header));
    std::span<const std::byte> chunks[] = {head, blob};
    write_file_atomic(file, chunks);
}

} // namespace vkvae
