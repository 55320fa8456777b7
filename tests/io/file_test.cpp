// The contract of io/file: a file is replaced as a whole or not at all, whatever fails and whoever else writes.
#include "io/file.hpp"
#include "io/temp_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <thread>

#ifndef _WIN32
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace fs = std::filesystem;
using namespace vkvae;
using namespace vkvae::test;

namespace {

// Fails the nth call (from 0) of the whole sequence with `code`; negative: none.
int fail_at = -1, fail_code = EIO, calls_seen = 0;
int fail_nth(FileCall, std::size_t*) {
    return calls_seen++ == fail_at ? fail_code : 0;
}
int one_byte_at_a_time(FileCall call, std::size_t* bytes) {
    if (call == FileCall::write)
        *bytes = 1;
    return 0;
}
int disk_full(FileCall call, std::size_t*) {
    return call == FileCall::write ? ENOSPC : 0;
}

struct FaultScope {
    explicit FaultScope(FileFault fault) { set_file_fault(fault); }
    ~FaultScope() { set_file_fault(nullptr); }
};

std::string content(const fs::path& path) {
    return to_text(read_file(path, 1 << 20));
}

} // namespace

TEST_CASE("crc32c gives the published checksums and can be continued") {
    CHECK(crc32c(to_bytes("123456789")) == 0xe3069283u);
    CHECK(crc32c({}) == 0u);
    CHECK(crc32c(std::vector<std::byte>(32)) == 0x8a9136aau); // RFC 3720, B.4
    CHECK(crc32c(std::vector<std::byte>(32, std::byte{0xff})) == 0x62a8ab43u);
    const std::vector<std::byte> text = to_bytes("a longer text, whose halves do not end at eight bytes");
    for (std::size_t cut = 0; cut <= text.size(); ++cut)
        CHECK(crc32c(std::span(text).subspan(cut), crc32c(std::span(text).first(cut))) == crc32c(text));
}

TEST_CASE("read_file says what is wrong with a path") {
    const TempFolder folder;
    CHECK(outcome_of([&] { read_file(folder.path / "none", 10); }).says("No such file"));
    CHECK(outcome_of([&] { read_file(folder.path, 10); }).says("is a directory"));
    write_file_atomic(folder.path / "a", "12345");
    const Outcome large = outcome_of([&] { read_file(folder.path / "a", 4); });
    CHECK(large.status == Status::data);
    CHECK(large.says("5 bytes, the limit is 4"));
    CHECK(content(folder.path / "a") == "12345");
    write_file_atomic(folder.path / "empty", "");
    CHECK(read_file(folder.path / "empty", 0).empty());
}

TEST_CASE("an atomic write concatenates its chunks and leaves nothing else behind") {
    const TempFolder folder;
    const std::vector<std::byte> a = to_bytes("one, "), b, c = to_bytes("two");
    const std::span<const std::byte> chunks[] = {a, b, c};
    write_file_atomic(folder.path / "file", chunks);
    CHECK(content(folder.path / "file") == "one, two");
    write_file_atomic(folder.path / "file", "three");
    CHECK(content(folder.path / "file") == "three");
    CHECK(folder.entries() == 1);
}

TEST_CASE("short writes are continued") {
    const TempFolder folder;
    const FaultScope scope(one_byte_at_a_time);
    write_file_atomic(folder.path / "file", "byte by byte");
    CHECK(content(folder.path / "file") == "byte by byte");
}

TEST_CASE("whichever call fails, the old file stays whole and the temporary goes") {
    const TempFolder folder;
    const fs::path path = folder.path / "file";
    for (fail_at = 0; fail_at < 6; ++fail_at) {
        write_file_atomic(path, "old");
        calls_seen = 0;
        const FaultScope scope(fail_nth);
        const Outcome outcome = outcome_of([&] { write_file_atomic(path, "new"); });
        CHECK(outcome.status == Status::runtime);
        CHECK(outcome.says("file"));
        // open, write, sync, close, rename, then the directory's sync, when the new file is already in place.
        CHECK(content(path) == (fail_at < 5 ? "old" : "new"));
        CHECK(folder.entries() == 1);
    }
    calls_seen = 0;
    const FaultScope scope(fail_nth); // fail_at is 6: one more than there are
    write_file_atomic(path, "new");
    CHECK(calls_seen == 6);
    fail_at = -1;
}

