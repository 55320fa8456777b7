// Files: bounded reading and atomic replacement (temporary, sync, rename, sync of the directory).
#include "io/file.hpp"

#include "vkvae/error.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <new>
#include <random>
#include <system_error>
#include <utility>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace vkvae {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTemporarySuffix = ".vkvae-tmp";
constexpr std::size_t kLargestWrite = std::size_t{1} << 30; // Linux cuts one write at 2 GiB anyway

std::atomic<FileFault> file_fault{nullptr};

int injected_fault(FileCall call, std::size_t* bytes = nullptr) {
    const FileFault fault = file_fault.load();
    return fault ? fault(call, bytes) : 0;
}

[[noreturn]] void fail_write(const fs::path& target, const char* step, int code, std::uint64_t total) {
    const std::string name = path_text(target);
    bool full = code == ENOSPC;
#ifdef EDQUOT
    full = full || code == EDQUOT;
#endif
    if (!full)
        fail(Status::runtime, "cannot write ", name, ": ", step, ": ", std::generic_category().message(code));
    std::error_code unknown;
    const fs::space_info space = fs::space(target.has_parent_path() ? target.parent_path() : fs::path("."), unknown);
    const std::string left = unknown ? std::string("an unknown number") : std::to_string(space.available);
    fail(Status::runtime, "cannot write ", name, ": the disk is full: the file needs ", total, " bytes and ", left,
         " are free; the previous file, if there was one, is unchanged");
}

// Hidden, in the target's directory (a rename must not cross file systems), unique among processes and threads.
fs::path temporary_name(const fs::path& target) {
    static std::atomic<std::uint64_t> counter{0};
    std::random_device entropy;
    const std::uint64_t random = (std::uint64_t{entropy()} << 32 | entropy()) + ++counter;
    // A long file name plus our suffix could pass the file system's 255 bytes, so only a piece of it is kept.
    const std::string stem = path_text(target.filename()).substr(0, 64);
    return target.parent_path() / fs::path("." + stem + "." + std::to_string(random) + kTemporarySuffix);
}

bool is_temporary(const fs::path& path) {
    const std::string name = path_text(path.filename());
    return name.starts_with('.') && name.ends_with(kTemporarySuffix);
}

#ifdef _WIN32

int last_errno() {
    return std::system_category().default_error_condition(static_cast<int>(GetLastError())).value();
}

// Opened without sharing: remove_stale_temporaries cannot delete the file of a writer that is still alive.
struct Temporary {
    HANDLE handle = INVALID_HANDLE_VALUE;
    fs::path path; // empty: nothing to delete

    Temporary() = default;
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary() {
        if (handle != INVALID_HANDLE_VALUE)
            CloseHandle(handle);
        if (!path.empty())
            DeleteFileW(path.c_str());
    }
};

