// Winograd's minimal filtering for 3x3 convolutions of stride 1: shaders/conv/winograd.comp has the math. Tiles of 2 x 4
// outputs, as measured on lavapipe (tools/bench/NOTES.md): F(2x2) is slower there, F(4x4) rounds worse.
//
// Its results differ from the direct convolution's in rounding: both are f32, but tiles are added up from sums up to ten
// times as large. Relative to a double reference, in L2, twice the direct convolution's error.
#include "ops/winograd.hpp"

#include <algorithm>

namespace vkvae {
namespace {

constexpr uint32_t kTileH = 2, kTileW = 4, kPositions = 24, kColumns = 4; // as in the kernel; the last of a lane

uint64_t divide_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }
uint32_t whole_fours(uint32_t channels) { return (channels + 3) / 4 * 4; }
uint64_t weight_count(const Winograd& s) { return uint64_t(kPositions) * s.c * whole_fours(s.o); }
uint64_t tile_count(const Winograd& s) { return s.batch * divide_up(s.oh, kTileH) * divide_up(s.ow, kTileW); }

bool can_do(const Caps& caps, const Winograd& s) {
    return prefers_subgroups(caps) && s.c % 4 == 0 && 4 * weight_count(s) <= caps.max_storage_range &&
           tile_count(s) <= INT32_MAX; // the kernel counts tiles in 32 bits
}

// Where it was faster: the weights lie in the second cache with their neighbours and are few beside the pictures, most
// lanes have columns, and most outputs of the tiles are in the picture.
bool pays(const Caps& caps, const Winograd& s) {
    uint64_t rows = uint64_t(s.batch) * s.oh * s.ow, lane_columns = caps.subgroup_size * kColumns;
    uint64_t done = tile_count(s) * kTileH * kTileW * divide_up(s.o, lane_columns) * lane_columns;
    return caps.subgroup_size == 8 && s.c >= 32 && uint64_t(s.c) * s.o <= 128 * 128 && rows >= 4096 &&
           20 * done <= 21 * rows * s.o;
}
bool may_pay(const Winograd& s) { return s.c >= 16 && s.o >= 16; } // worth a tuner's time

} // namespace

Rival winograd_rival(const Caps& caps, const Winograd& s, bool f16) {
    constexpr uint64_t kNever = 1, kAlways = 2; // of VKVAE_WINOGRAD
    if (caps.winograd == kNever || (caps.gemm_tile && caps.winograd != kAlways) || !can_do(caps, s))
        return {};
    uint32_t lanes = caps.subgroup_size, tiles = std::max(8u, lanes);
    Gemm gemm;
    gemm.tile = "winograd";
    gemm.constants = {lanes, tiles, 0, 0, 0};
    gemm.texels = {4, 4};
    uint64_t groups = divide_up(tile_count(s), tiles) * divide_up(s.o, lanes * kColumns);
    uint64_t x = std::min(groups, caps.max_group_count), y = divide_up(groups, x);
    if (y > caps.max_group_count)
        return {};
    gemm.groups = {uint32_t(x), uint32_t(y), 1};
    if (caps.winograd == kAlways)
        return {gemm, Rival::only};
    return {gemm, pays(caps, s) && !f16 ? Rival::first : may_pay(s) ? Rival::second : Rival::absent};
}

void lower_winograd(Lowering& l, const Gemm& gemm, const Winograd& s, bool turned, Tensor x, Tensor w, Tensor bias,
                    Tensor y, const std::string& name) {
    uint32_t columns = whole_fours(s.o);
    Tensor u = l.scratch({4, s.c, 6, columns}, "winograd weights");
    struct {
        uint32_t count, c, o, columns;
    } weights = {s.c * s.o, s.c, s.o, columns};
    l.each("winograd_weights", weights.count, {types_constant(l, {w}), turned}, {w, u}, weights);
    std::string product = l.dispatches.back().product; // both kernels' time is its

    struct {
        Winograd s;
        uint32_t columns;
    } push = {s, columns};
    Dispatch d = {.shader = find_shader("winograd_subgroup"),
                  .constants = gemm.constants,
                  .buffers = {x, u},
                  .texels = gemm.texels,
                  .push = push_words(push),
                  .groups = gemm.groups,
                  .name = name + " winograd"};
    d.constants.insert(d.constants.end(), {0, 0});
    add_epilogue(l, gemm, bias, y, s.o, d);
    l.dispatch(std::move(d));
    l.dispatches.back().product = product;
}

} // namespace vkvae
