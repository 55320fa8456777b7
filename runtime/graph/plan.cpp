// A plan: the lowered graph with its memory, descriptor sets and recorded command buffers.
//
// One submission runs up to max_steps steps. A step is the levels of the schedule with one global barrier between
// them; what differs from step to step is read from a ring of StepParams blocks, bound at a dynamic offset.
#include <algorithm>
#include <cmath>

#include "gpu/shader.hpp"
#include "gpu/submit.hpp"
#include "graph/fuse.hpp"
#include "graph/schedule.hpp"

namespace vkvae {

namespace {

// Timestamps: the beginning and the end of a submission; for a profile the beginning of the step and the end of each
// kernel. More than this in one pool not every driver offers.
constexpr uint32_t kSpan = 2, kMostQueries = 4096;

struct TexelView { // a range of a buffer as texels
    VkBuffer buffer;
    VkFormat format;
    uint64_t offset, bytes;
    auto operator<=>(const TexelView&) const = default;
};

} // namespace

struct Plan::State {
    Device& device;
    PlanOptions options;
    std::vector<TensorInfo> tensors;
    std::vector<Dispatch> dispatches;
    std::map<std::string, std::vector<std::string>> choices; // of kernels, by product
    Schedule schedule;
    std::vector<uint64_t> arena_offset; // of storages in the arena; ~0 elsewhere
    Footprint memory;

    struct Place {
        VkBuffer buffer = VK_NULL_HANDLE;
        const Buffer* owner = nullptr;
        uint64_t offset = 0;
    };
    std::vector<Place> places; // by storage
    bool ready = false;
    Buffer arena, own, ring; // own: external tensors that nobody bound, and constants
    std::vector<uint64_t> own_offset;
    uint64_t ring_stride = 0;
    VkDescriptorPool pool = VK_NULL_HANDLE;
    VkDescriptorSet step_set = VK_NULL_HANDLE;
    std::vector<VkDescriptorSet> sets; // one for each dispatch
    std::map<TexelView, VkBufferView> views;
    std::vector<const Kernel*> kernels;
    std::map<size_t, std::unique_ptr<Commands>> recorded; // by number of steps
    std::unique_ptr<Commands> profiled;
    VkQueryPool queries = VK_NULL_HANDLE;
    bool has_span = false, has_profile = false; // what the last submission that ended has left in `queries`
    Commands* under_way = nullptr;

