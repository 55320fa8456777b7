// The pipeline cache on disk, under a header of our own: drivers have crashed on caches that were not theirs.
#pragma once

#include "vkvae/gpu.hpp"

namespace vkvae {

// The driver's blob if `file` exists and was written by this very device, driver and build; otherwise empty.
// Never fails: a cache that does not fit is no cache.
std::vector<std::byte> load_pipeline_cache(const std::string& file, const Caps& caps);

// Atomic. Errors: Status::runtime if the file cannot be written.
void store_pipeline_cache(const std::string& file, const Caps& caps, std::span<const std::byte> blob);

// One file per device and driver, so that two GPUs in a machine do not evict each other.
std::string pipeline_cache_file(const std::string& directory, const Caps& caps);

} // namespace vkvae
