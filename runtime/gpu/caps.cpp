// Reads what a physical device offers, and lowers it by the environment's masks.
#include "gpu/caps.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace vkvae {
namespace {

struct FeatureName {
    const char* name;
    bool Caps::*feature;
};
const FeatureName kFeatures[] = {
    {"subgroup", &Caps::subgroup},     {"size_control", &Caps::subgroup_size_control},
    {"timestamps", &Caps::timestamps}, {"f16", &Caps::f16},
    {"coopmat", &Caps::coopmat},       {"memory_budget", &Caps::memory_budget},
};

struct LimitName {
    const char* name;
    uint64_t Caps::*limit;
};
const LimitName kLimits[] = {
    {"INVOCATIONS", &Caps::max_invocations},
    {"SHARED", &Caps::max_shared_bytes},
    {"GROUPS", &Caps::max_group_count},
    {"STORAGE_RANGE", &Caps::max_storage_range},
    {"ALLOCATION", &Caps::max_allocation},
    {"PUSH", &Caps::max_push_bytes},
    {"STORAGE_BUFFERS", &Caps::max_storage_buffers},
    {"TEXELS", &Caps::max_texels},
    {"HEAP", &Caps::heap_bytes},
};

// Appends a structure to a Vulkan pNext chain.
template <class Chain, class Link> void chain(Chain& head, Link& link) {
    link.pNext = head.pNext;
    head.pNext = &link;
}

} // namespace

bool has_extension(std::span<const std::string> extensions, const char* name) {
    return std::find(extensions.begin(), extensions.end(), name) != extensions.end();
}

std::vector<std::string> device_extensions(const Functions& fn, VkPhysicalDevice device) {
    uint32_t count = 0;
    VKVAE_CHECK(fn.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr));
    std::vector<VkExtensionProperties> properties(count);
    VKVAE_CHECK(fn.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, properties.data()));
    std::vector<std::string> names;
    for (uint32_t i = 0; i < count; i++)
        names.push_back(properties[i].extensionName);
    return names;
}

const char* vendor_name(uint32_t vendor_id) {
    switch (vendor_id) {
    case 0x1002:
    case 0x1022:
        return "amd";
    case 0x8086:
        return "intel";
    case 0x10de:
        return "nvidia";
    case 0x106b:
        return "apple";
    case 0x13b5:
        return "arm";
    case 0x5143:
        return "qualcomm";
    case 0x1010:
        return "imagination";
    case 0x10005:
        return "mesa";
    case 0x1ae0:
        return "google";
    default:
        return "other";
    }
}

namespace {

void read_limits(const Functions& fn, VkPhysicalDevice device, Caps& caps, bool budget_known) {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    if (budget_known)
        chain(memory, budget);
    fn.vkGetPhysicalDeviceMemoryProperties2(device, &memory);
    for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; i++) {
        const VkMemoryHeap& heap = memory.memoryProperties.memoryHeaps[i];
        uint64_t bytes = budget_known && budget.heapBudget[i] ? budget.heapBudget[i] : heap.size;
        if (heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            caps.heap_bytes = std::max(caps.heap_bytes, bytes);
    }
}

// The largest shape in which a subgroup multiplies f16 and adds up f32; zeros if there is none.
std::array<uint32_t, 3> find_coopmat_shape(const Functions& fn, VkPhysicalDevice device) {
    std::array<uint32_t, 3> best = {};
    if (!fn.vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)
        return best;
    uint32_t count = 0;
    VKVAE_CHECK(fn.vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, nullptr));
    std::vector<VkCooperativeMatrixPropertiesKHR> shapes(count,
                                                         {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
    VKVAE_CHECK(fn.vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, shapes.data()));
    for (const VkCooperativeMatrixPropertiesKHR& s : shapes) {
        bool right = s.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && s.BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
                     s.CType == VK_COMPONENT_TYPE_FLOAT32_KHR && s.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
                     s.scope == VK_SCOPE_SUBGROUP_KHR;
        // What the tiles of shaders/common/gemm_coopmat.glsl are made of.
        auto fits = [](uint32_t size) { return size == 8 || size == 16; };
        if (right && fits(s.MSize) && fits(s.NSize) && fits(s.KSize) &&
            s.MSize * s.NSize * s.KSize > best[0] * best[1] * best[2])
            best = {s.MSize, s.NSize, s.KSize};
    }
    return best;
}

} // namespace

