// Files: bounded reading, replacing a file as a whole or not at all, CRC32C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vkvae {

// The whole file. Error(data) when it is missing, a directory or other special file, or larger than max_bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// Replaces `path` by the concatenation of `chunks`: after a crash, a full disk or a power cut at any moment the path
// holds either the old file or the whole new one. The bytes go to a hidden temporary in the same directory, are synced,
// renamed over the target, and the directory is synced. A new file gets 0644 less the umask; a replaced one keeps its
// permissions; a symbolic link stays and its target is replaced. The directory must exist.
// Error(runtime) on any failure; the old file is then unchanged and the temporary gone (only when the last step, the
// sync of the directory, fails is the new file in place already). Safe from several threads and processes at once: the
// last rename wins.
void write_file_atomic(const std::filesystem::path& path, std::span<const std::span<const std::byte>> chunks);
void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomic(const std::filesystem::path& path, std::string_view text);

// Deletes the temporaries that killed writers left in `directory`; those of a writer still at work stay.
// Returns how many were deleted. Never fails: what cannot be deleted stays.
int remove_stale_temporaries(const std::filesystem::path& directory);

// CRC-32C (Castagnoli), as in iSCSI and ext4. crc32c(b, crc32c(a)) is the checksum of a followed by b.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

// A path for messages, UTF-8 on every platform.
std::string path_text(const std::filesystem::path& path);

// Test seam. Asked before each step of write_file_atomic: returns 0 to let it happen or the errno it shall fail with,
// and may lower *bytes (the size of a write; null otherwise) to force a short write.
enum class FileCall { open, write, sync, close, rename, sync_directory };
using FileFault = int (*)(FileCall call, std::size_t* bytes);
FileFault set_file_fault(FileFault fault); // null: none; returns the previous one

} // namespace vkvae
