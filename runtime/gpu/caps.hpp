// Reads what a physical device offers, and lowers it by the environment's masks.
#pragma once

#include "gpu/functions.hpp"

namespace vkvae {

// `api_version` is what the instance was created with; extensions are those that are or will be enabled.
// Features come from `enabled` if the host declared them, else from the physical device.
Caps read_caps(const Functions& fn, VkPhysicalDevice device, uint32_t instance_version,
               std::span<const std::string> extensions, const VkPhysicalDeviceFeatures2* enabled);

// VKVAE_DISABLE=a,b and VKVAE_LIMIT_NAME=N. Unknown names are an error: a mask that does nothing would lie.
void mask_caps(Caps& caps);

// Why the device cannot run vkvae; empty if it can.
std::string why_unusable(const Caps& caps);

bool has_extension(std::span<const std::string> extensions, const char* name);
std::vector<std::string> device_extensions(const Functions& fn, VkPhysicalDevice device);

// "amd", "intel", ...; "other" if unknown.
const char* vendor_name(uint32_t vendor_id);

} // namespace vkvae
