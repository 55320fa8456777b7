// What a Plan holds. plan.cpp lays it out and runs it; plan_record.cpp makes its Vulkan objects and records the steps.
#pragma once

#include "gpu/shader.hpp"
#include "gpu/submit.hpp"
#include "graph/schedule.hpp"

namespace vkvae {

// Timestamps: the beginning and the end of a submission; for a profile the beginning of the step and the end of each
// kernel. More than this in one pool not every driver offers.
constexpr uint32_t kSpan = 2, kMostQueries = 4096;

inline uint64_t round_up(uint64_t value, uint64_t align) { return (value + align - 1) / align * align; }

struct Plan::State {
    struct TexelView { // a range of a buffer as texels
        VkBuffer buffer;
        VkFormat format;
        uint64_t offset, bytes;
        auto operator<=>(const TexelView&) const = default;
    };

    Device& device;
    PlanOptions options;
    std::vector<TensorInfo> tensors;
    std::vector<Dispatch> dispatches;
    Choices choices; // of kernels, by product
    std::map<std::string, Choices> decisions;
    Tuning chosen;
    Schedule schedule;
    std::vector<uint64_t> arena_offset; // of storages in the arena; ~0 elsewhere
    Footprint memory;
    bool joins_next = false; // the last level of a step and the first of the next one need no barrier between them

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
    bool conflict(size_t level_a, size_t level_b) const;
    void own_layout();
    void prepare();
    VkBufferView texel_view(const Dispatch& d, uint32_t binding, bool bits);
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

} // namespace vkvae
