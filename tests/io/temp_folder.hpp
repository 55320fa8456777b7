// Helpers of the tests that touch files: a folder that disappears, and what an error said.
#pragma once

#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vkvae::test {

struct TempFolder {
    std::filesystem::path path;

    TempFolder() {
        std::random_device entropy;
        const std::string name = "vkvae-test-" + std::to_string(entropy()) + std::to_string(entropy());
        path = std::filesystem::temp_directory_path() / name;
        std::filesystem::create_directories(path);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    ~TempFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }

    std::size_t entries() const {
        std::size_t count = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path))
            ++count;
        return count;
    }
};

// What `work` ended with. Any exception but Error fails the test that called us, as it should.
struct Outcome {
    Status status = Status::ok;
    std::string message;
    bool says(std::string_view text) const { return message.find(text) != std::string::npos; }
};

template <class Work> Outcome outcome_of(const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        return {error.status(), error.what()};
    }
    return {};
}

inline std::vector<std::byte> to_bytes(std::string_view text) {
    const std::span<const std::byte> bytes = std::as_bytes(std::span<const char>(text.data(), text.size()));
    return {bytes.begin(), bytes.end()};
}

inline std::string to_text(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// How many proper prefixes of `file` the parser does not refuse with Error(data). Every prefix is a fresh allocation of
// exactly its size, so that a sanitizer sees any read beyond it.
template <class Parse> int accepted_truncations(const std::vector<std::byte>& file, const Parse& parse) {
    int accepted = 0;
    for (std::size_t size = 0; size < file.size(); ++size) {
        const std::vector<std::byte> prefix(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
        const Outcome outcome = outcome_of([&] { parse(prefix); });
        accepted += outcome.status == Status::data && !outcome.message.empty() ? 0 : 1;
    }
    return accepted;
}

} // namespace vkvae::test
