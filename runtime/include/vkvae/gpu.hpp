// The device layer: a Vulkan device created here or adopted from the host, its capabilities, buffers and kernels.
// Knows Vulkan and nothing of tensors. Baseline: Vulkan 1.1, no extension, no optional feature, f32.
//
// Threads: one Device and everything made from it is externally synchronised; two Devices are independent.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan_core.h>

#include "vkvae/error.hpp"

namespace vkvae {

struct Functions; // our own table of entry points, gpu/functions.hpp
class Device;

// What a device can do. Limits are the device's own, lowered by VKVAE_LIMIT_<NAME>=N; features are true only if the
// device has them, they were enabled, and VKVAE_DISABLE=name,name does not mask them.
struct Caps {
    std::string name;
    std::string driver;
    uint32_t vendor_id = 0, device_id = 0, driver_version = 0, api_version = 0;
    uint8_t cache_uuid[VK_UUID_SIZE] = {};
    VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
    bool is_cpu() const { return type == VK_PHYSICAL_DEVICE_TYPE_CPU; }

    // limits                               name for VKVAE_LIMIT_
    uint64_t max_invocations = 0;        // INVOCATIONS      work items in a workgroup
    uint64_t max_shared_bytes = 0;       // SHARED           shared memory of a workgroup
    uint64_t max_group_count = 0;        // GROUPS           workgroups along x and y
    uint64_t max_storage_range = 0;      // STORAGE_RANGE    bytes that one binding can see
    uint64_t max_allocation = 0;         // ALLOCATION       bytes in one memory allocation
    uint64_t max_push_bytes = 0;         // PUSH             push constants
    uint64_t max_storage_buffers = 0;    // STORAGE_BUFFERS  bindings of one kernel
    uint64_t max_texels = 0;             // TEXELS           elements of one texel buffer
    uint64_t storage_align = 256;        // -                of the offset of a storage or texel buffer
    uint64_t uniform_align = 256;        // -                of a dynamic uniform offset
    uint64_t heap_bytes = 0;             // HEAP             device-local memory, or its budget where known
    uint64_t max_uniform_range = 0;      // -
    uint64_t gemm_tile = 0;              // VKVAE_GEMM_TILE=N: tile N of ops/gemm.hpp for every product that takes it;
                                         // 0: as suits it
    uint64_t winograd = 0;               // VKVAE_WINOGRAD=1: never; 2: for every convolution that can be; 0: as suits it
    uint32_t subgroup_size = 1;          // of kernels that use subgroups
    std::array<uint32_t, 3> coopmat_shape = {}; // m, n, k of the product that a subgroup does at once; zeros: none
    float timestamp_ns = 0;              // nanoseconds per tick

    // features                             name for VKVAE_DISABLE
    bool subgroup = false;               // subgroup         broadcast and shuffle in compute, size fixed or pinned
    bool subgroup_size_control = false;  // size_control     pin the size, require full subgroups
    bool timestamps = false;             // timestamps
    bool f16 = false;                    // f16              16-bit arithmetic and storage (reported, f32 runs everywhere)
    bool coopmat = false;                // coopmat          subgroups multiply matrices of f16 and add up f32
    bool memory_budget = false;          // memory_budget
};

struct DeviceInfo {
    uint32_t index = 0; // position in the loader's order, what --device N means
    Caps caps;
    std::string unusable; // empty, or why vkvae cannot run on it
};

struct DeviceOptions {
    // Index ("1"), vendor ("amd", "intel", "nvidia", "cpu", ...) or a part of the name, case-insensitive.
    // Empty: discrete before integrated before virtual before CPU.
    std::string select;
    std::string cache_dir;        // pipeline cache; empty: none
    bool read_environment = true; // VKVAE_DISABLE, VKVAE_LIMIT_*, VKVAE_TIMEOUT
    PFN_vkGetInstanceProcAddr get_instance_proc_addr = nullptr; // null: the system loader
    // Validation and driver messages (VK_EXT_debug_utils, where a layer offers it); null: not asked for.
    std::function<void(const char* text)> message;
};

// A device that the host created. Everything is borrowed and must outlive the Device. Enabled features cannot be
// queried from a VkDevice, so the host says what it enabled; vkvae uses nothing beyond that.
struct HostDevice {
    PFN_vkGetInstanceProcAddr get_instance_proc_addr = nullptr;
    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice physical_device = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    VkQueue queue = VK_NULL_HANDLE; // must support compute
    uint32_t queue_family = 0;
    uint32_t api_version = VK_API_VERSION_1_1; // what the instance was created with
    const VkPhysicalDeviceFeatures2* enabled_features = nullptr;
    std::vector<std::string> enabled_extensions;
    // Called around every vkQueueSubmit, if the queue is shared with other threads.
    void (*lock_queue)(void* user) = nullptr;
    void (*unlock_queue)(void* user) = nullptr;
    void* user = nullptr;
    bool read_environment = false;
};

enum class Memory {
    device,  // fastest for kernels; the host reaches it through upload() and download()
    upload,  // host-visible, written by the host, read by kernels
    readback // host-visible and cached, written by kernels, read by the host
};

// Bytes on the GPU. Move-only; freed when it goes out of scope, which must be after the work that uses it.
class Buffer {
  public:
    Buffer() = default;
    Buffer(Device& device, uint64_t bytes, Memory kind, const char* what);
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer();

