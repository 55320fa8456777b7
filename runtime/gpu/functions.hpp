// The table of Vulkan entry points, and the check around every call that returns a VkResult.
#pragma once

#include "vkvae/gpu.hpp"

namespace vkvae {

struct Functions {
    PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr = nullptr;
#define VKVAE_GLOBAL(name) PFN_##name name = nullptr;
#define VKVAE_INSTANCE(name) PFN_##name name = nullptr;
#define VKVAE_DEVICE(name) PFN_##name name = nullptr;
#define VKVAE_OPTIONAL(name) PFN_##name name = nullptr;
#include "gpu/functions.inl"

    void load_global(PFN_vkGetInstanceProcAddr host); // null: opens the system loader; throws Status::device
    void load_instance(VkInstance instance);
    void load_device(VkDevice device);
};

const char* result_name(VkResult result);

// Throws with the call, the result's name, the place and a hint. VK_NOT_READY and VK_TIMEOUT are errors too.
void check_result(VkResult result, const char* call, const char* file, int line);

#define VKVAE_CHECK(call) ::vkvae::check_result((call), #call, __FILE__, __LINE__)

} // namespace vkvae
