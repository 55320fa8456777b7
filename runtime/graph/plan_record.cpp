// A plan's Vulkan objects: memory, pipelines, descriptor sets and texel views, made once before the first run, and the
// recording of steps into command buffers.
#include <algorithm>

#include "graph/plan_state.hpp"

namespace vkvae {

Plan::State::~State() {
    const Functions& fn = device.fn();
    recorded.clear(); // waits
    profiled.reset();
    fn.vkDestroyQueryPool(device.handle(), queries, nullptr);
    destroy_sets();
}

void Plan::State::destroy_sets() {
    const Functions& fn = device.fn();
    fn.vkDestroyDescriptorPool(device.handle(), pool, nullptr);
    pool = VK_NULL_HANDLE;
    for (auto& [what, view] : views)
        fn.vkDestroyBufferView(device.handle(), view, nullptr);
    views.clear();
}

void Plan::State::prepare() {
    if (ready)
        return;
    destroy_sets(); // an attempt that failed half-way, for want of memory perhaps, is begun again
    if (memory.arena)
        arena = Buffer(device, memory.arena, Memory::device, "intermediate tensors");
    if (memory.external)
        own = Buffer(device, memory.external, Memory::device, "inputs and constants");
    ring = Buffer(device, memory.rings, Memory::upload, "step parameters");
    for (uint32_t i = 0; i < tensors.size(); i++) {
        if (arena_offset[i] != ~uint64_t(0))
            places[i] = {arena.handle, &arena, arena_offset[i]};
        if (own_offset[i] == ~uint64_t(0))
            continue;
        places[i] = {own.handle, &own, own_offset[i]};
        uint32_t word = 0;
        float value = tensors[i].constant.value_or(0.0f);
        std::memcpy(&word, &value, 4);
        device.fill(own, own_offset[i], round_up(tensors[i].bytes(), 4), word);
    }
    std::vector<KernelRequest> requests;
    for (const Dispatch& d : dispatches)
        requests.push_back({&d.shader, d.constants});
    kernels = device.kernels(requests);
    write_sets();
    size_t levels = schedule.level_begin.size() - 1;
    joins_next = levels > 1 && !conflict(levels - 1, 0);
    if (device.caps().timestamps && !queries) {
        VkQueryPoolCreateInfo info = {VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
        info.queryType = VK_QUERY_TYPE_TIMESTAMP;
        info.queryCount = std::min(uint32_t(dispatches.size()) + 1 + kSpan, kMostQueries);
        VKVAE_CHECK(device.fn().vkCreateQueryPool(device.handle(), &info, nullptr, &queries));
    }
    ready = true;
}

// Whether a kernel of one level writes bytes that one of the other touches, where everything lies in memory: what a caller
// bound may well begin a step and end it.
bool Plan::State::conflict(size_t level_a, size_t level_b) const {
    struct Range {
        VkBuffer buffer;
        uint64_t begin, end;
        bool write;
    };
    auto ranges = [&](size_t level) {
        std::vector<Range> all;
        for (uint32_t at = schedule.level_begin[level]; at < schedule.level_begin[level + 1]; at++) {
            uint32_t i = schedule.order[at];
            for (size_t k = 0; k < dispatches[i].buffers.size(); k++) {
                Tensor t = dispatches[i].buffers[k];
                Place place = locate(t);
                all.push_back({place.buffer, place.offset, place.offset + round_up(tensors[t.id].bytes(), 4),
                               kernels[i]->interface.bindings[k].writes});
            }
        }
        return all;
    };
    for (const Range& a : ranges(level_a))
        for (const Range& b : ranges(level_b))
            if (a.buffer == b.buffer && a.begin < b.end && b.begin < a.end && (a.write || b.write))
                return true;
    return false;
}

namespace {

// Texels of one or four numbers, widened to f32 or, with `bits`, as they are. Every device can read all of these.
VkFormat texel_format(DType type, bool four, bool bits) {
    if (type == DType::f32 && bits)
        return four ? VK_FORMAT_R32G32B32A32_UINT : VK_FORMAT_R32_UINT;
    if (type == DType::f32)
        return four ? VK_FORMAT_R32G32B32A32_SFLOAT : VK_FORMAT_R32_SFLOAT;
    if (type == DType::f16 && !bits)
        return four ? VK_FORMAT_R16G16B16A16_SFLOAT : VK_FORMAT_R16_SFLOAT;
    if (type == DType::bf16 && bits)
        return four ? VK_FORMAT_R16G16B16A16_UINT : VK_FORMAT_R16_UINT;
    return VK_FORMAT_UNDEFINED;
}

} // namespace

// The view of a binding that is a texel buffer; made once for each range and format.
VkBufferView Plan::State::texel_view(const Dispatch& d, uint32_t binding, bool bits) {
    const TensorInfo& t = tensors[d.buffers[binding].id];
    uint32_t width = binding < d.texels.size() ? d.texels[binding] : 0;
    VkFormat format = texel_format(t.type, width == 4, bits);
    require(width == 1 || width == 4, "kernel ", d.name, " reads '", t.name, "' in texels of ", width,
            " elements; they are 1 or 4 numbers");
    require(format != VK_FORMAT_UNDEFINED, "kernel ", d.name, " cannot read '", t.name, "', which is ",
            type_name(t.type), bits ? ", beside bf16" : "");
    uint64_t count = uint64_t(element_count(t.shape)) / width;
    Place place = locate(d.buffers[binding]);
    require(place.offset % device.caps().storage_align == 0 && count <= device.caps().max_texels, "tensor '", t.name,
            "' at byte ", place.offset, " with ", count, " texels cannot be a texel buffer on this device (alignment ",
            device.caps().storage_align, ", at most ", device.caps().max_texels, " texels)");
    TexelView what = {place.buffer, format, place.offset, byte_count({int64_t(count * width)}, t.type)};
    auto [found, fresh] = views.try_emplace(what, VkBufferView(VK_NULL_HANDLE));
    if (fresh) {
        VkBufferViewCreateInfo info = {VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO};
        info.buffer = what.buffer;
        info.format = what.format;
        info.offset = what.offset;
        info.range = what.bytes;
        VKVAE_CHECK(device.fn().vkCreateBufferView(device.handle(), &info, nullptr, &found->second));
    }
    return found->second;
}

void Plan::State::write_sets() {
    const Functions& fn = device.fn();
    uint32_t buffers = 0;
    for (const Dispatch& d : dispatches)
        buffers += uint32_t(d.buffers.size());
    VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC, 1},
                                    {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, std::max(buffers, 1u)},
                                    {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, std::max(buffers, 1u)}};
    VkDescriptorPoolCreateInfo pool_info = {VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
    pool_info.maxSets = uint32_t(dispatches.size()) + 1;
    pool_info.poolSizeCount = 3;
    pool_info.pPoolSizes = sizes;
    VKVAE_CHECK(fn.vkCreateDescriptorPool(device.handle(), &pool_info, nullptr, &pool));
    std::vector<VkDescriptorSetLayout> layouts;
    for (const Kernel* kernel : kernels)
        layouts.push_back(kernel->set_layout);
    layouts.push_back(device.step_layout());
    sets.resize(layouts.size());
    VkDescriptorSetAllocateInfo set_info = {VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO};
    set_info.descriptorPool = pool;
    set_info.descriptorSetCount = uint32_t(layouts.size());
    set_info.pSetLayouts = layouts.data();
    VKVAE_CHECK(fn.vkAllocateDescriptorSets(device.handle(), &set_info, sets.data()));
    step_set = sets.back();
    sets.pop_back();

    std::vector<VkDescriptorBufferInfo> infos;
    infos.reserve(buffers + 1);
    std::vector<VkBufferView> texels;
    texels.reserve(buffers);
    std::vector<VkWriteDescriptorSet> writes;
    auto write = [&](VkDescriptorSet set, uint32_t binding, VkDescriptorType type, VkDescriptorBufferInfo info) {
        infos.push_back(info);
        VkWriteDescriptorSet w = {VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET};
        w.dstSet = set;
        w.dstBinding = binding;
        w.descriptorCount = 1;
        w.descriptorType = type;
        w.pBufferInfo = &infos.back();
        if (type == VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER)
            w.pTexelBufferView = &texels.back();
        writes.push_back(w);
    };
    for (size_t i = 0; i < dispatches.size(); i++)
        for (uint32_t b = 0; b < dispatches[i].buffers.size(); b++) {
            Tensor t = dispatches[i].buffers[b];
            Place place = locate(t);
            if (kernels[i]->interface.bindings[b].texels) {
                texels.push_back(texel_view(dispatches[i], b, kernels[i]->interface.bindings[b].bits));
                write(sets[i], b, VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, {});
                continue;
            }
            uint64_t bytes = round_up(tensors[t.id].bytes(), 4);
            require(place.offset % device.caps().storage_align == 0, "tensor '", tensors[t.id].name,
                    "' is a view at byte ", tensors[t.id].offset, ", which the device cannot bind (alignment ",
                    device.caps().storage_align, ")");
            write(sets[i], b, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, {place.buffer, place.offset, bytes});
        }
    write(step_set, 0, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC, {ring.handle, 0, sizeof(StepParams)});
    fn.vkUpdateDescriptorSets(device.handle(), uint32_t(writes.size()), writes.data(), 0, nullptr);
}

void Plan::State::record(VkCommandBuffer commands, size_t steps, bool profile) {
    const Functions& fn = device.fn();
    if (queries) {
        fn.vkCmdResetQueryPool(commands, queries, 0, kSpan + (profile ? uint32_t(dispatches.size()) + 1 : 0));
        fn.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, queries, 0);
    }
    for (size_t step = 0; step < steps; step++) {
        uint32_t ring_offset = uint32_t(step * ring_stride);
        for (size_t level = 0; level + 1 < schedule.level_begin.size(); level++) {
            if (step == 0 || level > 0 || !joins_next || profile) // the very first orders after earlier submissions
                barrier_between_kernels(fn, commands);
            for (uint32_t at = schedule.level_begin[level]; at < schedule.level_begin[level + 1]; at++) {
                uint32_t i = schedule.order[at];
                const Dispatch& d = dispatches[i];
                const Kernel& kernel = *kernels[i];
                if (profile && at == 0)
                    fn.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, queries, kSpan);
                fn.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel.pipeline);
                VkDescriptorSet bound[] = {sets[i], step_set};
                uint32_t count = kernel.interface.uses_step ? 2 : 1;
                fn.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel.layout, 0, count, bound,
                                           count - 1, &ring_offset);
                if (!d.push.empty())
                    fn.vkCmdPushConstants(commands, kernel.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                          uint32_t(d.push.size() * 4), d.push.data());
                fn.vkCmdDispatch(commands, d.groups[0], d.groups[1], d.groups[2]);
                if (profile) { // serialised, so that each timestamp ends one kernel
                    fn.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, queries, kSpan + at + 1);
                    barrier_between_kernels(fn, commands);
                }
            }
        }
    }
    if (queries)
        fn.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries, 1);
    barrier_around_copies(fn, commands);
}

std::unique_ptr<Commands> Plan::State::recording(size_t steps, bool profile) {
    auto commands = std::make_unique<Commands>(device);
    record(commands->begin(), steps, profile);
    commands->end();
    return commands;
}

} // namespace vkvae
