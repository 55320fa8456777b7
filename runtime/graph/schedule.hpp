// When and where: dependency levels of dispatches, and places for tensors in one arena.
#pragma once

#include "vkvae/graph.hpp"

namespace vkvae {

// The dispatches in execution order. Those of one level touch nothing of each other's and run between two barriers.
struct Schedule {
    std::vector<uint32_t> order;       // indices into the dispatches, by level
    std::vector<uint32_t> level_begin; // first position in `order` of each level, and the end
};

// Level of a dispatch = 1 + the highest level of an earlier dispatch that it conflicts with: one of the two writes
// bytes that the other touches. `interfaces[i]` belongs to dispatches[i]. Errors: a tensor read before anything
// wrote it.
Schedule make_schedule(std::span<const Dispatch> dispatches, std::span<const ShaderInterface> interfaces,
                       std::span<const TensorInfo> tensors);

// A block of the arena and the levels, both inclusive, during which it is in use.
struct Lifetime {
    uint64_t bytes = 0;
    uint32_t first = 0, last = 0;
};

struct Arena {
    std::vector<uint64_t> offsets; // one for each lifetime
    uint64_t bytes = 0;
    uint64_t live = 0;             // in use at once where that is most
};

// Places the blocks so that those in use at the same time do not overlap: largest first, each into the smallest gap
// that takes it. With share = false no two blocks overlap at all. Offsets are multiples of `align`.
// Source of the scheme: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020).
Arena place_in_arena(std::span<const Lifetime> lifetimes, uint64_t align, bool share);

} // namespace vkvae
