// The models that come with the library: samples/models/*.json, embedded at build time so that an installed tool has
// them too.
#pragma once

#include <cstddef>
#include <span>

namespace vkvae {

struct Preset {
    const char* name;
    const char* json;
};
extern const std::span<const Preset> kPresets;

} // namespace vkvae