void open_temporary(Temporary& temporary, const fs::path& target, std::uint64_t total) {
    const fs::path name = temporary_name(target);
    int code = injected_fault(FileCall::open);
    if (code == 0) {
        temporary.handle =
            CreateFileW(name.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
        if (temporary.handle == INVALID_HANDLE_VALUE)
            code = last_errno();
    }
    if (code != 0)
        fail_write(target, "creating a temporary file beside it", code, total);
    temporary.path = name;
}

int write_some(Temporary& temporary, const std::byte* bytes, std::size_t& size) {
    DWORD written = 0;
    if (!WriteFile(temporary.handle, bytes, static_cast<DWORD>(size), &written, nullptr))
        return last_errno();
    size = written;
    return 0;
}

int sync_file(Temporary& temporary) {
    return FlushFileBuffers(temporary.handle) ? 0 : last_errno();
}

int close_file(Temporary& temporary) {
    const HANDLE handle = std::exchange(temporary.handle, INVALID_HANDLE_VALUE);
    return CloseHandle(handle) ? 0 : last_errno();
}

int rename_over(Temporary& temporary, const fs::path& target) {
    const DWORD flags = MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH;
    return MoveFileExW(temporary.path.c_str(), target.c_str(), flags) ? 0 : last_errno();
}

int sync_directory(const fs::path&) {
    return 0;
} // MOVEFILE_WRITE_THROUGH has done it

bool remove_if_stale(const fs::path& path) {
    return DeleteFileW(path.c_str()) != 0;
}

#else

// `lock` is a second descriptor of the same open file. The advisory lock belongs to the open file, so it lives until
// both descriptors are closed: `file` is closed (and its errors are seen) before the rename, the lock ends after it.
struct Temporary {
    int file = -1;
    int lock = -1;
    fs::path path; // empty: nothing to delete

    Temporary() = default;
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary() {
        if (!path.empty())
            ::unlink(path.c_str());
        if (file >= 0)
            ::close(file);
        if (lock >= 0)
            ::close(lock);
    }
};

// Takes the lock that tells remove_stale_temporaries "in use". False: a concurrent clean-up got in between the creation
// and the lock and has deleted, or is about to delete, the file. File systems without locks count as locked.
bool lock_temporary(Temporary& temporary) {
    if (::flock(temporary.file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return false;
    struct stat info {};
    return ::fstat(temporary.file, &info) == 0 && info.st_nlink > 0;
}

void open_temporary(Temporary& temporary, const fs::path& target, std::uint64_t total) {
    struct stat old {};
    const bool replaces = ::stat(target.c_str(), &old) == 0;
    // The kernel subtracts the umask; a replaced file's permissions are copied before the first byte is written.
    const mode_t mode = replaces ? 0600 : 0644;
    constexpr int kAttempts = 8; // each needs a collision of random names or a race with a clean-up
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        const fs::path name = temporary_name(target);
        int code = injected_fault(FileCall::open);
        if (code == 0) {
            temporary.file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
            code = temporary.file < 0 ? errno : 0;
        }
        if (code == EEXIST || code == EINTR)
            continue;
        if (code != 0)
            fail_write(target, "creating a temporary file beside it", code, total);
        temporary.path = name;
        if (lock_temporary(temporary)) {
            temporary.lock = ::fcntl(temporary.file, F_DUPFD_CLOEXEC, 0);
            if (temporary.lock < 0 || (replaces && ::fchmod(temporary.file, old.st_mode & 0777) != 0))
                fail_write(target, "preparing a temporary file beside it", errno, total);
            return;
        }
        ::close(std::exchange(temporary.file, -1));
        temporary.path.clear();
    }
    fail(Status::runtime, "cannot write ", path_text(target), ": no free name for a temporary file beside it");
}

int write_some(Temporary& temporary, const std::byte* bytes, std::size_t& size) {
    const ssize_t written = ::write(temporary.file, bytes, size);
    if (written < 0 && errno != EINTR)
        return errno;
    size = written < 0 ? 0 : static_cast<std::size_t>(written);
    return 0;
}

// Not repeated on failure: the kernel may have dropped the dirty pages, and a second fsync would claim success.
int sync_file(Temporary& temporary) {
    return ::fsync(temporary.file) == 0 ? 0 : errno;
}

int close_file(Temporary& temporary) {
    return ::close(std::exchange(temporary.file, -1)) == 0 ? 0 : errno;
}

int rename_over(Temporary& temporary, const fs::path& target) {
    return ::rename(temporary.path.c_str(), target.c_str()) == 0 ? 0 : errno;
}

int sync_directory(const fs::path& directory) {
    const int handle = ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0)
        return errno == EACCES ? 0 : errno; // a directory we may write but not read cannot be synced
    const int code = ::fsync(handle) == 0 ? 0 : errno;
    ::close(handle);
    return code == EINVAL || code == ENOTSUP ? 0 : code; // some file systems cannot sync directories
}

bool remove_if_stale(const fs::path& path) {
    const int handle = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (handle < 0)
        return false;
    // Deleted while the lock is held, so that its writer (if it has only just created it) notices and starts afresh.
    const bool removed = ::flock(handle, LOCK_EX | LOCK_NB) == 0 && ::unlink(path.c_str()) == 0;
    ::close(handle);
    return removed;
}

#endif

void write_chunk(Temporary& temporary, const fs::path& target, std::span<const std::byte> chunk, std::uint64_t total) {
    while (!chunk.empty()) {
        std::size_t size = std::min(chunk.size(), kLargestWrite);
        int code = injected_fault(FileCall::write, &size);
        if (code == 0)
            code = write_some(temporary, chunk.data(), size);
        if (code != 0)
            fail_write(target, "writing", code, total);
        chunk = chunk.subspan(size);
    }
}

// Where the bytes really go: through a symbolic link. Devices, pipes and directories must not be renamed over.
fs::path resolve_target(const fs::path& path) {
    require(!path.filename().empty(), "cannot write '", path_text(path), "': this is not a file name");
    std::error_code code;
    const fs::file_status status = fs::status(path, code);
    require(!fs::is_directory(status), "cannot write ", path_text(path), ": it is a directory");
    require(!fs::exists(status) || fs::is_regular_file(status), "cannot write ", path_text(path),
            ": it exists and is not a regular file");
    const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
    require(fs::is_directory(directory, code), "cannot write ", path_text(path), ": there is no directory ",
            path_text(directory));
    if (!fs::exists(status) || !fs::is_symlink(fs::symlink_status(path, code)))
        return path;
    const fs::path target = fs::canonical(path, code);
    return code ? path : target;
}

} // namespace

