// Compiles every kernel with the compiler of the driver that the environment selects, and prints what it says of each.
//
//   vkvae_pipelines [SHADER.spv[,CONSTANT...]]...     files beside the library's own shaders, run.sh's control for one
//
// Kernels: those of a training step of each preset, on the tiles that vkvae takes on this device, of one in f16 and bf16
// too; one graph of the operations that no preset uses; products in every tile that suits the device, of f16 also on
// matrices if it has any, those to and from pictures of three channels; every other shader once with its default
// constants. Not those that only CPU devices get. Nothing is run, so a driver that only pretends to have a device will do.
//
// Standard output: "# device <tab> driver", then for each executable (a pipeline has one for each SIMD width that the
// driver kept) shader, constants and name=value for every statistic, separated by tabs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <utility>

#include "gpu/functions.hpp"
#include "gpu/shader.hpp"
#include "graph/fuse.hpp"
#include "graph/precision.hpp"
#include "ops/gemm.hpp"
#include "vkvae/vae.hpp"

using namespace vkvae;

namespace {

// ---- what is compiled ----------------------------------------------------------------------------------------------

// As the Trainer builds it, without its buffers.
Graph training_step(const std::string& preset, int64_t batch, DType precision = DType::f32) {
    Vae vae(parse_model(preset_model(preset)));
    Graph g;
    Tensor data = g.input({60000, vae.config().pixels()}, "data", DType::u8);
    Tensor indices = g.input({64, batch}, "indices", DType::u32);
    Tensor ring = g.input({64, 7 + vae.kl_columns()}, "statistics");
    Tensor halted = g.input({1}, "halted", DType::u32);
    Tensor scale = g.input({3}, "loss scale");
    Weights w = vae.add_weights(g, precision);
    Elbo e = vae.elbo(g, w, gather(g, data, indices));
    Shape flat = g.shape(w.flat);
    Tensor gradients = g.input(flat, "gradients"), m = g.input(flat, "m"), v = g.input(flat, "v");
    std::vector<Tensor> into = vae.make_parameters().views(g, gradients);
    bool f16 = precision == DType::f16;
    g.backward(e.loss, w.tensors, into, f16 ? g.view(scale, {1}) : Tensor{});
    Tensor control = adam(g, {w.flat, gradients, halted, e.loss, w.narrow, f16 ? scale : Tensor{}}, m, v, {});
    ring_store(g, {{e.loss, e.nll, e.kl, control, e.kl_dims}}, ring, 0);
    return g;
}

// y's gradients, from a seed that is known only when the kernel runs.
void with_gradients(Graph& g, Tensor y, std::vector<Tensor> wrt) { g.backward(y, wrt, {}, g.input(g.shape(y), "dy")); }

// Operations that no preset uses, with their gradients. Sizes matter little: they are push constants.
Graph other_operations() {
    Graph g;
    auto with_gradient = [&](Tensor y, std::vector<Tensor> wrt) { with_gradients(g, y, std::move(wrt)); };
    Tensor a = g.input({128, 64}, "a"), b = g.input({128, 64}, "b"), row = g.input({64}, "row");
    for (uint32_t f = uint32_t(Activation::relu); f <= uint32_t(Activation::softplus); f++)
        with_gradient(activate(g, a, Activation(f)), {a});
    for (auto op : {add, sub, mul}) {
        with_gradient(op(g, a, b), {a, b});
        with_gradient(op(g, a, row), {a, row});
    }
    with_gradient(scale(g, a, 2, 1), {a});
    with_gradient(scale_by_beta(g, a), {a});
    with_gradient(sum(g, a, 1), {a});
    with_gradient(max(g, a, 1), {a});
    with_gradient(softmax(g, a), {a});
    with_gradient(layer_norm(g, a, row, row), {a, row});
    with_gradient(concat(g, a, b), {a, b});
    with_gradient(slice(g, a, 1, 8, 16), {a});

    Tensor x = g.input({128, 16, 16, 64}, "x"), w = g.input({3, 3, 64, 64}, "w");
    with_gradient(conv2d(g, x, w, row, Conv2d::same_sides(1, 1), Activation::gelu), {x, w, row});
    with_gradient(conv_transpose2d(g, x, w, row, Conv2d::same_sides(2, 1), 1, Activation::elu), {x, w, row});
    with_gradient(upsample2x_conv2d(g, x, w, row), {x, w, row});
    with_gradient(upsample2x(g, x), {x});
    with_gradient(group_norm(g, x, row, row, 8), {x, row});
    for (bool transpose_a : {false, true})
        for (bool transpose_b : {false, true}) {
            Tensor square = g.input({1024, 1024}, "square");
            matmul(g, square, square, transpose_a, transpose_b);
        }

    Tensor log_sigma = g.input({1}, "log_sigma"), eps = g.input({128, 64}, "eps");
    with_gradient(gaussian_nll(g, a, b, log_sigma), {b, log_sigma});
    Tensor moments = g.input({128, 128}, "moments");
    Rsample given = rsample(g, moments, eps);
    with_gradient(given.z, {moments});
    with_gradient(given.kl, {moments});
    rsample(g, moments, {}, {.kl = KlEstimate::sampled});
    random_uniform(g, {128, 64}, Stream::sample);
    random_normal(g, {128, 64}, Stream::sample);
    Tensor indices = g.input({64, 128}, "indices", DType::u32);
    for (DType type : {DType::u8, DType::f32})
        for (Binarize binarize : {Binarize::none, Binarize::dynamic})
            gather(g, g.input({60000, 784}, "data", type), indices, binarize);
    Quantized q = quantize(g, a, {{b}}, {.trains_codebooks = true});
    with_gradient(q.error, {a, b});
    with_gradient(embedding(g, b, q.codes[0]), {b});
    with_gradient(cross_entropy(g, a, q.codes[0]), {a});
    with_gradient(causal_mask(g, w, true), {w});
    Tensor hot = one_hot(g, q.codes[0], 128), counts = sum(g, hot, 0, 1);
    perplexity(g, counts);
    update_codebook(g, {b, g.input({128}, "frequencies"), g.input({4}, "control"), counts}, a, hot, {});
    OptimizerState state = {a, b, g.input({1}, "halted", DType::u32)};
    sgd(g, state, eps, 0.9f, 0.01f);
    Tensor m = g.input({128, 64}, "m");
    adam(g, state, m, eps, {.weight_decay = 0.01f, .decoupled_decay = true});
    return g;
}

// One product and one convolution with its gradients, for the tiles that other shapes or a tuner may choose.
Graph products(DType type) {
    Graph g;
    Tensor a = g.input({1024, 1024}, "a", type), x = g.input({128, 16, 16, 64}, "x", type);
    Tensor w = g.input({3, 3, 64, 64}, "w", type);
    matmul(g, a, a);
    with_gradients(g, conv2d(g, x, w, {}, Conv2d::same_sides(1, 1)), {x, w});
    return g;
}

// To and from pictures of three channels.
Graph pictures() {
    Graph g;
    Tensor x = g.input({128, 16, 16, 64}, "x"), w = g.input({3, 3, 64, 3}, "w");
    Tensor first = g.input({4, 4, 3, 64}, "first"), picture = g.input({128, 32, 32, 3}, "picture");
    with_gradients(g, conv2d(g, x, w, {}, Conv2d::same_sides(1, 1)), {x, w});
    with_gradients(g, conv2d(g, picture, first, {}, Conv2d::same_sides(2, 1)), {picture, first});
    matmul(g, g.input({1024, 1024}, "a"), g.input({1024, 4}, "b"));
    return g;
}

void lower(const Caps& caps, const Graph& graph, std::vector<Dispatch>& into, DType precision = DType::f32) {
    Lowering lowering(caps, graph);
    std::vector<Node> nodes = fuse_nodes(graph);
    choose_types(nodes, lowering.tensors, precision);
    for (const Node& node : nodes) {
        lowering.node = &node;
        if (node.lower)
            node.lower(lowering);
    }
    for (Dispatch& d : lowering.dispatches)
        into.push_back(std::move(d));
}

// A file of the command line. Its code and name live as long as the program.
Dispatch from_file(const std::string& argument) {
    std::istringstream words(argument);
    std::string path;
    std::getline(words, path, ',');
    Dispatch d;
    for (std::string word; std::getline(words, word, ',');)
        d.constants.push_back(uint32_t(std::stoul(word)));
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file)
        fail(Status::usage, "cannot read ", path);
    auto* code = new std::vector<uint32_t>(size_t(file.tellg()) / 4);
    file.seekg(0).read(reinterpret_cast<char*>(code->data()), std::streamsize(code->size() * 4));
    size_t slash = path.rfind('/'), begin = slash == std::string::npos ? 0 : slash + 1;
    auto* name = new std::string(path.substr(begin, path.rfind('.') - begin));
    d.shader = {name->c_str(), *code};
    return d;
}

