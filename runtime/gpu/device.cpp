// A Vulkan device: listed, chosen, created, or adopted from the host; copies, submission, clean-up.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "gpu/caps.hpp"
#include "gpu/pipeline_cache.hpp"
#include "gpu/submit.hpp"

namespace vkvae {
namespace {

constexpr uint64_t kStagingBytes = 4u << 20; // larger copies go through in pieces of this size

VKAPI_ATTR VkBool32 VKAPI_CALL on_debug_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                                VkDebugUtilsMessageTypeFlagsEXT,
                                                const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
    (*static_cast<std::function<void(const char*)>*>(user))(data->pMessage);
    return VK_FALSE;
}

VkDebugUtilsMessengerCreateInfoEXT messenger_info(std::function<void(const char*)>& message) {
    VkDebugUtilsMessengerCreateInfoEXT info = {VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
    info.messageSeverity =
        VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    info.messageType =
        VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
    info.pfnUserCallback = on_debug_message;
    info.pUserData = &message;
    return info;
}

VkInstance create_instance(Functions& fn, std::function<void(const char*)>& message, bool& debug) {
    uint32_t count = 0;
    VKVAE_CHECK(fn.vkEnumerateInstanceExtensionProperties(nullptr, &count, nullptr));
    std::vector<VkExtensionProperties> known(count);
    VKVAE_CHECK(fn.vkEnumerateInstanceExtensionProperties(nullptr, &count, known.data()));
    auto offers = [&](const char* name) {
        return std::any_of(known.begin(), known.end(), [&](auto& e) { return !std::strcmp(e.extensionName, name); });
    };
    std::vector<const char*> enable;
    VkInstanceCreateFlags flags = 0;
    debug = message && offers(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    if (debug)
        enable.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    if (offers("VK_KHR_portability_enumeration")) { // MoltenVK is listed only if asked for
        enable.push_back("VK_KHR_portability_enumeration");
        flags |= 1; // VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR
    }
    VkApplicationInfo application = {VK_STRUCTURE_TYPE_APPLICATION_INFO};
    application.pApplicationName = "vkvae";
    application.pEngineName = "vkvae";
    application.apiVersion = VK_API_VERSION_1_1;
    VkDebugUtilsMessengerCreateInfoEXT messages = messenger_info(message);
    VkInstanceCreateInfo info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    info.pNext = debug ? &messages : nullptr;
    info.flags = flags;
    info.pApplicationInfo = &application;
    info.enabledExtensionCount = uint32_t(enable.size());
    info.ppEnabledExtensionNames = enable.data();
    VkInstance instance = VK_NULL_HANDLE;
    VKVAE_CHECK(fn.vkCreateInstance(&info, nullptr, &instance));
    fn.load_instance(instance);
    return instance;
}

struct Listed {
    VkPhysicalDevice handle;
    DeviceInfo info;
};

std::vector<Listed> list_devices(const Functions& fn, VkInstance instance, bool read_environment) {
    uint32_t count = 0;
    VKVAE_CHECK(fn.vkEnumeratePhysicalDevices(instance, &count, nullptr));
    std::vector<VkPhysicalDevice> handles(count);
    VKVAE_CHECK(fn.vkEnumeratePhysicalDevices(instance, &count, handles.data()));
    std::vector<Listed> devices;
    for (uint32_t i = 0; i < count; i++) {
        std::vector<std::string> extensions = device_extensions(fn, handles[i]);
        Listed entry = {handles[i], {i, read_caps(fn, handles[i], VK_API_VERSION_1_1, extensions, nullptr), ""}};
        if (read_environment)
            mask_caps(entry.info.caps);
        entry.info.unusable = why_unusable(entry.info.caps);
        devices.push_back(entry);
    }
    return devices;
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    return text;
}

bool matches(const DeviceInfo& info, const std::string& select) {
    bool number = std::all_of(select.begin(), select.end(), [](unsigned char c) { return std::isdigit(c); });
    if (number && select.size() < 3) // longer ones are models: 4090, 780M's 780
        return select == std::to_string(info.index);
    std::string wanted = lower(select);
    return wanted == vendor_name(info.caps.vendor_id) || (wanted == "cpu" && info.caps.is_cpu()) ||
           lower(info.caps.name).find(wanted) != std::string::npos;
}

int preference(const Caps& caps) {
    switch (caps.type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 0;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 1;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 3;
    default:
        return 4;
    }
}

const Listed& choose(const std::vector<Listed>& devices, const std::string& select) {
    const Listed* best = nullptr;
    std::string seen;
    for (const Listed& entry : devices) {
        seen += concat_text("\n  ", entry.info.index, ": ", entry.info.caps.name,
                            entry.info.unusable.empty() ? "" : " (cannot be used: ", entry.info.unusable,
                            entry.info.unusable.empty() ? "" : ")");
        if (!entry.info.unusable.empty() || (!select.empty() && !matches(entry.info, select)))
            continue;
        if (!best || preference(entry.info.caps) < preference(best->info.caps))
            best = &entry;
    }
    if (!best && devices.empty())
        fail(Status::device, "no Vulkan device: no driver is installed (Debian: mesa-vulkan-drivers)");
    if (!best)
        fail(Status::device, "no usable Vulkan device matches '", select, "'; there are:", seen);
    return *best;
}

// A compute family without graphics leaves the desktop its own queue.
uint32_t choose_family(const Functions& fn, VkPhysicalDevice device) {
    uint32_t count = 0;
    fn.vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    fn.vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
    for (VkQueueFlags unwanted : {VkQueueFlags(VK_QUEUE_GRAPHICS_BIT), VkQueueFlags(0)})
        for (uint32_t i = 0; i < count; i++)
            if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && !(families[i].queueFlags & unwanted))
                return i;
    fail(Status::device, "the device has no compute queue");
}

} // namespace

std::vector<DeviceInfo> Device::list(const DeviceOptions& options) {
    Functions fn;
    fn.load_global(options.get_instance_proc_addr);
    std::function<void(const char*)> silent;
    bool debug = false;
    VkInstance instance = VK_NULL_HANDLE;
    std::vector<DeviceInfo> infos;
    try {
        instance = create_instance(fn, silent, debug);
        for (const Listed& entry : list_devices(fn, instance, options.read_environment))
            infos.push_back(entry.info);
    } catch (...) {
        if (instance)
            fn.vkDestroyInstance(instance, nullptr);
        throw;
    }
    fn.vkDestroyInstance(instance, nullptr);
    return infos;
}

std::unique_ptr<Device> Device::create(const DeviceOptions& options) {
    std::unique_ptr<Device> self(new Device);
    self->fn_ = std::make_unique<Functions>();
    self->owned_ = true;
    self->message_ = options.message;
    Functions& fn = *self->fn_;
    fn.load_global(options.get_instance_proc_addr);
    bool debug = false;
    self->instance_ = create_instance(fn, self->message_, debug);
    if (debug && fn.vkCreateDebugUtilsMessengerEXT) {
        VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(self->message_);
        VKVAE_CHECK(fn.vkCreateDebugUtilsMessengerEXT(self->instance_, &info, nullptr, &self->messenger_));
    }
    std::vector<Listed> devices = list_devices(fn, self->instance_, options.read_environment);
    const Listed& chosen = choose(devices, options.select);
    self->physical_ = chosen.handle;
    self->caps_ = chosen.info.caps;
    self->queue_family_ = choose_family(fn, self->physical_);

    float priority = 1;
    VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
    queue.queueFamilyIndex = self->queue_family_;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    std::vector<const char*> enable;
    std::vector<std::string> offered = device_extensions(fn, self->physical_);
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    size_control.subgroupSizeControl = size_control.computeFullSubgroups = VK_TRUE;
    if (self->caps_.subgroup_size_control)
        enable.push_back(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    VkPhysicalDeviceShaderFloat16Int8Features f16 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, &f16};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, &memory_model};
    f16.shaderFloat16 = memory_model.vulkanMemoryModel = coopmat.cooperativeMatrix = VK_TRUE;
    if (self->caps_.coopmat) {
        enable.insert(enable.end(), {VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME,
                                     VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME,
                                     VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME});
        size_control.pNext = &coopmat; // they need it, so it is in the chain
    }
    if (self->caps_.memory_budget)
        enable.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    if (has_extension(offered, "VK_KHR_portability_subset")) // must be enabled where it exists
        enable.push_back("VK_KHR_portability_subset");
    VkDeviceCreateInfo info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
    info.pNext = self->caps_.subgroup_size_control ? &size_control : nullptr;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.enabledExtensionCount = uint32_t(enable.size());
    info.ppEnabledExtensionNames = enable.data();
    VKVAE_CHECK(fn.vkCreateDevice(self->physical_, &info, nullptr, &self->device_));
    fn.load_device(self->device_);
    fn.vkGetDeviceQueue(self->device_, self->queue_family_, 0, &self->queue_);
    if (!options.cache_dir.empty())
        self->cache_file_ = pipeline_cache_file(options.cache_dir, self->caps_);
    self->finish_setup(options.read_environment);
    return self;
}

