// The tiles that there are for products, which of them suit a device, and in which order: tile_candidates() and its like.
#include "ops/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace vkvae {
namespace {

uint64_t divide_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

// With and without prefetch each. Items: 256, or as many as a narrow tile has.
constexpr GemmTile kTiles[] = {
    {128, 128, 16, 8, 8, false}, {128, 128, 16, 8, 8, true}, // the least traffic, where registers allow it
    {128, 64, 16, 8, 4, false},  {128, 64, 16, 8, 4, true},
    {64, 64, 16, 8, 4, false},   {64, 64, 16, 8, 4, true}, // the same for more workgroups, of 128 items
    {64, 64, 16, 4, 4, false},   {64, 64, 16, 4, 4, true},
    {32, 32, 16, 4, 4, false},   {32, 32, 16, 4, 4, true},
    {16, 16, 16, 4, 4, false},   {16, 16, 16, 4, 4, true}, // 16 items, part of a subgroup: for what fits nothing else
    {16, 64, 16, 4, 4, false},   {16, 64, 16, 4, 4, true}, // few rows: small batches
    {128, 16, 16, 4, 4, false},  {128, 16, 16, 4, 4, true}, // few columns: latents, pictures
    {128, 8, 8, 4, 4, false},    {128, 8, 8, 4, 4, true},
};

// At most four loads of each panel by an item, as gemm_panels.glsl has it, and an item for each sum of a column.
static_assert(std::all_of(std::begin(kTiles), std::end(kTiles), [](const GemmTile& t) {
    return t.m * t.k <= 16 * t.items() && t.n * t.k <= 16 * t.items() && t.n <= t.items();
}));

// What is known of compilers and chips without running anything on them: tools/cross_vendor/README.md.
struct TileTraits {
    uint32_t most_sums; // of a work item: more would spill, or run at a narrower SIMD width
    bool prefetch;
    uint64_t cores;     // to keep busy: a guess, as Vulkan does not tell
};
TileTraits tile_traits(const Caps& caps) {
    uint64_t cores = caps.type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU ? 8 : 64;
    switch (caps.vendor_id) {
    case 0x1002: // AMD
        return {64, true, cores}; // prefetch costs no registers that would hold another wave
    case 0x10de: // NVIDIA
        return {32, false, cores}; // prefetch would cost a quarter of the warps
    default: // Intel and all others: 16 is what costs nobody anything
        return {16, false, cores};
    }
}

// Time of the product on the busiest core, in multiply-adds, of which each costs `each` with its loads: its share of those
// from the cache, where a float costs as much as 8 multiply-adds, and of those from nearer memory. A core that has fewer
// work items than 256 waits for memory. Sums that may be split along k fill the cores in any case.
struct Product {
    uint64_t m, n, cores;
    bool splits;
};
double time_of(const Product& p, uint32_t tile_m, uint32_t tile_n, uint32_t items, double each) {
    double tiles = double(divide_up(p.m, tile_m)) * double(divide_up(p.n, tile_n));
    double on_core = p.splits ? std::max(tiles / double(p.cores), 1.0) : std::ceil(tiles / double(p.cores));
    double waiting = std::max(1.0, 256 / (on_core * items));
    double work = p.splits ? tiles / double(p.cores) : on_core;
    return work * tile_m * tile_n * each * waiting;
}

// Those of `tiles` that fit, by rising key.
template <class Tile, class Fits, class Key>
std::vector<Tile> sorted(std::span<const Tile> tiles, const Fits& fits, const Key& key) {
    std::vector<Tile> list;
    std::copy_if(tiles.begin(), tiles.end(), std::back_inserter(list), fits);
    std::stable_sort(list.begin(), list.end(), [&](const Tile& x, const Tile& y) { return key(x) < key(y); });
    return list;
}

// For 8 and for 16 lanes: 64 or 32 sums of a lane, of the 128 registers that Intel's have.
constexpr ShuffleTile kShuffleTiles[] = {
    {16, 4, 8}, {16, 4, 1}, // the same for more workgroups
    {8, 4, 8},  {8, 4, 1},
};

constexpr NarrowTile kNarrowTiles[] = {{128, 4, 4}, {64, 4, 4}, {64, 16, 4}};
constexpr uint32_t kMostNarrow = 4; // columns
static_assert(std::all_of(std::begin(kNarrowTiles), std::end(kNarrowTiles), [](const NarrowTile& t) {
    return t.team >= kMostNarrow; // so that there is an item for each sum of a row
}));

// Matrices of 8 or 16 rows and columns make up any of these. Each subgroup size has its own: an item reads at most four
// fours of each panel.
constexpr CoopmatTile kCoopmatTiles[] = {
    {128, 128, 32, 64, 32, false}, {128, 128, 32, 64, 32, true}, // 8 subgroups
    {64, 64, 32, 32, 32, false},   {64, 64, 32, 32, 32, true},
    {64, 64, 32, 16, 16, false},   {64, 64, 32, 16, 16, true}, // 16, of 8 lanes
    {128, 32, 32, 32, 16, false},  {128, 32, 32, 32, 16, true}, // few columns
    {32, 128, 32, 16, 32, false},  {32, 128, 32, 16, 32, true}, // few rows
    {64, 32, 16, 16, 16, false},   {64, 32, 16, 16, 16, true},
    {32, 32, 32, 16, 16, false},   {32, 32, 32, 16, 16, true},
    {32, 32, 16, 16, 16, false},   {32, 32, 16, 16, 16, true},
};

// What gemm_coopmat.glsl asks of a device. Intel's of 8 lanes are left out: most have no units for matrices and offer them
// all the same, and the compiler spills these kernels (tools/cross_vendor/README.md).
bool has_coopmat(const Caps& caps) {
    uint32_t lanes = caps.subgroup_size;
    bool known_size = lanes == 8 || lanes == 16 || lanes == 32 || lanes == 64;
    return caps.coopmat && known_size && (caps.vendor_id != 0x8086 || lanes > 8) &&
           caps.coopmat_shape[0] * caps.coopmat_shape[1] >= 4 * lanes;
}

} // namespace

