// Winograd's minimal filtering for 3x3 convolutions of stride 1: shaders/conv/winograd.comp has the math. Tiles are of
// 2 x 4 outputs, as measured on lavapipe (tools/bench/NOTES.md): those of 2 x 2 are slower there, 4 x 4 would round worse.
//
// Direct convolution and this one add up in f32 in another order, so results differ in rounding; what a tile's outputs
// are added up from is up to ten times as large as they are.
#include "ops/winograd.hpp"

#include <algorithm>

namespace vkvae {
namespace {

constexpr uint32_t kTileH = 2, kTileW = 4, kPositions = 4 * 6, kColumns = 4; // as in the kernel; the last of a lane

uint64_t divide_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }
uint32_t whole_fours(uint32_t channels) { return (channels + 3) / 4 * 4; }
uint64_t tile_count(const Winograd& s) { return s.batch * divide_up(s.oh, kTileH) * divide_up(s.ow, kTileW); }
uint32_t tiles_in_group(const Caps& caps) { return std::max(8u, caps.subgroup_size); }
uint64_t blocks_of_columns(const Caps& caps, const Winograd& s) {
    return divide_up(s.o, caps.subgroup_size * kColumns);
}
uint64_t group_count(const Caps& caps, const Winograd& s) {
    return divide_up(tile_count(s), tiles_in_group(caps)) * blocks_of_columns(caps, s);
}

} // namespace

bool can_winograd(const Caps& caps, const Winograd& s) {
    uint64_t weight_bytes = 4ull * kPositions * s.c * whole_fours(s.o);
    return prefers_subgroups(caps) && s.c % 4 == 0 && weight_bytes <= caps.max_storage_range &&
           tile_count(s) <= INT32_MAX && divide_up(group_count(caps, s), caps.max_group_count) <= caps.max_group_count;
}

// The weights lie in the second cache and are few beside the pictures, all lanes have columns, and nearly all outputs
// of the tiles are in the picture.
bool prefers_winograd(const Caps& caps, const Winograd& s, bool narrow) {
    uint64_t columns = blocks_of_columns(caps, s) * caps.subgroup_size * kColumns;
    uint64_t rows = uint64_t(s.batch) * s.oh * s.ow;
    uint64_t done = tile_count(s) * kTileH * kTileW * columns;
    return !narrow && caps.subgroup_size == 8 && s.c >= 32 && uint64_t(s.c) * s.o <= 128 * 128 && rows >= 4096 &&
           20 * done <= 21 * rows * s.o;
}

bool choose_winograd(Lowering& l, const std::string& name, const Winograd& s, bool narrow) {
    constexpr uint64_t kNever = 1, kAlways = 2; // of VKVAE_WINOGRAD
    if (l.caps.winograd == kNever || !can_winograd(l.caps, s))
        return false;
    if (l.caps.winograd == kAlways)
        return true;
    if (l.caps.gemm_tile || s.c < 16 || s.o < 16) // a tile was asked for, or it is not worth a tuner's time
        return false;
    // In two families, as a tuner first tries all of a family the other way.
    bool preferred = prefers_winograd(l.caps, s, narrow);
    std::string shape = to_text({s.batch, s.oh, s.ow, s.c, s.o});
    if (preferred)
        return l.decide(name + " without winograd", shape, {"no", "yes"}) == 0;
    return l.decide(name + " by winograd", shape, {"no", "yes"}) == 1;
}

void lower_winograd(Lowering& l, const std::string& name, const Winograd& s, bool turned, Tensor x, Tensor w,
                    Tensor bias, Tensor y) {
    uint32_t columns = whole_fours(s.o);
    Tensor u = l.scratch({4, s.c, 6, columns}, "winograd weights");
    struct {
        uint32_t count, c, o, columns;
    } weights = {s.c * s.o, s.c, s.o, columns};
    l.each("winograd_weights", weights.count, {types_constant(l, {w}), turned}, {w, u}, weights);

    uint64_t groups = group_count(l.caps, s), in_x = std::min(groups, l.caps.max_group_count);
    struct {
        Winograd s;
        uint32_t columns;
    } push = {s, columns};
    Dispatch d = {.shader = find_shader("winograd_subgroup"),
                  .constants = {l.caps.subgroup_size, tiles_in_group(l.caps), 0, 0, 0, 0, 0},
                  .buffers = {x, u},
                  .texels = {4, 4},
                  .push = push_words(push),
                  .groups = {uint32_t(in_x), uint32_t(divide_up(groups, in_x)), 1},
                  .name = name + " winograd"};
    add_epilogue(l, {}, bias, y, s.o, d);
    l.dispatch(std::move(d));
}

} // namespace vkvae