// ---- the device ----------------------------------------------------------------------------------------------------

// A device of our own for vkvae to adopt, as Device::create has no use for the extension that reports statistics.
struct Host {
    Functions fn;
    HostDevice offer;
    VkPhysicalDeviceFeatures2 features = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    VkPhysicalDeviceShaderFloat16Int8Features f16 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDevice16BitStorageFeatures storage16 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};

    Host();
    Host(const Host&) = delete; // `features` points into it. Never destroyed: the process ends.
    void find_physical_device();
    void create_device();
};

Host::Host() {
    fn.load_global(nullptr);
    VkApplicationInfo application = {VK_STRUCTURE_TYPE_APPLICATION_INFO};
    application.apiVersion = offer.api_version = VK_API_VERSION_1_1;
    VkInstanceCreateInfo info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    info.pApplicationInfo = &application;
    VKVAE_CHECK(fn.vkCreateInstance(&info, nullptr, &offer.instance));
    fn.load_instance(offer.instance);
    offer.get_instance_proc_addr = fn.vkGetInstanceProcAddr;
    find_physical_device();
    create_device();
}

void Host::find_physical_device() {
    uint32_t count = 1; // the environment is to select one driver
    VkResult result = fn.vkEnumeratePhysicalDevices(offer.instance, &count, &offer.physical_device);
    if (count == 0 || (result != VK_SUCCESS && result != VK_INCOMPLETE))
        fail(Status::device, "the Vulkan driver that the environment selects shows no device");
    VkQueueFamilyProperties families[16];
    count = 16;
    fn.vkGetPhysicalDeviceQueueFamilyProperties(offer.physical_device, &count, families);
    while (offer.queue_family < count && !(families[offer.queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        offer.queue_family++;
    if (offer.queue_family == count)
        fail(Status::device, "the device has no compute queue");
}

// With the statistics and what vkvae can make use of, nothing else: robust buffer access, for one, changes the code.
void Host::create_device() {
    uint32_t count = 0;
    VKVAE_CHECK(fn.vkEnumerateDeviceExtensionProperties(offer.physical_device, nullptr, &count, nullptr));
    std::vector<VkExtensionProperties> properties(count);
    VKVAE_CHECK(fn.vkEnumerateDeviceExtensionProperties(offer.physical_device, nullptr, &count, properties.data()));
    std::set<std::string> offered;
    for (const VkExtensionProperties& p : properties)
        offered.insert(p.extensionName);
    if (!offered.count(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME))
        fail(Status::device, "the driver does not have VK_KHR_pipeline_executable_properties");
    auto enable = [&](const char* extension, auto& feature) {
        if (!offered.count(extension))
            return;
        if (std::find(offer.enabled_extensions.begin(), offer.enabled_extensions.end(), extension) ==
            offer.enabled_extensions.end())
            offer.enabled_extensions.push_back(extension);
        feature.pNext = features.pNext;
        features.pNext = &feature;
    };
    enable(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, executable);
    enable(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, size_control);
    enable(VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, f16);
    enable(VK_KHR_16BIT_STORAGE_EXTENSION_NAME, storage16);
    enable(VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME, memory_model);
    enable(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, coopmat);
    if (offered.count(VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME)) // names the driver and its version
        offer.enabled_extensions.push_back(VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME);
    fn.vkGetPhysicalDeviceFeatures2(offer.physical_device, &features);
    features.features = {};
    offer.enabled_features = &features;

    std::vector<const char*> names;
    for (const std::string& name : offer.enabled_extensions)
        names.push_back(name.c_str());
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
    queue.queueFamilyIndex = offer.queue_family;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    VkDeviceCreateInfo info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
    info.pNext = &features;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.enabledExtensionCount = uint32_t(names.size());
    info.ppEnabledExtensionNames = names.data();
    VKVAE_CHECK(fn.vkCreateDevice(offer.physical_device, &info, nullptr, &offer.device));
    fn.load_device(offer.device);
    fn.vkGetDeviceQueue(offer.device, offer.queue_family, 0, &offer.queue);
}

// ---- statistics ----------------------------------------------------------------------------------------------------

PFN_vkCreateComputePipelines create_pipelines;

// Stands in for vkvae's entry point, so that its own Device::kernel makes the pipelines, as they are in real use. No
// cache, as what comes out of one may have no statistics.
VKAPI_ATTR VkResult VKAPI_CALL create_with_statistics(VkDevice device, VkPipelineCache, uint32_t,
                                                      const VkComputePipelineCreateInfo* info,
                                                      const VkAllocationCallbacks* allocator, VkPipeline* pipeline) {
    VkComputePipelineCreateInfo with = *info;
    with.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    return create_pipelines(device, VK_NULL_HANDLE, 1, &with, allocator, pipeline);
}

std::string value_text(const VkPipelineExecutableStatisticKHR& s) {
    switch (s.format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        return s.value.b32 ? "1" : "0";
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        return std::to_string(s.value.i64);
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        return std::to_string(s.value.u64);
    default:
        return std::to_string(s.value.f64);
    }
}

void print_statistics(const Functions& fn, VkDevice device, VkPipeline pipeline, const std::string& label) {
    auto executables = reinterpret_cast<PFN_vkGetPipelineExecutablePropertiesKHR>(
        fn.vkGetDeviceProcAddr(device, "vkGetPipelineExecutablePropertiesKHR"));
    auto statistics = reinterpret_cast<PFN_vkGetPipelineExecutableStatisticsKHR>(
        fn.vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR"));
    require(executables && statistics, "the driver's pipeline executable functions are missing");
    VkPipelineInfoKHR whole = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, nullptr, pipeline};
    uint32_t parts = 0;
    VKVAE_CHECK(executables(device, &whole, &parts, nullptr));
    std::vector<VkPipelineExecutablePropertiesKHR> properties(
        parts, {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR});
    VKVAE_CHECK(executables(device, &whole, &parts, properties.data()));
    require(parts > 0, label, ": the driver reports no executable");
    for (uint32_t part = 0; part < parts; part++) {
        VkPipelineExecutableInfoKHR info = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, nullptr, pipeline, part};
        uint32_t count = 0;
        VKVAE_CHECK(statistics(device, &info, &count, nullptr));
        std::vector<VkPipelineExecutableStatisticKHR> values(count,
                                                             {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR});
        VKVAE_CHECK(statistics(device, &info, &count, values.data()));
        std::printf("%s\texecutable=%s\tSubgroup size=%u", label.c_str(), properties[part].name,
                    properties[part].subgroupSize);
        for (const VkPipelineExecutableStatisticKHR& s : values)
            std::printf("\t%s=%s", s.name, value_text(s).c_str());
        std::printf("\n");
    }
    std::fflush(stdout); // a compiler that crashes leaves what was done before
}

bool for_cpus_only(const std::string& shader) {
    for (const char* ending : {"_subgroup", "_subgroup_bits", "_plain", "_texels", "_texels_bits"})
        if (shader.ends_with(ending))
            return true;
    return false;
}

void run(int argc, char** argv) {
    auto* host = new Host; // a driver without a device may well crash on the way down
    Device* device = Device::adopt(host->offer).release();
    const Caps& caps = device->caps();
    std::printf("# %s\t%s\n", caps.name.c_str(), caps.driver.c_str());
    create_pipelines = std::exchange(device->fn().vkCreateComputePipelines, create_with_statistics);

    std::vector<Dispatch> dispatches;
    for (const char* preset : {"mlp", "conv28", "conv64"})
        lower(caps, training_step(preset, 128), dispatches);
    for (DType precision : {DType::f16, DType::bf16})
        lower(caps, training_step("conv64", 128, precision), dispatches, precision);
    lower(caps, other_operations(), dispatches);
    lower(caps, pictures(), dispatches);
    size_t number = 0; // of a tile, for Caps::gemm_tile
    auto lower_each = [&](auto tiles, const auto& suitable, const Graph& graph) {
        for (const auto& tile : tiles) {
            number++;
            Caps forced = caps;
            forced.gemm_tile = number;
            if (std::find(suitable.begin(), suitable.end(), tile) != suitable.end())
                lower(forced, graph, dispatches);
        }
    };
    lower_each(gemm_tiles(), tile_candidates(caps, 1024, 1024, false), products(DType::f32));
    lower_each(coopmat_tiles(), coopmat_candidates(caps, 1024, 1024, false), products(DType::f16));
    lower_each(shuffle_tiles(), shuffle_candidates(caps, 1024, 1024, false), products(DType::f32));
    lower_each(narrow_tiles(), narrow_candidates(caps, 65536, 3, false), pictures());
    for (const Shader& shader : all_shaders())
        if (!for_cpus_only(shader.name) && !reflect(shader).uses_subgroup &&
            std::none_of(dispatches.begin(), dispatches.end(), [&](auto& d) {
                return std::string(d.shader.name) == shader.name;
            }))
            dispatches.push_back({.shader = shader, .constants = {64}}); // the workgroup's size, else the defaults
    for (int i = 1; i < argc; i++)
        dispatches.push_back(from_file(argv[i]));

    std::set<std::string> seen;
    for (const Dispatch& d : dispatches) {
        std::string label = concat_text(d.shader.name, "\t");
        for (size_t i = 0; i < d.constants.size(); i++)
            label += concat_text(i ? "," : "", d.constants[i]);
        KernelRequest request = {&d.shader, d.constants};
        if (!for_cpus_only(d.shader.name) && seen.insert(label).second)
            print_statistics(device->fn(), device->handle(), device->kernels({&request, 1})[0]->pipeline, label);
    }
}

} // namespace

int main(int argc, char** argv) {
    try {
        run(argc, argv);
    } catch (const std::exception& error) {
        std::fflush(stdout);
        std::fprintf(stderr, "vkvae_pipelines: %s\n", error.what());
        return 1;
    }
    std::fflush(stdout);
    std::_Exit(0); // no unloading of drivers: their clean-up without a device is not what is asked for
}