Caps read_caps(const Functions& fn, VkPhysicalDevice device, uint32_t instance_version,
               std::span<const std::string> extensions, const VkPhysicalDeviceFeatures2* enabled) {
    Caps caps;
    VkPhysicalDeviceProperties basic;
    fn.vkGetPhysicalDeviceProperties(device, &basic);
    caps.api_version = std::min(basic.apiVersion, instance_version);

    VkPhysicalDeviceSubgroupProperties subgroup = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    bool size_control_known = has_extension(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    chain(properties, subgroup);
    chain(properties, maintenance);
    if (has_extension(extensions, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME))
        chain(properties, driver);
    if (size_control_known)
        chain(properties, sizes);
    fn.vkGetPhysicalDeviceProperties2(device, &properties);

    const VkPhysicalDeviceLimits& limits = basic.limits;
    caps.name = basic.deviceName;
    caps.driver = driver.driverName[0] ? concat_text(driver.driverName, " ", driver.driverInfo)
                                       : concat_text("driver ", basic.driverVersion);
    caps.vendor_id = basic.vendorID;
    caps.device_id = basic.deviceID;
    caps.driver_version = basic.driverVersion;
    std::memcpy(caps.cache_uuid, basic.pipelineCacheUUID, VK_UUID_SIZE);
    caps.type = basic.deviceType;
    caps.max_invocations = std::min(limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0]);
    caps.max_shared_bytes = limits.maxComputeSharedMemorySize;
    caps.max_group_count = std::min(limits.maxComputeWorkGroupCount[0], limits.maxComputeWorkGroupCount[1]);
    caps.max_storage_range = limits.maxStorageBufferRange;
    caps.max_allocation = maintenance.maxMemoryAllocationSize;
    caps.max_push_bytes = limits.maxPushConstantsSize;
    caps.max_storage_buffers =
        std::min(limits.maxPerStageDescriptorStorageBuffers, limits.maxDescriptorSetStorageBuffers);
    caps.max_texels = limits.maxTexelBufferElements;
    caps.max_uniform_range = limits.maxUniformBufferRange;
    caps.storage_align = std::max<uint64_t>(
        {limits.minStorageBufferOffsetAlignment, limits.minTexelBufferOffsetAlignment, 16});
    caps.uniform_align = std::max<uint64_t>(limits.minUniformBufferOffsetAlignment, 16);
    caps.timestamp_ns = limits.timestampPeriod;
    caps.timestamps = limits.timestampComputeAndGraphics && limits.timestampPeriod > 0;
    caps.memory_budget = has_extension(extensions, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    read_limits(fn, device, caps, caps.memory_budget);

    // Features: what the host enabled if it said so, otherwise what the device has and create() will enable.
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    VkPhysicalDeviceShaderFloat16Int8Features f16 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDevice16BitStorageFeatures storage16 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    bool coopmat_known = has_extension(extensions, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) &&
                         has_extension(extensions, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME);
    bool f16_known = has_extension(extensions, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    if (enabled) {
        for (auto* link = static_cast<const VkBaseInStructure*>(enabled->pNext); link; link = link->pNext) {
            if (link->sType == size_control.sType)
                std::memcpy(&size_control, link, sizeof(size_control));
            if (link->sType == f16.sType)
                std::memcpy(&f16, link, sizeof(f16));
            if (link->sType == storage16.sType)
                std::memcpy(&storage16, link, sizeof(storage16));
            if (link->sType == memory_model.sType)
                std::memcpy(&memory_model, link, sizeof(memory_model));
            if (link->sType == coopmat.sType)
                std::memcpy(&coopmat, link, sizeof(coopmat));
        }
    } else {
        VkPhysicalDeviceFeatures2 features = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
        chain(features, storage16);
        if (size_control_known)
            chain(features, size_control);
        if (f16_known)
            chain(features, f16);
        if (coopmat_known) {
            chain(features, memory_model);
            chain(features, coopmat);
        }
        fn.vkGetPhysicalDeviceFeatures2(device, &features);
    }
    caps.f16 = f16_known && f16.shaderFloat16 && storage16.storageBuffer16BitAccess;
    caps.subgroup_size = subgroup.subgroupSize;
    caps.subgroup_size_control = size_control_known && size_control.subgroupSizeControl &&
                                 size_control.computeFullSubgroups &&
                                 (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
    // Drivers list the extension where they refuse the feature, and the feature where no shape fits.
    if (coopmat_known && coopmat.cooperativeMatrix && memory_model.vulkanMemoryModel && f16_known &&
        f16.shaderFloat16 && caps.subgroup_size_control)
        caps.coopmat_shape = find_coopmat_shape(fn, device);
    caps.coopmat = caps.coopmat_shape[0] != 0;
    // Intel reports the widest. Its compiler has matrices in the narrowest only, and says nowhere that it does; and the
    // fewer lanes a subgroup has, the more registers has each.
    if (caps.vendor_id == 0x8086 && caps.subgroup_size_control)
        caps.subgroup_size = sizes.minSubgroupSize;
    // A kernel that relies on the subgroup's size may only run where that size is certain: pinned by size control,
    // or the only one there is. Intel reports 32 and compiles SIMD16 otherwise.
    bool size_certain = caps.subgroup_size_control || caps.is_cpu() ||
                        (size_control_known && sizes.minSubgroupSize == sizes.maxSubgroupSize);
    VkSubgroupFeatureFlags needed =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    caps.subgroup = size_certain && (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                    (subgroup.supportedOperations & needed) == needed;
    return caps;
}

namespace {

// A positive number in an environment variable; none if it is not set.
std::optional<uint64_t> read_number(const std::string& variable) {
    const char* text = std::getenv(variable.c_str());
    if (!text)
        return {};
    char* end = nullptr;
    unsigned long long value = std::strtoull(text, &end, 10);
    if (end == text || *end || value == 0)
        fail(Status::usage, variable, "='", text, "' is not a positive number");
    return value;
}

} // namespace

void mask_caps(Caps& caps) {
    if (const char* list = std::getenv("VKVAE_DISABLE")) {
        std::istringstream words(list);
        for (std::string word; std::getline(words, word, ',');) {
            bool known = word.empty();
            for (const FeatureName& entry : kFeatures)
                if (word == entry.name) {
                    caps.*entry.feature = false;
                    known = true;
                }
            if (!known)
                fail(Status::usage, "VKVAE_DISABLE names '", word,
                     "'; known are subgroup, size_control, timestamps, f16, coopmat, memory_budget");
        }
    }
    caps.coopmat &= caps.subgroup_size_control; // matrices belong to subgroups of one size
    for (const LimitName& entry : kLimits)
        if (auto value = read_number(concat_text("VKVAE_LIMIT_", entry.name)))
            caps.*entry.limit = std::min<uint64_t>(caps.*entry.limit, *value);
    if (auto value = read_number("VKVAE_GEMM_TILE"))
        caps.gemm_tile = *value;
    if (auto value = read_number("VKVAE_WINOGRAD")) {
        if (*value > 2)
            fail(Status::usage, "VKVAE_WINOGRAD is 1, never, or 2, wherever it can be");
        caps.winograd = *value;
    }
}

std::string why_unusable(const Caps& caps) {
    if (caps.api_version < VK_API_VERSION_1_1)
        return concat_text("Vulkan ", VK_API_VERSION_MAJOR(caps.api_version), ".",
                           VK_API_VERSION_MINOR(caps.api_version), ", vkvae needs 1.1");
    // The kernels are written for the limits that every Vulkan device in use offers.
    if (caps.max_storage_buffers < 8 || caps.max_push_bytes < 128 || caps.max_invocations < 64 ||
        caps.max_shared_bytes < 8192)
        return concat_text("limits too low: ", caps.max_storage_buffers, " storage buffers (8 needed), ",
                           caps.max_push_bytes, " push bytes (128), ", caps.max_invocations, " invocations (64), ",
                           caps.max_shared_bytes, " shared bytes (8192)");
    return "";
}

} // namespace vkvae
