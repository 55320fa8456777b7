// The version of the library; the same as CMake's project version.
#pragma once

namespace vkvae {

inline constexpr const char* kVersion = "0.1.0";

} // namespace vkvae
