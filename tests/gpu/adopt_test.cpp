// The contract of Device::adopt: a host's bare Vulkan 1.1 device is used as it is, locked around submissions, and left
// alive.
#include "gpu/sample_plan.hpp"
#include "io/temp_folder.hpp"

#include <dlfcn.h>

#include <cstdlib>

using namespace vkvae;
using namespace vkvae::test;

namespace {

// What a game would have: an instance and a device made by itself, with no extension and no feature.
class Host {
  public:
    Host() {
        void* library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
        REQUIRE(library != nullptr);
        get_ = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
        VkApplicationInfo application = {VK_STRUCTURE_TYPE_APPLICATION_INFO};
        application.apiVersion = VK_API_VERSION_1_1;
        VkInstanceCreateInfo info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
        info.pApplicationInfo = &application;
        const char* debug = VK_EXT_DEBUG_UTILS_EXTENSION_NAME; // only where a layer may have something to say
        if (layer_is_on())
            info.enabledExtensionCount = 1, info.ppEnabledExtensionNames = &debug;
        REQUIRE(entry<PFN_vkCreateInstance>("vkCreateInstance")(&info, nullptr, &instance_) == VK_SUCCESS);
        if (layer_is_on())
            collect_messages();
        find_device();
        float priority = 1;
        VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
        queue.queueFamilyIndex = family_;
        queue.queueCount = 1;
        queue.pQueuePriorities = &priority;
        VkDeviceCreateInfo device = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
        device.queueCreateInfoCount = 1;
        device.pQueueCreateInfos = &queue;
        REQUIRE(entry<PFN_vkCreateDevice>("vkCreateDevice")(physical_, &device, nullptr, &device_) == VK_SUCCESS);
        entry<PFN_vkGetDeviceQueue>("vkGetDeviceQueue")(device_, family_, 0, &queue_);
    }
    Host(const Host&) = delete;
    ~Host() {
        entry<PFN_vkDestroyDevice>("vkDestroyDevice")(device_, nullptr);
        if (messenger_)
            entry<PFN_vkDestroyDebugUtilsMessengerEXT>("vkDestroyDebugUtilsMessengerEXT")(instance_, messenger_, nullptr);
        entry<PFN_vkDestroyInstance>("vkDestroyInstance")(instance_, nullptr);
    }
    HostDevice offer() {
        HostDevice host;
        host.get_instance_proc_addr = get_;
        host.instance = instance_;
        host.physical_device = physical_;
        host.device = device_;
        host.queue = queue_;
        host.queue_family = family_;
        host.lock_queue = [](void* user) { static_cast<Host*>(user)->held++; };
        host.unlock_queue = [](void* user) {
            Host& self = *static_cast<Host*>(user);
            CHECK(self.held == 1);
            self.held--;
            self.submissions++;
        };
        host.user = this;
        return host;
    }
    bool still_works() {
        return entry<PFN_vkQueueWaitIdle>("vkQueueWaitIdle")(queue_) == VK_SUCCESS &&
               entry<PFN_vkDeviceWaitIdle>("vkDeviceWaitIdle")(device_) == VK_SUCCESS;
    }
    int held = 0, submissions = 0;

  private:
    template <class Function> Function entry(const char* name) {
        return reinterpret_cast<Function>(get_(instance_, name));
    }
    // Only where there is one may the instance have an extension of its own.
    static bool layer_is_on() { return std::getenv("VK_INSTANCE_LAYERS") != nullptr; }
    void collect_messages() {
        VkDebugUtilsMessengerCreateInfoEXT info = {VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
        info.messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
        info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
        info.pfnUserCallback = [](VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                  const VkDebugUtilsMessengerCallbackDataEXT* data, void*) -> VkBool32 {
            validation_messages().push_back(data->pMessage);
            return VK_FALSE;
        };
        REQUIRE(entry<PFN_vkCreateDebugUtilsMessengerEXT>("vkCreateDebugUtilsMessengerEXT")(
                    instance_, &info, nullptr, &messenger_) == VK_SUCCESS);
    }
    void find_device() { // the one that the other tests use
        uint32_t count = 16;
        VkPhysicalDevice all[16];
        entry<PFN_vkEnumeratePhysicalDevices>("vkEnumeratePhysicalDevices")(instance_, &count, all);
        for (uint32_t i = 0; i < count; i++) {
            VkPhysicalDeviceProperties properties;
            entry<PFN_vkGetPhysicalDeviceProperties>("vkGetPhysicalDeviceProperties")(all[i], &properties);
            if (test_device().caps().name == properties.deviceName)
                physical_ = all[i];
        }
        REQUIRE(physical_ != VK_NULL_HANDLE);
        VkQueueFamilyProperties families[16];
        count = 16;
        entry<PFN_vkGetPhysicalDeviceQueueFamilyProperties>("vkGetPhysicalDeviceQueueFamilyProperties")(
            physical_, &count, families);
        while (family_ < count && !(families[family_].queueFlags & VK_QUEUE_COMPUTE_BIT))
            family_++;
        REQUIRE(family_ < count);
    }
    PFN_vkGetInstanceProcAddr get_ = nullptr;
    VkInstance instance_ = VK_NULL_HANDLE;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
    VkQueue queue_ = VK_NULL_HANDLE;
    uint32_t family_ = 0;
};

} // namespace

TEST_CASE("an adopted device without extensions computes what a created one does, and outlives the adoption") {
    std::vector<float> expected = run_sample_network(test_device());
    Host host;
    {
        std::unique_ptr<Device> device = Device::adopt(host.offer());
        CHECK(!device->caps().subgroup_size_control); // nothing was declared, so nothing is used
        std::vector<float> got = run_sample_network(*device);
        if (device->caps().subgroup == test_device().caps().subgroup)
            CHECK(bits_of(got) == bits_of(expected));
        else
            check_same_results(got, expected);
        CHECK(host.held == 0);
        CHECK(host.submissions > 1);
    }
    CHECK(host.still_works());
    Device::adopt(host.offer()); // and may be adopted again
    CHECK(host.still_works());
}

TEST_CASE("an adopted device does not read the environment unless it is told to") {
    Host host;
    Environment mask("VKVAE_LIMIT_GROUPS", "7");
    HostDevice offer = host.offer();
    CHECK(Device::adopt(offer)->caps().max_group_count > 7);
    offer.read_environment = true;
    CHECK(Device::adopt(offer)->caps().max_group_count == 7);
}

TEST_CASE("an incomplete or too old host device is refused") {
    Host host;
    HostDevice offer = host.offer();
    offer.queue = VK_NULL_HANDLE;
    CHECK(outcome_of([&] { Device::adopt(offer); }).says("queue"));
    offer = host.offer();
    offer.api_version = VK_API_VERSION_1_0;
    Outcome outcome = outcome_of([&] { Device::adopt(offer); });
    CHECK(outcome.status == Status::device);
    CHECK(outcome.says("1.0"));
    CHECK(host.still_works());
}
