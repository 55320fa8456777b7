// A command buffer with its pool and fence, and the barriers recorded into it.
#include "gpu/submit.hpp"

namespace vkvae {

Commands::Commands(Device& device) : device_(device) {
    const Functions& fn = device_.fn();
    try {
        VkCommandPoolCreateInfo pool = {VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
        pool.queueFamilyIndex = device_.queue_family();
        VKVAE_CHECK(fn.vkCreateCommandPool(device_.handle(), &pool, nullptr, &pool_));
        VkCommandBufferAllocateInfo info = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
        info.commandPool = pool_;
        info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
        info.commandBufferCount = 1;
        VKVAE_CHECK(fn.vkAllocateCommandBuffers(device_.handle(), &info, &commands_));
        VkFenceCreateInfo fence = {VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
        VKVAE_CHECK(fn.vkCreateFence(device_.handle(), &fence, nullptr, &fence_));
    } catch (...) {
        fn.vkDestroyCommandPool(device_.handle(), pool_, nullptr);
        throw;
    }
}

Commands::~Commands() {
    const Functions& fn = device_.fn();
    if (under_way_) { // an error is on its way up: the GPU may still be reading what is about to be freed
        uint64_t limit = uint64_t(device_.timeout_seconds() * 1e9);
        fn.vkWaitForFences(device_.handle(), 1, &fence_, VK_TRUE, limit);
    }
    fn.vkDestroyFence(device_.handle(), fence_, nullptr);
    fn.vkDestroyCommandPool(device_.handle(), pool_, nullptr);
}

VkCommandBuffer Commands::begin() {
    wait();
    VKVAE_CHECK(device_.fn().vkResetCommandPool(device_.handle(), pool_, 0));
    VkCommandBufferBeginInfo info = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VKVAE_CHECK(device_.fn().vkBeginCommandBuffer(commands_, &info));
    return commands_;
}

void Commands::end() { VKVAE_CHECK(device_.fn().vkEndCommandBuffer(commands_)); }

void Commands::submit() {
    wait();
    VKVAE_CHECK(device_.fn().vkResetFences(device_.handle(), 1, &fence_));
    device_.submit(commands_, fence_);
    under_way_ = true;
}

bool Commands::done() {
    if (!under_way_)
        return true;
    VkResult result = device_.fn().vkGetFenceStatus(device_.handle(), fence_);
    if (result == VK_NOT_READY)
        return false;
    VKVAE_CHECK(result);
    return true;
}

void Commands::wait() {
    if (!under_way_)
        return;
    uint64_t limit = uint64_t(device_.timeout_seconds() * 1e9);
    VkResult result = device_.fn().vkWaitForFences(device_.handle(), 1, &fence_, VK_TRUE, limit);
    if (result == VK_TIMEOUT)
        fail(Status::device, "the device did not finish within ", device_.timeout_seconds(),
             " s; VKVAE_TIMEOUT=seconds waits longer");
    under_way_ = false; // finished, or lost: either way nothing runs any more
    check_result(result, "vkWaitForFences", __FILE__, __LINE__);
}

void barrier_between_kernels(const Functions& fn, VkCommandBuffer commands) {
    VkMemoryBarrier barrier = {VK_STRUCTURE_TYPE_MEMORY_BARRIER};
    barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
    fn.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1,
                            &barrier, 0, nullptr, 0, nullptr);
}

void barrier_around_copies(const Functions& fn, VkCommandBuffer commands) {
    VkMemoryBarrier barrier = {VK_STRUCTURE_TYPE_MEMORY_BARRIER};
    barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                            VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT;
    VkPipelineStageFlags work = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    fn.vkCmdPipelineBarrier(commands, work, work | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

} // namespace vkvae
