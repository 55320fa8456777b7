// A command buffer with its pool and fence: record, submit, wait.
#pragma once

#include "gpu/functions.hpp"

namespace vkvae {

class Commands {
  public:
    explicit Commands(Device& device);
    ~Commands();
    Commands(const Commands&) = delete;

    // Starts recording; what was recorded before is gone. The previous submission must have finished.
    VkCommandBuffer begin();
    void end();
    // Submits what was recorded, which may be replayed any number of times, one at a time.
    void submit();
    bool done();
    // Waits for the submission, if one is under way. Errors: Status::device after Device::timeout_seconds().
    void wait();

  private:
    Device& device_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    VkCommandBuffer commands_ = VK_NULL_HANDLE;
    VkFence fence_ = VK_NULL_HANDLE;
    bool under_way_ = false;
};

// Everything kernels wrote is visible to later kernels (and to copies, if asked for). One global memory barrier:
// drivers turn finer ones into the same thing.
void barrier_between_kernels(const Functions& fn, VkCommandBuffer commands);
void barrier_around_copies(const Functions& fn, VkCommandBuffer commands);

} // namespace vkvae
