// Finds the Vulkan loader and fills the function table; names results and says what they usually mean.
#include "gpu/functions.hpp"

#include <cstring>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace vkvae {
namespace {

// The loader stays open for the life of the process: drivers do not take kindly to being unloaded.
PFN_vkGetInstanceProcAddr open_system_loader() {
#ifdef _WIN32
    HMODULE library = LoadLibraryA("vulkan-1.dll");
    require(library != nullptr, "no vulkan-1.dll: install a graphics driver with Vulkan support");
    return reinterpret_cast<PFN_vkGetInstanceProcAddr>(
        reinterpret_cast<void*>(GetProcAddress(library, "vkGetInstanceProcAddr")));
#else
    const char* names[] = {"libvulkan.so.1", "libvulkan.so", "libvulkan.1.dylib", "libMoltenVK.dylib"};
    for (const char* name : names)
        if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL))
            return reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
    fail(Status::device, "no Vulkan loader (libvulkan.so.1): install it (Debian: libvulkan1) and a driver ",
         "(Debian: mesa-vulkan-drivers)");
#endif
}

} // namespace

void Functions::load_global(PFN_vkGetInstanceProcAddr host) {
    vkGetInstanceProcAddr = host ? host : open_system_loader();
    if (!vkGetInstanceProcAddr)
        fail(Status::device, "the Vulkan loader has no vkGetInstanceProcAddr");
#define VKVAE_GLOBAL(name)                                                                                             \
    name = reinterpret_cast<PFN_##name>(vkGetInstanceProcAddr(VK_NULL_HANDLE, #name));                                 \
    if (!name)                                                                                                         \
        fail(Status::device, "the Vulkan loader has no ", #name);
#include "gpu/functions.inl"
}

void Functions::load_instance(VkInstance instance) {
#define VKVAE_INSTANCE(name)                                                                                           \
    name = reinterpret_cast<PFN_##name>(vkGetInstanceProcAddr(instance, #name));                                       \
    if (!name)                                                                                                         \
        fail(Status::device, "the Vulkan instance has no ", #name, "; vkvae needs Vulkan 1.1");
#define VKVAE_OPTIONAL(name) name = reinterpret_cast<PFN_##name>(vkGetInstanceProcAddr(instance, #name));
#include "gpu/functions.inl"
}

void Functions::load_device(VkDevice device) {
#define VKVAE_DEVICE(name)                                                                                             \
    name = reinterpret_cast<PFN_##name>(vkGetDeviceProcAddr(device, #name));                                           \
    if (!name)                                                                                                         \
        fail(Status::device, "the Vulkan device has no ", #name, "; vkvae needs Vulkan 1.1");
#include "gpu/functions.inl"
}

namespace {

struct ResultText {
    VkResult result;
    const char* name;
    const char* hint;
};

const ResultText kResults[] = {
    {VK_NOT_READY, "VK_NOT_READY", "the work has not finished"},
    {VK_TIMEOUT, "VK_TIMEOUT", "the work did not finish in time; VKVAE_TIMEOUT=seconds waits longer"},
    {VK_ERROR_OUT_OF_HOST_MEMORY, "VK_ERROR_OUT_OF_HOST_MEMORY", "the machine is out of memory"},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, "VK_ERROR_OUT_OF_DEVICE_MEMORY",
     "the device is out of memory; try a smaller batch or model"},
    {VK_ERROR_INITIALIZATION_FAILED, "VK_ERROR_INITIALIZATION_FAILED", "the driver refused; is it the right one?"},
    {VK_ERROR_DEVICE_LOST, "VK_ERROR_DEVICE_LOST",
     "the GPU was reset: a watchdog, a driver bug or overheating; the last checkpoint is intact"},
    {VK_ERROR_MEMORY_MAP_FAILED, "VK_ERROR_MEMORY_MAP_FAILED", "address space or memory ran out"},
    {VK_ERROR_LAYER_NOT_PRESENT, "VK_ERROR_LAYER_NOT_PRESENT", "a layer named in the environment is not installed"},
    {VK_ERROR_EXTENSION_NOT_PRESENT, "VK_ERROR_EXTENSION_NOT_PRESENT", ""},
    {VK_ERROR_FEATURE_NOT_PRESENT, "VK_ERROR_FEATURE_NOT_PRESENT", ""},
    {VK_ERROR_INCOMPATIBLE_DRIVER, "VK_ERROR_INCOMPATIBLE_DRIVER",
     "no driver was found; check VK_DRIVER_FILES and VK_ICD_FILENAMES if they are set"},
    {VK_ERROR_TOO_MANY_OBJECTS, "VK_ERROR_TOO_MANY_OBJECTS", ""},
    {VK_ERROR_FRAGMENTED_POOL, "VK_ERROR_FRAGMENTED_POOL", ""},
    {VK_ERROR_OUT_OF_POOL_MEMORY, "VK_ERROR_OUT_OF_POOL_MEMORY", ""},
    {VK_ERROR_UNKNOWN, "VK_ERROR_UNKNOWN", ""},
};

} // namespace

const char* result_name(VkResult result) {
    for (const ResultText& entry : kResults)
        if (entry.result == result)
            return entry.name;
    return "VkResult";
}

void check_result(VkResult result, const char* call, const char* file, int line) {
    if (result == VK_SUCCESS)
        return;
    std::string text = concat_text(std::string(call, strcspn(call, "(")), " returned ", result_name(result), " (",
                                   int(result), ") at ", file, ":", line);
    for (const ResultText& entry : kResults)
        if (entry.result == result && entry.hint[0])
            text += concat_text(": ", entry.hint);
    fail(Status::device, text);
}

} // namespace vkvae