    VkBuffer handle = VK_NULL_HANDLE;
    uint64_t bytes = 0;
    std::byte* mapped = nullptr; // upload and readback kinds

  private:
    void swap(Buffer& other) noexcept;
    void release();
    Device* device_ = nullptr;
    VkDeviceMemory memory_ = VK_NULL_HANDLE;
};

// SPIR-V with a name. The library's own come from find_shader(); a host may bring its own.
struct Shader {
    const char* name = nullptr;
    std::span<const uint32_t> code;
};

// The interface of a shader, read from its SPIR-V: the GLSL is the only place where it is written down.
// Set 0 holds storage buffers and read-only texel buffers (samplerBuffer, usamplerBuffer) at bindings 0..n-1; set 1
// binding 0, if present, is the StepParams block.
struct ShaderInterface {
    struct Binding {
        bool reads = true, writes = true;
        bool texels = false;
        bool bits = false; // texels that are read as integers
    };
    std::vector<Binding> bindings;
    bool uses_step = false;
    bool uses_subgroup = false;
    bool uses_coopmat = false;
    uint32_t push_bytes = 0;
};

// A shader with its specialization constants: a pipeline.
struct Kernel {
    std::string name;
    ShaderInterface interface;
    VkDescriptorSetLayout set_layout = VK_NULL_HANDLE;
    VkPipelineLayout layout = VK_NULL_HANDLE;
    VkPipeline pipeline = VK_NULL_HANDLE;
};

// A shader with its specialization constants 0..n-1.
struct KernelRequest {
    const Shader* shader;
    std::span<const uint32_t> constants;
};

class Device {
  public:
    // Every device the loader shows, usable or not. Errors: Status::device if there is no loader.
    static std::vector<DeviceInfo> list(const DeviceOptions& options = {});
    // Creates instance, device and queue, on the preferred one of the devices that the selection fits. Errors:
    // Status::device (no loader, no device, none that fits or that can run vkvae).
    static std::unique_ptr<Device> create(const DeviceOptions& options = {});
    // Uses the host's. Never waits for the device as a whole, never destroys what it did not create.
    static std::unique_ptr<Device> adopt(const HostDevice& host);
    ~Device();
    Device(const Device&) = delete;

    const Caps& caps() const { return caps_; }
    Functions& fn() { return *fn_; } // tests replace entries to make calls fail
    VkDevice handle() const { return device_; }
    uint32_t queue_family() const { return queue_family_; }
    VkDescriptorSetLayout step_layout() const { return step_layout_; }
    double timeout_seconds() const { return timeout_seconds_; } // longest wait for one submission

    // A pipeline for each request, made once and then found; they live as long as the device.
    // Cost: compiles on first use (milliseconds to seconds), on threads of its own, one for each core, which have ended
    // when it returns. Errors: Status::device, with the kernel's name; those that could be made stay.
    std::vector<const Kernel*> kernels(std::span<const KernelRequest> requests);

    // Copies between host and a device buffer through staging. Submits and waits.
    void upload(const Buffer& to, uint64_t offset, std::span<const std::byte> data);
    void download(const Buffer& from, uint64_t offset, std::span<std::byte> data);
    // Fills with a repeated 32-bit word; offset and size are multiples of 4. Submits and waits.
    void fill(const Buffer& to, uint64_t offset, uint64_t bytes, uint32_t word);

    void submit(VkCommandBuffer commands, VkFence fence); // takes the queue lock
    const std::string& cache_file() const { return cache_file_; } // of the pipelines; empty: none
    void save_pipeline_cache();                           // to DeviceOptions::cache_dir, if something was compiled

    VkDeviceMemory allocate(const VkMemoryRequirements& needs, Memory kind, const char* what, bool& host_visible);
    uint64_t allocated_bytes = 0; // what lives now, in Buffers of this device

  private:
    Device() = default;
    friend class Buffer;
    void finish_setup(bool read_environment);
    void destroy_kernel(Kernel& kernel);
    void run_now(const std::function<void(VkCommandBuffer)>& record);

    std::unique_ptr<Functions> fn_;
    Caps caps_;
    bool owned_ = false;
    VkInstance instance_ = VK_NULL_HANDLE;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue queue_ = VK_NULL_HANDLE;
    uint32_t queue_family_ = 0;
    void (*lock_queue_)(void*) = nullptr;
    void (*unlock_queue_)(void*) = nullptr;
    void* lock_user_ = nullptr;
    VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
    std::function<void(const char*)> message_;
    VkPhysicalDeviceMemoryProperties memory_types_ = {};
    VkDescriptorSetLayout step_layout_ = VK_NULL_HANDLE;
    VkPipelineCache pipeline_cache_ = VK_NULL_HANDLE;
    std::string cache_file_;
    size_t kernels_compiled_ = 0;
    double timeout_seconds_ = 60;
    std::map<std::string, std::unique_ptr<Kernel>> kernels_;
    Buffer staging_;
};

// A shader of the library by name, "matmul_tile" for example. Throws if there is none.
const Shader& find_shader(const std::string& name);
std::span<const Shader> all_shaders();

} // namespace vkvae
