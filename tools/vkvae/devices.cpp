// vkvae devices: what is there, its limits, and which kernels would run on it.
#include <cstdio>
#include <iostream>

#include "gpu/caps.hpp"
#include "ops/gemm.hpp"
#include "vkvae/common.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

const char* type_name(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return "cpu";
    default:
        return "other";
    }
}

// What is picked for a large product: the variant that most of the time goes into.
std::string matmul_variant(const Caps& caps, bool f16 = false) {
    Gemm gemm = gemm_candidates(caps, 1024, 1024, 1024, {Read::along_k, Read::along_side, f16}, false)[0];
    return concat_text(gemm.suffix.substr(1), " ", gemm.tile_m, "x", gemm.tile_n);
}

Json describe(const DeviceInfo& info) {
    const Caps& c = info.caps;
    Json features = Json::array();
    for (const auto& [name, on] : {std::pair{"subgroup", c.subgroup}, {"size_control", c.subgroup_size_control},
                                   {"timestamps", c.timestamps}, {"f16", c.f16}, {"coopmat", c.coopmat},
                                   {"memory_budget", c.memory_budget}})
        if (on)
            features.push_back(name);
    Json d = {{"index", info.index},
              {"name", c.name},
              {"type", type_name(c.type)},
              {"vendor", vendor_name(c.vendor_id)},
              {"driver", c.driver},
              {"api", concat_text(VK_API_VERSION_MAJOR(c.api_version), ".", VK_API_VERSION_MINOR(c.api_version))},
              {"memory_bytes", c.heap_bytes},
              {"subgroup_size", c.subgroup_size},
              {"max_invocations", c.max_invocations},
              {"max_shared_bytes", c.max_shared_bytes},
              {"max_storage_range", c.max_storage_range},
              {"max_allocation", c.max_allocation},
              {"features", features}};
    if (c.coopmat)
        d["coopmat_shape"] = c.coopmat_shape;
    if (info.unusable.empty())
        d["kernels"] = {{"matmul", matmul_variant(c)},
                        {"conv2d", matmul_variant(c)},
                        {"matmul_f16", matmul_variant(c, true)},
                        {"conv2d_f16", matmul_variant(c, true)}};
    else
        d["unusable"] = info.unusable;
    return d;
}

void print_table(const std::vector<DeviceInfo>& devices) {
    for (const DeviceInfo& info : devices) {
        Json d = describe(info);
        const Caps& c = info.caps;
        std::cout << info.index << "  " << c.name << "\n";
        std::string features;
        for (const Json& name : d["features"])
            features += concat_text(features.empty() ? "" : ", ", name.get<std::string>());
        auto [m, n, k] = c.coopmat_shape;
        std::printf("   %-12s %s, %s, Vulkan %s\n", "device", type_name(c.type), vendor_name(c.vendor_id),
                    d["api"].get<std::string>().c_str());
        std::printf("   %-12s %s\n", "driver", c.driver.c_str());
        std::printf("   %-12s %.1f GiB; %.0f MiB in one binding, %.1f GiB in one allocation\n", "memory",
                    double(c.heap_bytes) / (1 << 30), double(c.max_storage_range) / (1 << 20),
                    double(c.max_allocation) / (1 << 30));
        std::printf("   %-12s %u lanes; %u invocations, %u KiB shared memory in a workgroup\n", "subgroup",
                    c.subgroup_size, unsigned(c.max_invocations), unsigned(c.max_shared_bytes / 1024));
        std::printf("   %-12s %s\n", "features", features.c_str());
        if (c.coopmat)
            std::printf("   %-12s %ux%u times %ux%u in f16, added up in f32\n", "matrices", m, k, k, n);
        if (info.unusable.empty())
            std::printf("   %-12s matmul and conv2d: %s, in f16 %s\n", "kernels", matmul_variant(c).c_str(),
                        matmul_variant(c, true).c_str());
        else
            std::printf("   %-12s %s\n", "unusable", info.unusable.c_str());
        std::fflush(stdout);
    }
}

} // namespace

void add_devices(CLI::App& app) {
    CLI::App* verb = app.add_subcommand("devices", "list devices, their limits and the kernels chosen for them");
    auto common = std::make_shared<Common>();
    add_common(*verb, *common);
    verb->callback([common] {
        std::vector<DeviceInfo> devices = Device::list();
        if (!common->device.empty()) { // the one that would be used
            std::string name = open_device(*common)->caps().name;
            std::erase_if(devices, [&](const DeviceInfo& info) { return info.caps.name != name; });
        }
        if (devices.empty())
            fail(Status::device, "no Vulkan device: no driver is installed (Debian: mesa-vulkan-drivers)");
        if (common->json) {
            Json list = Json::array();
            for (const DeviceInfo& info : devices)
                list.push_back(describe(info));
            std::cout << Json{{"devices", list}}.dump() << std::endl;
        } else {
            print_table(devices);
        }
    });
}

} // namespace vkvae
