// When and where: dependency levels of dispatches, and places for tensors in one arena.
#include "graph/schedule.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace vkvae {
namespace {

struct Access {
    uint64_t begin, end; // bytes of the storage
    uint32_t level;
    bool write;
};

} // namespace

Schedule make_schedule(std::span<const Dispatch> dispatches, std::span<const ShaderInterface> interfaces,
                       std::span<const TensorInfo> tensors) {
    std::vector<std::vector<Access>> history(tensors.size()); // by storage
    std::vector<uint32_t> level(dispatches.size(), 0);
    uint32_t levels = 0;
    for (size_t i = 0; i < dispatches.size(); i++) {
        const Dispatch& d = dispatches[i];
        const std::vector<ShaderInterface::Binding>& bindings = interfaces[i].bindings;
        require(d.buffers.size() == bindings.size(), "kernel ", d.name, " has ", bindings.size(), " bindings, ",
                d.buffers.size(), " tensors are given");
        for (size_t b = 0; b < bindings.size(); b++) {
            const TensorInfo& t = tensors[d.buffers[b].id];
            uint64_t begin = t.offset, end = t.offset + t.bytes();
            bool written = tensors[t.storage.id].external;
            for (const Access& earlier : history[t.storage.id]) {
                bool overlap = earlier.begin < end && begin < earlier.end;
                written |= overlap && earlier.write;
                if (overlap && (earlier.write || bindings[b].writes))
                    level[i] = std::max(level[i], earlier.level + 1);
            }
            require(written || bindings[b].writes, "kernel ", d.name, " reads '", t.name,
                    "' before anything has written it");
        }
        for (size_t b = 0; b < bindings.size(); b++) {
            const TensorInfo& t = tensors[d.buffers[b].id];
            history[t.storage.id].push_back({t.offset, t.offset + t.bytes(), level[i], bindings[b].writes});
        }
        levels = std::max(levels, level[i] + 1);
    }
    Schedule schedule;
    schedule.order.resize(dispatches.size());
    std::iota(schedule.order.begin(), schedule.order.end(), 0u);
    std::stable_sort(schedule.order.begin(), schedule.order.end(),
                     [&](uint32_t a, uint32_t b) { return level[a] < level[b]; });
    for (uint32_t l = 0, at = 0; l < levels; l++) {
        schedule.level_begin.push_back(at);
        while (at < schedule.order.size() && level[schedule.order[at]] == l)
            at++;
    }
    schedule.level_begin.push_back(uint32_t(dispatches.size()));
    return schedule;
}

Arena place_in_arena(std::span<const Lifetime> lifetimes, uint64_t align, bool share) {
    Arena arena;
    arena.offsets.resize(lifetimes.size());
    std::vector<size_t> by_size(lifetimes.size());
    std::iota(by_size.begin(), by_size.end(), size_t(0));
    std::stable_sort(by_size.begin(), by_size.end(),
                     [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });
    std::map<uint32_t, int64_t> change; // of what lives, by level
    struct Placed {
        uint64_t begin, end;
        uint32_t first, last;
    };
    std::vector<Placed> placed; // sorted by begin
    for (size_t index : by_size) {
        const Lifetime& block = lifetimes[index];
        uint64_t bytes = (block.bytes + align - 1) / align * align;
        uint64_t free_from = 0, best = ~uint64_t(0), best_gap = ~uint64_t(0);
        for (const Placed& other : placed) {
            bool together = !share || (other.first <= block.last && block.first <= other.last);
            if (!together)
                continue;
            if (other.begin >= free_from + bytes && other.begin - free_from < best_gap) {
                best = free_from;
                best_gap = other.begin - free_from;
            }
            free_from = std::max(free_from, other.end);
        }
        uint64_t at = best != ~uint64_t(0) ? best : free_from;
        arena.offsets[index] = at;
        arena.bytes = std::max(arena.bytes, at + bytes);
        change[block.first] += int64_t(bytes);
        change[block.last + 1] -= int64_t(bytes);
        Placed entry = {at, at + bytes, block.first, block.last};
        placed.insert(std::upper_bound(placed.begin(), placed.end(), entry,
                                       [](const Placed& a, const Placed& b) { return a.begin < b.begin; }),
                      entry);
    }
    int64_t live = 0;
    for (const auto& [level, bytes] : change) {
        live += bytes;
        arena.live = std::max(arena.live, uint64_t(live));
    }
    return arena;
}

} // namespace vkvae
