// Buffers: one allocation each, since a plan needs only a handful.
#include <algorithm>
#include <utility>

#include "gpu/functions.hpp"

namespace vkvae {

Buffer::Buffer(Device& device, uint64_t size, Memory kind, const char* what) {
    require(size > 0, "buffer '", what, "' of 0 bytes");
    const Functions& fn = device.fn();
    device_ = &device;
    bytes = (size + 3) & ~uint64_t(3); // vkCmdFillBuffer and uint views work on whole words
    VkBufferCreateInfo info = {VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
    info.size = bytes;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                 VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    try {
        VKVAE_CHECK(fn.vkCreateBuffer(device.handle(), &info, nullptr, &handle));
        VkMemoryRequirements needs;
        fn.vkGetBufferMemoryRequirements(device.handle(), handle, &needs);
        bool host_visible = false;
        memory_ = device.allocate(needs, kind, what, host_visible);
        device.allocated_bytes += bytes;
        VKVAE_CHECK(fn.vkBindBufferMemory(device.handle(), handle, memory_, 0));
        if (host_visible) {
            void* pointer = nullptr;
            VKVAE_CHECK(fn.vkMapMemory(device.handle(), memory_, 0, VK_WHOLE_SIZE, 0, &pointer));
            mapped = static_cast<std::byte*>(pointer);
        }
    } catch (...) {
        release(); // a destructor does not run for an object that was never finished
        throw;
    }
}

Buffer::~Buffer() { release(); }

void Buffer::release() {
    if (!device_)
        return;
    const Functions& fn = device_->fn();
    if (memory_)
        device_->allocated_bytes -= bytes;
    fn.vkDestroyBuffer(device_->handle(), handle, nullptr);
    fn.vkFreeMemory(device_->handle(), memory_, nullptr);
    device_ = nullptr;
}

void Buffer::swap(Buffer& other) noexcept {
    std::swap(handle, other.handle);
    std::swap(bytes, other.bytes);
    std::swap(mapped, other.mapped);
    std::swap(device_, other.device_);
    std::swap(memory_, other.memory_);
}

namespace {

constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
constexpr VkMemoryPropertyFlags kVisible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;

// Properties to try in this order. HOST_VISIBLE|HOST_COHERENT exists on every device (Vulkan 1.1, 10.2), so no
// flushes or invalidations are needed anywhere.
std::vector<VkMemoryPropertyFlags> wanted(Memory kind) {
    switch (kind) {
    case Memory::device:
        return {kLocal, 0};
    case Memory::upload:
        return {kLocal | kVisible, kVisible};
    case Memory::readback:
        return {kVisible | kCached, kVisible};
    }
    return {};
}

} // namespace

VkDeviceMemory Device::allocate(const VkMemoryRequirements& needs, Memory kind, const char* what,
                                bool& host_visible) {
    if (needs.size > caps_.max_allocation)
        fail(Status::device, "'", what, "' needs ", needs.size, " bytes in one piece, the device allows ",
             caps_.max_allocation, "; try a smaller batch or model");
    if (kind == Memory::device && allocated_bytes + needs.size > caps_.heap_bytes)
        fail(Status::device, "out of device memory: '", what, "' needs ", needs.size, " bytes, ", allocated_bytes,
             " are in use and the device has ", caps_.heap_bytes, "; try a smaller batch or model");
    VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    for (VkMemoryPropertyFlags flags : wanted(kind))
        for (uint32_t type = 0; type < memory_types_.memoryTypeCount; type++) {
            VkMemoryPropertyFlags has = memory_types_.memoryTypes[type].propertyFlags;
            bool special = has & (VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT |
                                  VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD);
            if (!(needs.memoryTypeBits & (1u << type)) || (has & flags) != flags || special)
                continue;
            VkMemoryAllocateInfo info = {VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
            info.allocationSize = needs.size;
            info.memoryTypeIndex = type;
            VkDeviceMemory memory = VK_NULL_HANDLE;
            result = fn_->vkAllocateMemory(device_, &info, nullptr, &memory);
            if (result == VK_SUCCESS) {
                host_visible = kind != Memory::device;
                return memory;
            }
        }
    fail(Status::device, "out of memory: '", what, "' needs ", needs.size, " bytes, ", allocated_bytes,
         " are in use (", result_name(result), "); try a smaller batch or model");
}

} // namespace vkvae