std::unique_ptr<Device> Device::adopt(const HostDevice& host) {
    require(host.get_instance_proc_addr && host.instance && host.physical_device && host.device && host.queue,
            "HostDevice: get_instance_proc_addr, instance, physical_device, device and queue must be given");
    std::unique_ptr<Device> self(new Device);
    self->fn_ = std::make_unique<Functions>();
    Functions& fn = *self->fn_;
    fn.load_global(host.get_instance_proc_addr);
    fn.load_instance(host.instance);
    fn.load_device(host.device);
    self->instance_ = host.instance;
    self->physical_ = host.physical_device;
    self->device_ = host.device;
    self->queue_ = host.queue;
    self->queue_family_ = host.queue_family;
    self->lock_queue_ = host.lock_queue;
    self->unlock_queue_ = host.unlock_queue;
    self->lock_user_ = host.user;
    // Nothing declared means nothing enabled.
    VkPhysicalDeviceFeatures2 none = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    self->caps_ = read_caps(fn, host.physical_device, host.api_version, host.enabled_extensions,
                            host.enabled_features ? host.enabled_features : &none);
    if (host.read_environment)
        mask_caps(self->caps_);
    std::string why = why_unusable(self->caps_);
    if (!why.empty())
        fail(Status::device, "the host's device cannot be used: ", why);
    self->finish_setup(host.read_environment);
    return self;
}

