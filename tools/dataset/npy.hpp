// NumPy's .npy files: one array. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace vkvae {

enum class NpyType { boolean, u8, f32, f64, i8, i16, i32, i64, u16, u32, u64 };

struct NpyArray {
    NpyType type = NpyType::f32;
    std::vector<std::int64_t> shape; // empty: a scalar
    std::vector<std::byte> data;     // C order, little-endian
};

// Versions 1 to 3. Error(data), starting with `name`, for other types, Fortran order, pickled objects, and whenever the
// file's size is not exactly what its header claims.
NpyArray parse_npy(std::vector<std::byte> bytes, const std::string& name);
NpyArray read_npy(const std::filesystem::path& path);

// The values as f32: integers and bool as they are, f64 rounded. Error(data) when a value is not finite in f32, or an
// integer that f32 cannot hold.
std::vector<float> npy_to_f32(const NpyArray& array, const std::string& name);

// Writes f32 values of this shape (version 1.0, C order); atomic like write_file_atomic.
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape, std::span<const float> values);

} // namespace vkvae
