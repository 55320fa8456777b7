// The Vulkan entry points vkvae calls, by how they are looked up. Included with one of the macros defined:
//   VKVAE_GLOBAL(name)    vkGetInstanceProcAddr(NULL, name)
//   VKVAE_INSTANCE(name)  vkGetInstanceProcAddr(instance, name)
//   VKVAE_DEVICE(name)    vkGetDeviceProcAddr(device, name)
//   VKVAE_OPTIONAL(name)  as VKVAE_INSTANCE, may be missing
// A table of our own, one per device: a host that links its own loader does not collide with it, and tests replace
// single entries to make calls fail.
#ifndef VKVAE_GLOBAL
#define VKVAE_GLOBAL(name)
#endif
#ifndef VKVAE_INSTANCE
#define VKVAE_INSTANCE(name)
#endif
#ifndef VKVAE_DEVICE
#define VKVAE_DEVICE(name)
#endif
#ifndef VKVAE_OPTIONAL
#define VKVAE_OPTIONAL(name)
#endif

VKVAE_GLOBAL(vkCreateInstance)
VKVAE_GLOBAL(vkEnumerateInstanceExtensionProperties)

VKVAE_INSTANCE(vkDestroyInstance)
VKVAE_INSTANCE(vkEnumeratePhysicalDevices)
VKVAE_INSTANCE(vkGetPhysicalDeviceProperties)
VKVAE_INSTANCE(vkGetPhysicalDeviceProperties2)
VKVAE_INSTANCE(vkGetPhysicalDeviceFeatures2)
VKVAE_INSTANCE(vkGetPhysicalDeviceQueueFamilyProperties)
VKVAE_INSTANCE(vkGetPhysicalDeviceMemoryProperties2)
VKVAE_INSTANCE(vkEnumerateDeviceExtensionProperties)
VKVAE_INSTANCE(vkCreateDevice)
VKVAE_INSTANCE(vkGetDeviceProcAddr)

VKVAE_OPTIONAL(vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)
VKVAE_OPTIONAL(vkCreateDebugUtilsMessengerEXT)
VKVAE_OPTIONAL(vkDestroyDebugUtilsMessengerEXT)

VKVAE_DEVICE(vkDestroyDevice)
VKVAE_DEVICE(vkGetDeviceQueue)
VKVAE_DEVICE(vkDeviceWaitIdle)
VKVAE_DEVICE(vkCreateBuffer)
VKVAE_DEVICE(vkDestroyBuffer)
VKVAE_DEVICE(vkGetBufferMemoryRequirements)
VKVAE_DEVICE(vkAllocateMemory)
VKVAE_DEVICE(vkFreeMemory)
VKVAE_DEVICE(vkBindBufferMemory)
VKVAE_DEVICE(vkMapMemory)
VKVAE_DEVICE(vkCreateShaderModule)
VKVAE_DEVICE(vkDestroyShaderModule)
VKVAE_DEVICE(vkCreateDescriptorSetLayout)
VKVAE_DEVICE(vkDestroyDescriptorSetLayout)
VKVAE_DEVICE(vkCreatePipelineLayout)
VKVAE_DEVICE(vkDestroyPipelineLayout)
VKVAE_DEVICE(vkCreateComputePipelines)
VKVAE_DEVICE(vkDestroyPipeline)
VKVAE_DEVICE(vkCreatePipelineCache)
VKVAE_DEVICE(vkDestroyPipelineCache)
VKVAE_DEVICE(vkGetPipelineCacheData)
VKVAE_DEVICE(vkCreateBufferView)
VKVAE_DEVICE(vkDestroyBufferView)
VKVAE_DEVICE(vkCreateDescriptorPool)
VKVAE_DEVICE(vkDestroyDescriptorPool)
VKVAE_DEVICE(vkAllocateDescriptorSets)
VKVAE_DEVICE(vkUpdateDescriptorSets)
VKVAE_DEVICE(vkCreateCommandPool)
VKVAE_DEVICE(vkDestroyCommandPool)
VKVAE_DEVICE(vkResetCommandPool)
VKVAE_DEVICE(vkAllocateCommandBuffers)
VKVAE_DEVICE(vkBeginCommandBuffer)
VKVAE_DEVICE(vkEndCommandBuffer)
VKVAE_DEVICE(vkCmdBindPipeline)
VKVAE_DEVICE(vkCmdBindDescriptorSets)
VKVAE_DEVICE(vkCmdPushConstants)
VKVAE_DEVICE(vkCmdDispatch)
VKVAE_DEVICE(vkCmdPipelineBarrier)
VKVAE_DEVICE(vkCmdCopyBuffer)
VKVAE_DEVICE(vkCmdFillBuffer)
VKVAE_DEVICE(vkCreateQueryPool)
VKVAE_DEVICE(vkDestroyQueryPool)
VKVAE_DEVICE(vkCmdResetQueryPool)
VKVAE_DEVICE(vkCmdWriteTimestamp)
VKVAE_DEVICE(vkGetQueryPoolResults)
VKVAE_DEVICE(vkCreateFence)
VKVAE_DEVICE(vkDestroyFence)
VKVAE_DEVICE(vkResetFences)
VKVAE_DEVICE(vkGetFenceStatus)
VKVAE_DEVICE(vkWaitForFences)
VKVAE_DEVICE(vkQueueSubmit)

#undef VKVAE_GLOBAL
#undef VKVAE_INSTANCE
#undef VKVAE_DEVICE
#undef VKVAE_OPTIONAL