void Device::finish_setup(bool read_environment) {
    // The one layout shared by all kernels: StepParams, bound at a dynamic offset.
    VkDescriptorSetLayoutBinding binding = {0, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC, 1,
                                            VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
    VkDescriptorSetLayoutCreateInfo info = {VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO};
    info.bindingCount = 1;
    info.pBindings = &binding;
    VKVAE_CHECK(fn_->vkCreateDescriptorSetLayout(device_, &info, nullptr, &step_layout_));

    std::vector<std::byte> blob;
    if (!cache_file_.empty())
        blob = load_pipeline_cache(cache_file_, caps_);
    VkPipelineCacheCreateInfo cache = {VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    cache.initialDataSize = blob.size();
    cache.pInitialData = blob.data();
    VKVAE_CHECK(fn_->vkCreatePipelineCache(device_, &cache, nullptr, &pipeline_cache_));

    VkPhysicalDeviceMemoryProperties2 memory = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    fn_->vkGetPhysicalDeviceMemoryProperties2(physical_, &memory);
    memory_types_ = memory.memoryProperties;
    // Submissions are sized to a fraction of a second; a software device may share its cores with others.
    timeout_seconds_ = caps_.is_cpu() ? 600 : 60;
    if (const char* text = read_environment ? std::getenv("VKVAE_TIMEOUT") : nullptr) {
        char* end = nullptr;
        timeout_seconds_ = std::strtod(text, &end);
        if (!(timeout_seconds_ > 0 && timeout_seconds_ <= 1e9) || *end)
            fail(Status::usage, "VKVAE_TIMEOUT='", text, "' is not a number of seconds, above 0 and at most 1e9");
    }
}

Device::~Device() {
    if (!fn_)
        return;
    staging_ = Buffer();
    if (device_ && fn_->vkDestroyPipeline) {
        for (auto& [key, kernel] : kernels_)
            destroy_kernel(*kernel);
        fn_->vkDestroyPipelineCache(device_, pipeline_cache_, nullptr);
        fn_->vkDestroyDescriptorSetLayout(device_, step_layout_, nullptr);
        if (owned_)
            fn_->vkDestroyDevice(device_, nullptr);
    }
    if (owned_ && instance_) {
        if (messenger_)
            fn_->vkDestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
        fn_->vkDestroyInstance(instance_, nullptr);
    }
}

void Device::save_pipeline_cache() {
    if (cache_file_.empty() || kernels_compiled_ == 0)
        return;
    size_t bytes = 0;
    VKVAE_CHECK(fn_->vkGetPipelineCacheData(device_, pipeline_cache_, &bytes, nullptr));
    std::vector<std::byte> blob(bytes);
    VKVAE_CHECK(fn_->vkGetPipelineCacheData(device_, pipeline_cache_, &bytes, blob.data()));
    blob.resize(bytes);
    store_pipeline_cache(cache_file_, caps_, blob);
    kernels_compiled_ = 0;
}

void Device::submit(VkCommandBuffer commands, VkFence fence) {
    VkSubmitInfo info = {VK_STRUCTURE_TYPE_SUBMIT_INFO};
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands;
    if (lock_queue_)
        lock_queue_(lock_user_);
    VkResult result = fn_->vkQueueSubmit(queue_, 1, &info, fence);
    if (unlock_queue_)
        unlock_queue_(lock_user_);
    check_result(result, "vkQueueSubmit", __FILE__, __LINE__);
}

void Device::run_now(const std::function<void(VkCommandBuffer)>& record) {
    Commands commands(*this);
    VkCommandBuffer handle = commands.begin();
    barrier_around_copies(*fn_, handle);
    record(handle);
    barrier_around_copies(*fn_, handle);
    commands.end();
    commands.submit();
    commands.wait();
}

void Device::upload(const Buffer& to, uint64_t offset, std::span<const std::byte> data) {
    require(offset + data.size() <= to.bytes, "upload of ", data.size(), " bytes at ", offset, " into a buffer of ",
            to.bytes);
    if (to.mapped) {
        std::memcpy(to.mapped + offset, data.data(), data.size());
        return;
    }
    if (!staging_.handle && !data.empty())
        staging_ = Buffer(*this, kStagingBytes, Memory::readback, "staging");
    for (uint64_t done = 0; done < data.size();) {
        uint64_t piece = std::min<uint64_t>(data.size() - done, kStagingBytes);
        std::memcpy(staging_.mapped, data.data() + done, piece);
        run_now([&](VkCommandBuffer commands) {
            VkBufferCopy region = {0, offset + done, piece};
            fn_->vkCmdCopyBuffer(commands, staging_.handle, to.handle, 1, &region);
        });
        done += piece;
    }
}

void Device::download(const Buffer& from, uint64_t offset, std::span<std::byte> data) {
    require(offset + data.size() <= from.bytes, "download of ", data.size(), " bytes at ", offset,
            " from a buffer of ", from.bytes);
    if (from.mapped) {
        std::memcpy(data.data(), from.mapped + offset, data.size());
        return;
    }
    if (!staging_.handle && !data.empty())
        staging_ = Buffer(*this, kStagingBytes, Memory::readback, "staging");
    for (uint64_t done = 0; done < data.size();) {
        uint64_t piece = std::min<uint64_t>(data.size() - done, kStagingBytes);
        run_now([&](VkCommandBuffer commands) {
            VkBufferCopy region = {offset + done, 0, piece};
            fn_->vkCmdCopyBuffer(commands, from.handle, staging_.handle, 1, &region);
        });
        std::memcpy(data.data() + done, staging_.mapped, piece);
        done += piece;
    }
}

void Device::fill(const Buffer& to, uint64_t offset, uint64_t bytes, uint32_t word) {
    require(offset % 4 == 0 && bytes % 4 == 0 && offset + bytes <= to.bytes, "fill of ", bytes, " bytes at ", offset,
            " in a buffer of ", to.bytes);
    if (bytes == 0)
        return;
    run_now([&](VkCommandBuffer commands) { fn_->vkCmdFillBuffer(commands, to.handle, offset, bytes, word); });
}

} // namespace vkvae
