// safetensors: named arrays in one file, read with every claim checked and written atomically with checksums.
// Layout: u64 little-endian header length n, n bytes of JSON, the arrays back to back.
// Format: https://github.com/huggingface/safetensors; our own limits are the constants below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vkvae {

inline constexpr std::uint64_t kMaxSafetensorsBytes = std::uint64_t{64} << 30;
inline constexpr std::uint64_t kMaxSafetensorsHeader = std::uint64_t{16} << 20;
inline constexpr std::uint64_t kMaxSafetensorsMetadata = std::uint64_t{1} << 20; // keys and values, checksums excluded
inline constexpr std::size_t kMaxSafetensorsTensors = 65536;
inline constexpr std::size_t kMaxSafetensorsName = 512;
inline constexpr std::size_t kMaxSafetensorsRank = 8;

// The metadata entry of the per-tensor CRC-32C: a JSON object, tensor name -> 8 hexadecimal digits.
inline constexpr std::string_view kSafetensorsChecksums = "vkvae_crc32c";

struct TensorEntry {
    std::string name;                // 1..512 printable ASCII characters
    std::string dtype;               // "F32", "BF16", ...; see dtype_bytes
    std::vector<std::int64_t> shape; // empty: a scalar
    std::span<const std::byte> data; // little-endian; not necessarily aligned in files that others wrote
};

struct SafetensorsFile {
    std::map<std::string, std::string> metadata; // "__metadata__" without the checksums
    std::vector<TensorEntry> tensors;            // sorted by name
    std::vector<std::byte> bytes;                // the file; the tensors' data point into it

    SafetensorsFile() = default;
    SafetensorsFile(SafetensorsFile&&) = default; // moving keeps the bytes where they are
    SafetensorsFile& operator=(SafetensorsFile&&) = default;

    const TensorEntry* find(std::string_view name) const; // null when there is none
};

// Some published files carry a few bytes behind the last tensor (the pruned SD 1.5 checkpoint has 4).
enum class TrailingBytes { refuse, allow };

// Error(data), starting with `name_for_errors`, unless the bytes are a safetensors file by the format's rules and our
// limits; checksums are verified where the file has them. Values are not looked at (NaN passes). Copies no tensor data.
SafetensorsFile parse_safetensors(std::vector<std::byte> bytes, const std::string& name_for_errors,
                                  TrailingBytes trailing = TrailingBytes::refuse);
SafetensorsFile read_safetensors(const std::filesystem::path& path, TrailingBytes trailing = TrailingBytes::refuse);

// Writes atomically (see write_file_atomic), adds the checksums, and gives the same bytes for the same content in
// whatever order: header sorted by name, data by element size (so that every tensor is aligned), then by name.
// Error(runtime) when an entry contradicts itself or the file could not be read back under the limits above.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::span<const TensorEntry> tensors);

// Bytes per element: BOOL U8 I8 F8_E5M2 F8_E4M3 1, I16 U16 F16 BF16 2, I32 U32 F32 4, F64 I64 U64 8; else 0.
std::size_t dtype_bytes(std::string_view dtype);

// Whether the format and our limits let a tensor be called this.
bool safetensors_name_ok(std::string_view name);

// The values as f32, exactly for F16, BF16 and F32, rounded for F64. Error(data) for other dtypes.
std::vector<float> to_f32(const TensorEntry& tensor);

} // namespace vkvae