std::span<const GemmTile> gemm_tiles() { return kTiles; }

bool tile_fits(const Caps& caps, const GemmTile& tile) {
    return tile.items() <= caps.max_invocations && tile.shared_bytes() <= caps.max_shared_bytes;
}

double tile_cost(const Caps& caps, const GemmTile& t, uint64_t m, uint64_t n, bool splits) {
    double each = 1 + 2.0 / t.rows + 2.0 / t.columns + 8.0 / t.m + 8.0 / t.n;
    return time_of({m, n, tile_traits(caps).cores, splits}, t.m, t.n, t.items(), each);
}

std::vector<GemmTile> tile_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits) {
    TileTraits traits = tile_traits(caps);
    auto fits = [&](const GemmTile& t) { return tile_fits(caps, t) && t.rows * t.columns <= traits.most_sums; };
    return sorted(gemm_tiles(), fits, [&](const GemmTile& t) {
        return std::pair(tile_cost(caps, t, m, n, splits), t.prefetch != traits.prefetch);
    });
}

std::span<const ShuffleTile> shuffle_tiles() { return kShuffleTiles; }

// A broadcast is part of the multiply-add. Of B, subgroups below each other read the same, which the nearest cache has.
double tile_cost(const Caps& caps, const ShuffleTile& t, uint64_t m, uint64_t n, bool splits) {
    uint32_t across = caps.subgroup_size * t.columns;
    double each = 1 + 8.0 / t.rows + 8.0 / across;
    return time_of({m, n, tile_traits(caps).cores, splits}, t.rows * t.subgroups, across, caps.subgroup_size * t.subgroups,
                   each);
}

bool tile_fits(const Caps& caps, const ShuffleTile& t) {
    uint32_t lanes = caps.subgroup_size;
    bool known_size = lanes == 4 || lanes == 8 || lanes == 16;
    return caps.subgroup && known_size && t.rows % lanes == 0 && lanes * t.subgroups <= caps.max_invocations;
}

std::vector<ShuffleTile> shuffle_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits) {
    if (caps.vendor_id != 0x8086 || caps.is_cpu())
        return {};
    return sorted(shuffle_tiles(), [&](const ShuffleTile& t) { return tile_fits(caps, t); },
                  [&](const ShuffleTile& t) { return tile_cost(caps, t, m, n, splits); });
}

std::span<const NarrowTile> narrow_tiles() { return kNarrowTiles; }

uint32_t NarrowTile::columns(uint64_t n) const { return uint32_t(std::min<uint64_t>(n, kMostNarrow)); }

double tile_cost(const Caps& caps, const NarrowTile& t, uint64_t m, uint64_t n, bool splits) {
    double each = 1 + 2.0 / t.rows + 8.0 / t.columns(n);
    return time_of({m, n, tile_traits(caps).cores, splits}, t.m(), t.columns(n), t.items, each);
}

bool tile_fits(const Caps& caps, const NarrowTile& t) {
    return t.items <= caps.max_invocations && t.shared_bytes() <= caps.max_shared_bytes;
}

std::vector<NarrowTile> narrow_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits) {
    if (n > kMostNarrow)
        return {};
    return sorted(narrow_tiles(), [&](const NarrowTile& t) { return tile_fits(caps, t); },
                  [&](const NarrowTile& t) { return tile_cost(caps, t, m, n, splits); });
}

uint32_t CoopmatTile::shared_bytes(const Caps& caps) const {
    uint32_t a = std::max(m * (k + 8), k * (m + 8)), b = std::max(n * (k + 8), k * (n + 8)); // with 16 bytes more a line
    return 2 * (a + b) + 4 * subgroups() * caps.coopmat_shape[0] * caps.coopmat_shape[1];
}

std::span<const CoopmatTile> coopmat_tiles() { return kCoopmatTiles; }

bool tile_fits(const Caps& caps, const CoopmatTile& tile) {
    uint64_t items = tile.items(caps), most = std::min<uint64_t>(512, caps.max_invocations);
    bool spills = caps.vendor_id == 0x8086 && tile.prefetch && tile.k > 16; // where a panel is read by single numbers
    return has_coopmat(caps) && !spills && items <= most && tile.shared_bytes(caps) <= caps.max_shared_bytes &&
           tile.m * tile.k <= 16 * items && tile.n * tile.k <= 16 * items;
}

// CPUs offer matrices too, but have nothing that is made for them: slower than the subgroup driver.
bool prefers_coopmat(const Caps& caps) { return has_coopmat(caps) && !caps.is_cpu(); }

// Matrix units take an eighth of the time for a multiply-add, so reading is what counts: from shared memory for each
// subgroup, from the cache for all. With prefetch first: what is read ahead is few registers in f16, and matrix units wait
// for it more than others.
std::vector<CoopmatTile> coopmat_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits) {
    return sorted(coopmat_tiles(), [&](const CoopmatTile& t) { return tile_fits(caps, t); },
                  [&](const CoopmatTile& t) {
                      double each = 0.125 + 1.0 / t.sub_m + 1.0 / t.sub_n + 4.0 / t.m + 4.0 / t.n;
                      Product product = {m, n, tile_traits(caps).cores, splits};
                      return std::pair(time_of(product, t.m, t.n, t.items(caps), each), !t.prefetch);
                  });
}

} // namespace vkvae
