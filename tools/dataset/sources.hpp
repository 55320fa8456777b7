// What the data set sources share; private to tools/dataset.
#pragma once

#include "dataset/dataset.hpp"

#include <filesystem>
#include <span>
#include <string_view>

namespace vkvae {

// One file per source. accepts_* looks at names only, load_* may leave size, channels and flatness as the data have
// them: load_dataset converts. Limits are applied by the source, the fingerprint by load_dataset.
bool accepts_sprites(const std::string& source);
bool accepts_tables(const std::string& source);
bool accepts_npy(const std::string& source);
bool accepts_idx(const std::string& source);
bool accepts_images(const std::string& source);
Dataset load_sprites(const DatasetRequest& request);
Dataset load_tables(const DatasetRequest& request);
Dataset load_npy(const DatasetRequest& request);
Dataset load_idx(const DatasetRequest& request);
Dataset load_images(const DatasetRequest& request);

// UTF-8 text to a path (a plain std::string would be read in the code page on Windows).
std::filesystem::path source_path(std::string_view source);

// min(limit, count) of 0 .. count-1, ascending, chosen by the seed; all of them when limit is 0.
std::vector<std::int64_t> choose_items(std::int64_t count, std::int64_t limit, std::uint64_t seed);

// Keeps the images, labels and factors of these items (ascending), in place.
void keep_items(Dataset& dataset, std::span<const std::int64_t> items);

// Bytes of one image.
std::size_t item_bytes(const Dataset& dataset);

// u8 IDX arrays, raw or gzip. Error(data) unless the bytes are exactly one array of rank 1..4.
struct IdxArray {
    std::vector<std::int64_t> shape;
    std::vector<std::byte> data;
};
IdxArray parse_idx(std::vector<std::byte> bytes, const std::string& name);

} // namespace vkvae