FileFault set_file_fault(FileFault fault) {
    return file_fault.exchange(fault);
}

std::string path_text(const fs::path& path) {
    const std::u8string text = path.u8string();
    return {text.begin(), text.end()};
}

std::vector<std::byte> read_file(const fs::path& path, std::uint64_t max_bytes) {
    const std::string name = path_text(path);
    std::error_code code;
    const fs::file_status status = fs::status(path, code);
    require_data(fs::exists(status), "cannot read ", name, ": ", code ? code.message() : "no such file");
    require_data(!fs::is_directory(status), "cannot read ", name, ": it is a directory");
    require_data(fs::is_regular_file(status), "cannot read ", name, ": it is not a regular file");
    const std::uint64_t size = fs::file_size(path, code);
    require_data(!code, "cannot read ", name, ": ", code.message());
    require_data(size <= max_bytes, "cannot read ", name, ": it has ", size, " bytes, the limit is ", max_bytes);

    std::ifstream file(path, std::ios::binary);
    require_data(file.is_open(), "cannot read ", name, ": ", std::generic_category().message(errno));
    std::vector<std::byte> bytes;
    try {
        bytes.resize(static_cast<std::size_t>(size));
    } catch (const std::bad_alloc&) {
        fail(Status::runtime, "cannot read ", name, ": its ", size, " bytes do not fit into memory");
    }
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    require_data(static_cast<std::uint64_t>(file.gcount()) == size, "cannot read ", name, ": got ", file.gcount(),
                 " of ", size, " bytes");
    require_data(file.peek() == std::ifstream::traits_type::eof(), "cannot read ", name, ": it grew while being read");
    return bytes;
}

void write_file_atomic(const fs::path& path, std::span<const std::span<const std::byte>> chunks) {
    const fs::path target = resolve_target(path);
    std::uint64_t total = 0;
    for (const std::span<const std::byte> chunk : chunks)
        total += chunk.size();

    Temporary temporary; // deleted on every way out but the last
    open_temporary(temporary, target, total);
    for (const std::span<const std::byte> chunk : chunks)
        write_chunk(temporary, target, chunk, total);

    int code = injected_fault(FileCall::sync);
    if (code == 0)
        code = sync_file(temporary);
    if (code != 0)
        fail_write(target, "syncing to disk", code, total);
    code = injected_fault(FileCall::close);
    if (code == 0)
        code = close_file(temporary);
    if (code != 0)
        fail_write(target, "closing", code, total);
    code = injected_fault(FileCall::rename);
    if (code == 0)
        code = rename_over(temporary, target);
    if (code != 0)
        fail_write(target, "renaming the temporary file", code, total);
    temporary.path.clear();
    code = injected_fault(FileCall::sync_directory);
    if (code == 0)
        code = sync_directory(target.parent_path());
    require(code == 0, "wrote ", path_text(target),
            ", but syncing its directory failed: ", std::generic_category().message(code),
            "; the file may not survive a power cut");
}

void write_file_atomic(const fs::path& path, std::span<const std::byte> bytes) {
    write_file_atomic(path, std::span<const std::span<const std::byte>>(&bytes, 1));
}

void write_file_atomic(const fs::path& path, std::string_view text) {
    write_file_atomic(path, std::as_bytes(std::span<const char>(text.data(), text.size())));
}

int remove_stale_temporaries(const fs::path& directory) {
    std::vector<fs::path> found;
    std::error_code code;
    for (fs::directory_iterator at(directory, code), end; !code && at != end; at.increment(code))
        if (is_temporary(at->path()))
            found.push_back(at->path());
    int removed = 0;
    for (const fs::path& path : found)
        removed += remove_if_stale(path) ? 1 : 0;
    return removed;
}

} // namespace vkvae
