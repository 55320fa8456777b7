// A plan: the lowered graph with its order and places in memory, its submissions, and what is written and read between.
//
// One submission runs up to max_steps steps. A step is the levels of the schedule with one global barrier between
// them, and none between steps where the last level of one and the first of the next touch nothing of each other's; what
// differs from step to step is read from a ring of StepParams blocks, bound at a dynamic offset (plan_record.cpp).
#include <algorithm>
#include <cmath>

#include "graph/fuse.hpp"
#include "graph/plan_state.hpp"
#include "graph/precision.hpp"
#include "io/float16.hpp"

namespace vkvae {

Plan::Plan(Device& device, const Graph& graph, PlanOptions options) : state_(std::make_unique<State>(device)) {
    State& s = *state_;
    require(options.max_steps > 0, "a plan needs room for at least one step");
    s.options = options;
    Lowering lowering(device.caps(), graph);
    lowering.tuning = options.tuning;
    std::vector<Node> nodes = options.fuse ? fuse_nodes(graph, &lowering, options.precision) : graph.nodes();
    choose_types(nodes, lowering.tensors, options.precision);
    for (const Node& node : nodes) {
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
    s.decisions = std::move(lowering.decisions);
    s.chosen = std::move(lowering.chosen);
    s.lay_out();
}

Plan::~Plan() = default;

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
        // What a step ends with, if it is small, shares no memory with what the next one begins with: see joins_next.
        constexpr uint64_t kSmall = 1 << 16;
        bool from_begin = keep || (uint32_t(last[i]) == levels - 1 && tensors[i].bytes() <= kSmall);
        lifetimes.push_back({tensors[i].bytes(), from_begin ? 0 : uint32_t(first[i]), keep ? levels : uint32_t(last[i])});
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

void Plan::write(Tensor t, std::span<const float> data) {
    DType type = state_->tensors[t.id].type;
    if (!is_16_bit(type))
        return write(t, std::as_bytes(data));
    std::vector<uint16_t> bits;
    for (float value : data)
        bits.push_back(type == DType::f16 ? to_f16(value) : to_bf16(value));
    write(t, std::as_bytes(std::span(bits)));
}

std::vector<float> Plan::read(Tensor t) {
    DType type = state_->tensors[t.id].type;
    std::vector<float> values(size_t(element_count(state_->tensors[t.id].shape)));
    if (!is_16_bit(type)) {
        read(t, std::as_writable_bytes(std::span(values)));
        return values;
    }
    std::vector<uint16_t> bits(values.size());
    read(t, std::as_writable_bytes(std::span(bits)));
    for (size_t i = 0; i < bits.size(); i++)
        values[i] = type == DType::f16 ? from_f16(bits[i]) : from_bf16(bits[i]);
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

const Choices& Plan::choices() const { return state_->choices; }
const std::map<std::string, Choices>& Plan::decisions() const { return state_->decisions; }
const Tuning& Plan::chosen() const { return state_->chosen; }

Plan::Footprint Plan::memory() const { return state_->memory; }
size_t Plan::dispatch_count() const { return state_->dispatches.size(); }
size_t Plan::level_count() const { return state_->schedule.level_begin.size() - 1; }

std::string Plan::first_nonfinite() {
    State& s = *state_;
    require(!s.options.alias, "first_nonfinite needs a plan without memory sharing");
    for (uint32_t i : s.schedule.order)
        for (Tensor t : s.dispatches[i].buffers) {
            const TensorInfo& info = s.tensors[t.id];
            if (info.type == DType::u32 || info.type == DType::u8 || info.constant)
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
                out << "  " << s.tensors[t.id].name << to_text(s.tensors[t.id].shape)
                    << (is_16_bit(s.tensors[t.id].type) ? type_name(s.tensors[t.id].type) : "");
            out << "\n";
        }
    if (s.joins_next)
        out << "no barrier before the next step\n";
    return out.str();
}

} // namespace vkvae