TEST_CASE("a full disk is reported in a sentence with the bytes needed") {
    const TempFolder folder;
    const FaultScope scope(disk_full);
    const Outcome outcome = outcome_of([&] { write_file_atomic(folder.path / "model", "12345678"); });
    CHECK(outcome.status == Status::runtime);
    CHECK(outcome.says("the disk is full: the file needs 8 bytes"));
    CHECK(folder.entries() == 0);
}

TEST_CASE("impossible targets are refused before anything is written") {
    const TempFolder folder;
    CHECK(outcome_of([&] { write_file_atomic(folder.path, "x"); }).says("is a directory"));
    CHECK(outcome_of([&] { write_file_atomic(folder.path / "none" / "file", "x"); }).says("there is no directory"));
    CHECK(outcome_of([&] { write_file_atomic(fs::path(), "x"); }).says("not a file name"));
    CHECK(folder.entries() == 0);
#ifndef _WIN32
    // Renaming over a device would replace it for everybody.
    CHECK(outcome_of([&] { write_file_atomic("/dev/null", "x"); }).says("not a regular file"));
#endif
}

TEST_CASE("very long names can be written") {
    const TempFolder folder;
    const fs::path path = folder.path / std::string(250, 'n');
    write_file_atomic(path, "x");
    CHECK(content(path) == "x");
}

TEST_CASE("two writers at once leave one of the two files, whole") {
    const TempFolder folder;
    const fs::path path = folder.path / "file";
    const std::string a(100'000, 'a'), b(100'000, 'b');
    const auto write_often = [&](const std::string& text) {
        for (int i = 0; i < 20; ++i) {
            write_file_atomic(path, text);
            remove_stale_temporaries(folder.path); // must not touch the other writer's
        }
    };
    std::thread other([&] { write_often(a); });
    write_often(b);
    other.join();
    const std::string last = content(path);
    CHECK((last == a || last == b));
    CHECK(folder.entries() == 1);
}

TEST_CASE("temporaries of dead writers are removed, other files are not") {
    const TempFolder folder;
    std::ofstream(folder.path / ".model.123.vkvae-tmp") << "half a mod";
    std::ofstream(folder.path / "model") << "a model";
    std::ofstream(folder.path / ".hidden") << "somebody else's";
    CHECK(remove_stale_temporaries(folder.path) == 1);
    CHECK(folder.entries() == 2);
    CHECK(remove_stale_temporaries(folder.path / "none") == 0);
}

#ifndef _WIN32

namespace {
int die_before_rename(FileCall call, std::size_t*) {
    if (call == FileCall::rename)
        _exit(7);
    return 0;
}
} // namespace

TEST_CASE("a writer killed before the rename leaves the old file and a temporary that can be removed") {
    const TempFolder folder;
    write_file_atomic(folder.path / "file", "old");
    const pid_t child = fork();
    if (child == 0) {
        set_file_fault(die_before_rename);
        write_file_atomic(folder.path / "file", "new");
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 7);
    CHECK(folder.entries() == 2);
    CHECK(content(folder.path / "file") == "old");
    CHECK(remove_stale_temporaries(folder.path) == 1);
    CHECK(folder.entries() == 1);
}

TEST_CASE("a new file honours the umask, a replaced one keeps its permissions, a link stays a link") {
    const TempFolder folder;
    const fs::path path = folder.path / "file";
    const auto mode = [&](const fs::path& file) {
        struct stat info {};
        return ::stat(file.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
    };
    const mode_t old = umask(027);
    write_file_atomic(path, "x");
    umask(old);
    CHECK(mode(path) == 0640);
    fs::permissions(path, fs::perms(0600));
    write_file_atomic(path, "y");
    CHECK(mode(path) == 0600);
    fs::create_symlink(path, folder.path / "link");
    write_file_atomic(folder.path / "link", "through");
    CHECK(fs::is_symlink(folder.path / "link"));
    CHECK(content(path) == "through");
}

#endif
