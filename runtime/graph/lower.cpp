// Lowering: each node says which kernels compute it on this device.
#include "vkvae/graph.hpp"

#include <algorithm>

namespace vkvae {

constexpr uint32_t kGroupSize = 64; // a multiple of every subgroup size in use but 128, small enough for every device

Lowering::Lowering(const Caps& device, const Graph& graph) : caps(device), tensors(graph.tensors()) {
    used_.resize(tensors.size());
    for (size_t i = 0; i < tensors.size(); i++)
        if (tensors[i].keep || tensors[i].external)
            used_[tensors[i].storage.id] = true;
    for (const Node& reader : graph.nodes())
        for (Tensor t : reader.in)
            used_[tensors[t.id].storage.id] = true;
}

Tensor Lowering::scratch(Shape shape, const char* name) {
    Tensor t = {uint32_t(tensors.size())};
    TensorInfo info;
    info.name = name;
    info.shape = std::move(shape);
    info.storage = t;
    tensors.push_back(std::move(info));
    used_.push_back(true);
    return t;
}

void Lowering::each_words(const char* shader, uint64_t count, std::vector<uint32_t> constants,
                          std::vector<Tensor> buffers, std::vector<uint32_t> push,
                          std::vector<uint32_t> texels) {
    uint64_t groups = (count + kGroupSize - 1) / kGroupSize;
    uint64_t x = std::min(groups, caps.max_group_count);
    uint64_t y = (groups + x - 1) / x;
    require(y <= caps.max_group_count, "kernel ", shader, ": ", count, " work items are more than the device takes");
    constants.insert(constants.begin(), kGroupSize);
    dispatch({.shader = find_shader(shader),
              .constants = std::move(constants),
              .buffers = std::move(buffers),
              .texels = std::move(texels),
              .push = std::move(push),
              .groups = {uint32_t(x), uint32_t(y), 1},
              .name = shader});
}

size_t Lowering::look_up(const std::string& name, const std::vector<std::string>& options) {
    auto tuned = tuning ? tuning->find(name) : Tuning::const_iterator{};
    if (!tuning || tuned == tuning->end())
        return 0;
    auto found = std::find(options.begin(), options.end(), tuned->second);
    if (found == options.end() || found == options.begin()) // of another version, or what it would be anyway
        return 0;
    chosen[name] = *found;
    return size_t(found - options.begin());
}

size_t Lowering::choose(const std::string& product, const std::vector<std::string>& kernels) {
    product_ = kernels.size() > 1 ? product : "";
    if (kernels.size() > 1)
        choices[product] = kernels;
    return look_up(product, kernels);
}

size_t Lowering::decide(const std::string& family, const std::string& what, const std::vector<std::string>& options) {
    if (options.size() > 1)
        decisions[family][what] = options;
    return look_up(family + " " + what, options);
}

} // namespace vkvae