    explicit State(Device& d) : device(d) {}
    ~State();
    void lay_out();
    void own_layout();
    void prepare();
    VkBufferView texel_view(const Dispatch& d, uint32_t binding);
    void destroy_sets();
    void write_sets();
    void record(VkCommandBuffer commands, size_t steps, bool profile);
    std::unique_ptr<Commands> recording(size_t steps, bool profile);
    std::vector<uint64_t> ticks(uint32_t first, uint32_t count);
    bool can_profile() const { return queries && dispatches.size() + 1 + kSpan <= kMostQueries; }
    bool in_arena(const TensorInfo& t) const { return !tensors[t.storage.id].external; }
    const TensorInfo& storage_of(Tensor t) const { return tensors[tensors[t.id].storage.id]; }
    Place locate(Tensor t) const {
        Place place = places[tensors[t.id].storage.id];
        place.offset += tensors[t.id].offset;
        return place;
    }
};

namespace {

uint64_t round_up(uint64_t value, uint64_t align) { return (value + align - 1) / align * align; }

} // namespace

Plan::Plan(Device& device, const Graph& graph, PlanOptions options) : state_(std::make_unique<State>(device)) {
    State& s = *state_;
    require(options.max_steps > 0, "a plan needs room for at least one step");
    s.options = options;
    Lowering lowering(device.caps(), graph);
    lowering.tuning = options.tuning;
    for (const Node& node : options.fuse ? fuse_nodes(graph) : graph.nodes()) {
        try {
            lowering.node = &node;
            if (node.lower)
                node.lower(lowering);
        } catch (const Error& error) {
            fail(error.status(), "lowering op '", node.op, "': ", error.what());
        }
    }
    s.tensors = std::move(lowering.tensors);
    s.dispatches = std::move(lowering.dispatches);
    s.choices = std::move(lowering.choices);
    s.lay_out();
}

Plan::~Plan() = default;

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

// Schedule, lifetimes and offsets: everything that can be known without allocating.
void Plan::State::lay_out() {
    std::vector<ShaderInterface> interfaces;
    std::map<const uint32_t*, ShaderInterface> known;
    for (const Dispatch& d : dispatches) {
        auto [found, fresh] = known.try_emplace(d.shader.code.data());
        if (fresh)
            found->second = reflect(d.shader);
        interfaces.push_back(found->second);
        require(d.push.size() * 4 == found->second.push_bytes, "kernel ", d.name, " takes ", found->second.push_bytes,
                " bytes of push constants, ", d.push.size() * 4, " are given");
    }
    for (const Dispatch& d : dispatches)
        for (Tensor t : d.buffers)
            if (round_up(tensors[t.id].bytes(), 4) > device.caps().max_storage_range)
                fail(Status::device, "tensor '", tensors[t.id].name, "' ", to_text(tensors[t.id].shape), " has ",
                     tensors[t.id].bytes(), " bytes, the device's kernels can see ", device.caps().max_storage_range,
                     " at once; try a smaller batch");
    schedule = make_schedule(dispatches, interfaces, tensors);

    // Lifetimes in levels, by storage. A kept tensor lives to the end, so nothing overwrites it afterwards.
    std::vector<Lifetime> lifetimes;
    std::vector<uint32_t> storages;
    std::vector<int64_t> first(tensors.size(), -1), last(tensors.size(), -1);
    uint32_t levels = uint32_t(schedule.level_begin.size()) - 1;
    for (uint32_t level = 0; level < levels; level++)
        for (uint32_t at = schedule.level_begin[level]; at < schedule.level_begin[level + 1]; at++)
            for (Tensor t : dispatches[schedule.order[at]].buffers) {
                uint32_t storage = tensors[t.id].storage.id;
                if (first[storage] < 0)
                    first[storage] = level;
                last[storage] = level;
            }
    uint64_t align = device.caps().storage_align;
    for (uint32_t i = 0; i < tensors.size(); i++) {
        if (tensors[i].storage.id != i || tensors[i].external || first[i] < 0)
            continue;
        bool keep = tensors[i].keep;
        lifetimes.push_back({tensors[i].bytes(), keep ? 0 : uint32_t(first[i]), keep ? levels : uint32_t(last[i])});
        storages.push_back(i);
        memory.unshared += round_up(tensors[i].bytes(), align);
    }
    Arena arena_layout = place_in_arena(lifetimes, align, options.alias);
    arena_offset.assign(tensors.size(), ~uint64_t(0));
    for (size_t i = 0; i < storages.size(); i++)
        arena_offset[storages[i]] = arena_layout.offsets[i];
    memory.arena = arena_layout.bytes;
    memory.live = arena_layout.live;

    places.resize(tensors.size());
    ring_stride = round_up(sizeof(StepParams), device.caps().uniform_align);
    memory.rings = ring_stride * options.max_steps;
    own_layout();
}

// Room for the external tensors that nobody bound and that a kernel touches.
void Plan::State::own_layout() {
    std::vector<bool> touched(tensors.size());
    for (const Dispatch& d : dispatches)
        for (Tensor t : d.buffers)
            touched[tensors[t.id].storage.id] = true;
    own_offset.assign(tensors.size(), ~uint64_t(0));
    memory.external = 0;
    for (uint32_t i = 0; i < tensors.size(); i++)
        if (tensors[i].storage.id == i && tensors[i].external && !places[i].buffer && touched[i]) {
            own_offset[i] = memory.external;
            memory.external += round_up(tensors[i].bytes(), device.caps().storage_align);
        }
}

void Plan::bind(Tensor t, const Buffer& buffer, uint64_t offset) {
    State& s = *state_;
    const TensorInfo& info = s.tensors[t.id];
    require(!s.ready, "Plan::bind of '", info.name, "' after the first run");
    require(info.external && info.storage == t, "Plan::bind: '", info.name, "' is not an input");
    require(offset % s.device.caps().storage_align == 0, "Plan::bind of '", info.name, "': offset ", offset,
            " is not a multiple of ", s.device.caps().storage_align);
    require(offset + info.bytes() <= buffer.bytes, "Plan::bind of '", info.name, "' (", info.bytes(),
            " bytes) at ", offset, " goes past the buffer's ", buffer.bytes);
    s.places[t.id] = {buffer.handle, &buffer, offset};
    s.own_layout();
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
    if (device.caps().timestamps && !queries) {
        VkQueryPoolCreateInfo info = {VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
        info.queryType = VK_QUERY_TYPE_TIMESTAMP;
        info.queryCount = std::min(uint32_t(dispatches.size()) + 1 + kSpan, kMostQueries);
        VKVAE_CHECK(device.fn().vkCreateQueryPool(device.handle(), &info, nullptr, &queries));
    }
    ready = true;
}

// The view of a binding that is a samplerBuffer; made once for each range and format.
VkBufferView Plan::State::texel_view(const Dispatch& d, uint32_t binding) {
    const TensorInfo& t = tensors[d.buffers[binding].id];
    uint32_t width = binding < d.texels.size() ? d.texels[binding] : 0;
    require(t.type == DType::f32 && (width == 1 || width == 4), "kernel ", d.name, " reads '", t.name,
            "' in texels of ", width, " elements; they are 1 or 4 floats");
    uint64_t count = uint64_t(element_count(t.shape)) / width;
    Place place = locate(d.buffers[binding]);
    require(place.offset % device.caps().storage_align == 0 && count <= device.caps().max_texels, "tensor '", t.name,
            "' at byte ", place.offset, " with ", count, " texels cannot be a texel buffer on this device (alignment ",
            device.caps().storage_align, ", at most ", device.caps().max_texels, " texels)");
    VkFormat format = width == 4 ? VK_FORMAT_R32G32B32A32_SFLOAT : VK_FORMAT_R32_SFLOAT;
    TexelView what = {place.buffer, format, place.offset, count * width * 4};
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
                texels.push_back(texel_view(dispatches[i], b));
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
            barrier_between_kernels(fn, commands); // the first one orders this step after the one before
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

void Plan::submit(std::span<const StepParams> params, bool profile) {
    State& s = *state_;
    require(!params.empty() && params.size() <= s.options.max_steps, "Plan::submit: ", params.size(),
            " steps, the plan has room for ", s.options.max_steps);
    wait();
    s.prepare();
    for (size_t i = 0; i < params.size(); i++) {
        StepParams slot = params[i];
        slot.slot = uint32_t(i);
        std::memcpy(s.ring.mapped + i * s.ring_stride, &slot, sizeof(slot));
    }
    bool timed = profile && s.can_profile();
    require(!timed || params.size() == 1, "Plan::submit: one step can be profiled at a time");
    std::unique_ptr<Commands>& commands = timed ? s.profiled : s.recorded[params.size()];
    if (!commands)
        commands = s.recording(params.size(), timed);
    commands->submit();
    s.under_way = commands.get();
    s.has_span = s.queries != VK_NULL_HANDLE;
    s.has_profile = timed;
}

bool Plan::done() { return !state_->under_way || state_->under_way->done(); }

void Plan::wait() {
    if (!state_->under_way)
        return;
    state_->under_way->wait(); // if that times out, the work is still under way
    state_->under_way = nullptr;
}

void Plan::write(Tensor t, std::span<const std::byte> data) {
    State& s = *state_;
    const TensorInfo& info = s.tensors[t.id];
    require(data.size() == info.bytes(), "Plan::write of '", info.name, "' ", to_text(info.shape), ": ", data.size(),
            " bytes given, ", info.bytes(), " needed");
    require(s.storage_of(t).external, "Plan::write: '", info.name, "' is not an input");
    wait();
    s.prepare();
    State::Place place = s.locate(t);
    if (place.buffer) // an input that no kernel reads has no memory
        s.device.upload(*place.owner, place.offset, data);
}

void Plan::read(Tensor t, std::span<std::byte> data) {
    State& s = *state_;
    const TensorInfo& info = s.tensors[t.id];
    require(data.size() == info.bytes(), "Plan::read of '", info.name, "': ", data.size(), " bytes given, ",
            info.bytes(), " needed");
    require(s.storage_of(t).external || s.storage_of(t).keep || !s.options.alias, "Plan::read: '", info.name,
            "' was not kept");
    wait();
    s.prepare();
    if (info.constant) { // may have no memory
        float value = *info.constant;
        for (size_t i = 0; i + 4 <= data.size(); i += 4)
            std::memcpy(data.data() + i, &value, 4);
        return;
    }
    State::Place place = s.locate(t);
    require(place.buffer != VK_NULL_HANDLE, "Plan::read: nothing computes '", info.name, "'");
    s.device.download(*place.owner, place.offset, data);
}

std::vector<float> Plan::read(Tensor t) {
    std::vector<float> values(size_t(element_count(state_->tensors[t.id].shape)));
    read(t, std::as_writable_bytes(std::span(values)));
    return values;
}

std::vector<uint64_t> Plan::State::ticks(uint32_t first, uint32_t count) {
    std::vector<uint64_t> values(count);
    VKVAE_CHECK(device.fn().vkGetQueryPoolResults(device.handle(), queries, first, count, count * 8, values.data(), 8,
                                                  VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
    return values;
}

double Plan::gpu_seconds() {
    State& s = *state_;
    wait();
    if (!s.has_span)
        return 0;
    std::vector<uint64_t> ticks = s.ticks(0, kSpan);
    return ticks[1] > ticks[0] ? double(ticks[1] - ticks[0]) * s.device.caps().timestamp_ns * 1e-9 : 0; // may wrap round
}

std::vector<KernelTime> Plan::profile() {
    State& s = *state_;
    wait();
    if (!s.has_profile)
        return {};
    std::vector<uint64_t> ticks = s.ticks(kSpan, uint32_t(s.dispatches.size() + 1));
    std::map<std::string, KernelTime> by_name;
    for (size_t at = 0; at < s.schedule.order.size(); at++) {
        KernelTime& entry = by_name[s.dispatches[s.schedule.order[at]].name];
        entry.name = s.dispatches[s.schedule.order[at]].name;
        entry.calls++;
        entry.ms += double(ticks[at + 1] - ticks[at]) * s.device.caps().timestamp_ns * 1e-6;
    }
    std::vector<KernelTime> times;
    for (auto& [name, entry] : by_name)
        times.push_back(entry);
    std::sort(times.begin(), times.end(), [](const auto& a, const auto& b) { return a.ms > b.ms; });
    return times;
}

std::map<std::string, double> Plan::product_ms() {
    State& s = *state_;
    wait();
    std::map<std::string, double> times;
    if (!s.has_profile)
        return times;
    std::vector<uint64_t> ticks = s.ticks(kSpan, uint32_t(s.dispatches.size() + 1));
    for (size_t at = 0; at < s.schedule.order.size(); at++) {
        const std::string& product = s.dispatches[s.schedule.order[at]].product;
        if (!product.empty())
            times[product] += double(ticks[at + 1] - ticks[at]) * s.device.caps().timestamp_ns * 1e-6;
    }
    return times;
}

const std::map<std::string, std::vector<std::string>>& Plan::choices() const { return state_->choices; }

Plan::Footprint Plan::memory() const { return state_->memory; }
size_t Plan::dispatch_count() const { return state_->dispatches.size(); }
size_t Plan::level_count() const { return state_->schedule.level_begin.size() - 1; }

std::string Plan::first_nonfinite() {
    State& s = *state_;
    require(!s.options.alias, "first_nonfinite needs a plan without memory sharing");
    for (uint32_t i : s.schedule.order)
        for (Tensor t : s.dispatches[i].buffers) {
            const TensorInfo& info = s.tensors[t.id];
            if (info.type != DType::f32 || info.constant)
                continue;
            std::vector<float> values = read(t);
            if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }))
                return info.name;
        }
    return "";
}

std::string Plan::describe() const {
    const State& s = *state_;
    std::ostringstream out;
    for (size_t level = 0; level + 1 < s.schedule.level_begin.size(); level++)
        for (uint32_t at = s.schedule.level_begin[level]; at < s.schedule.level_begin[level + 1]; at++) {
            const Dispatch& d = s.dispatches[s.schedule.order[at]];
            out << level << "  " << d.name << "  " << d.groups[0] << "x" << d.groups[1] << "x" << d.groups[2];
            for (Tensor t : d.buffers)
                out << "  " << s.tensors[t.id].name << to_text(s.tensors[t.id].shape);
            out << "\n";
        }
    return out.str();
}

} // namespace vkvae
