// Choice of driver and tile for every implicit or explicit matrix product.
#include "ops/gemm.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

namespace vkvae {
namespace {

uint64_t divide_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

// Sums of one lane: rows x columns, measured on lavapipe with 8 lanes as GFLOP/s of a 512^3 matmul, a 3x3 convolution of 64
// channels, and as seconds of compiling:
//
//   32 x 8    50  49  0.40      64 x 4    69  66  0.38      96 x 4    58  71  0.78
//   16 x 8    40  46  0.16      32 x 4    60  58  0.15      16 x 4    51  44  0.09
//
// A round fetches rows / lanes + columns texels for rows x columns x 4 products, and eight columns of B are more than the
// registers hold. Small products take small tiles, as compiling is most of what they cost.
//
// Narrow tiles, for fewer columns than half the lanes: rows / lanes x columns sums.
struct SubgroupTile {
    uint32_t rows, columns;
    bool narrow = false;
};
SubgroupTile subgroup_tile(uint32_t lanes, uint64_t m, uint64_t n, uint64_t k) {
    uint64_t products = m * n * k;
    if (n <= lanes / 2 && m >= 8 * lanes)
        return {8 * lanes, uint32_t(n), true};
    uint32_t rows = products >= 1'000'000'000 ? 64 : products >= 10'000'000 ? 32 : 16;
    while (rows > lanes && rows >= 2 * m)
        rows /= 2;
    return {std::max(rows, lanes), n <= lanes ? 1u : 4u};
}

} // namespace

bool prefers_texels(const Caps& caps) {
    return caps.is_cpu() && caps.vendor_id == VK_VENDOR_ID_MESA && caps.max_texels >= caps.max_storage_range / 4;
}

// The barrier-free subgroup tile is for lavapipe: there a barrier costs a coroutine switch per work item, and texel
// fetches and the broadcast save loads. GPUs get the shared-memory tile; SwiftShader its plain form, as its compiler
// keeps no array in registers: it runs that three times as fast as the subgroup tile.
bool prefers_subgroups(const Caps& caps) {
    bool known_size = caps.subgroup_size == 4 || caps.subgroup_size == 8 || caps.subgroup_size == 16;
    return prefers_texels(caps) && caps.subgroup && known_size;
}

namespace {

struct Choice {
    Gemm gemm;
    uint64_t wanted_groups, k_step; // how many groups fill the device; slices of k are multiples of k_step
};

Choice subgroup_choice(const Caps& caps, SubgroupTile tile, GemmReads reads) {
    uint32_t lanes = caps.subgroup_size;
    auto [rows, columns, narrow] = tile;
    if (columns % 4 != 0 && reads.b == Read::along_side)
        reads.b = Read::single;
    if (reads.a == Read::along_side)
        rows = std::max(rows, 4 * lanes);
    Gemm gemm;
    gemm.tile = concat_text(rows, "x", columns, narrow ? " narrow" : "");
    gemm.suffix = "_subgroup";
    gemm.constants = {lanes, rows, columns, uint32_t(reads.a), uint32_t(reads.b)};
    gemm.more_constants = {narrow};
    gemm.texels = {reads.a == Read::single ? 1u : 4u, reads.b == Read::single ? 1u : 4u};
    gemm.tile_m = rows;
    gemm.tile_n = narrow ? columns : lanes * columns;
    gemm.stores_quads = columns % 4 == 0;
    return {gemm, 16, 4}; // software devices have few cores; some slack evens the load
}

Choice choose_plain(const Caps& caps, uint64_t m, uint64_t n) {
    // 64x64 needs 256 work items and two panels of 16x65 floats; smaller problems and devices take 32x32 with 64.
    bool room = caps.max_invocations >= 256 && caps.max_shared_bytes >= 2 * 16 * 65 * 4;
    bool large = room && m > 32 && n > 32 && divide_up(m, 64) * divide_up(n, 64) >= 16;
    uint32_t tile = large ? 64 : 32;
    Gemm gemm;
    gemm.tile = concat_text(tile, "x", tile);
    gemm.suffix = "_plain";
    gemm.constants = {tile * tile / 16, tile, tile, 0, 0};
    gemm.tile_m = gemm.tile_n = tile;
    return {gemm, 256, 16};
}

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

bool tile_fits(const Caps& caps, const GemmTile& tile) {
    return tile.items() <= caps.max_invocations && tile.shared_bytes() <= caps.max_shared_bytes;
}

// Time of the product on the busiest core, in multiply-adds. Each costs 1, its loads from shared memory, and its share
// of the panels' loads from the cache, where a float costs as much as 8 multiply-adds. A core that has fewer work items
// than 256 waits for memory. Sums that may be split along k fill the cores in any case.
double tile_cost(const GemmTile& tile, uint64_t m, uint64_t n, uint64_t cores, bool splits) {
    double tiles = double(divide_up(m, tile.m)) * double(divide_up(n, tile.n));
    double on_core = splits ? std::max(tiles / double(cores), 1.0) : std::ceil(tiles / double(cores));
    double each = 1 + 2.0 / tile.rows + 2.0 / tile.columns + 8.0 / tile.m + 8.0 / tile.n;
    double waiting = std::max(1.0, 256 / (on_core * tile.items()));
    double work = splits ? tiles / double(cores) : on_core;
    return work * tile.m * tile.n * each * waiting;
}

Choice tile_choice(const GemmTile& tile, GemmReads reads) {
    Gemm gemm;
    gemm.tile = concat_text(tile.m, "x", tile.n, "x", tile.k, "/", tile.rows, "x", tile.columns,
                            tile.prefetch ? "+prefetch" : "");
    gemm.suffix = "_tile";
    gemm.constants = {tile.items(), tile.m, tile.n, reads.a != Read::single, reads.b != Read::single};
    gemm.more_constants = {tile.k, tile.rows, tile.columns, tile.prefetch};
    gemm.tile_m = tile.m;
    gemm.tile_n = tile.n;
    return {gemm, 256, 16};
}

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
    uint32_t lanes = caps.coopmat_lanes;
    bool known_size = lanes == 8 || lanes == 16 || lanes == 32 || lanes == 64;
    return caps.coopmat && known_size && (caps.vendor_id != 0x8086 || lanes > 8) &&
           caps.coopmat_shape[0] * caps.coopmat_shape[1] >= 4 * lanes;
}

bool coopmat_fits(const Caps& caps, const CoopmatTile& tile) {
    uint64_t items = tile.items(caps), most = std::min<uint64_t>(512, caps.max_invocations);
    bool spills = caps.vendor_id == 0x8086 && tile.prefetch && tile.k > 16; // where a panel is read by single numbers
    return has_coopmat(caps) && !spills && items <= most && tile.shared_bytes(caps) <= caps.max_shared_bytes &&
           tile.m * tile.k <= 16 * items && tile.n * tile.k <= 16 * items;
}

// As tile_cost. Matrix units take an eighth of the time for a multiply-add, so reading is what counts: from shared memory
// for each subgroup, from the cache for all.
double coopmat_cost(const Caps& caps, const CoopmatTile& tile, uint64_t m, uint64_t n, uint64_t cores, bool splits) {
    double tiles = double(divide_up(m, tile.m)) * double(divide_up(n, tile.n));
    double on_core = splits ? std::max(tiles / double(cores), 1.0) : std::ceil(tiles / double(cores));
    double each = 0.125 + 1.0 / tile.sub_m + 1.0 / tile.sub_n + 4.0 / tile.m + 4.0 / tile.n;
    double waiting = std::max(1.0, 256 / (on_core * tile.items(caps)));
    double work = splits ? tiles / double(cores) : on_core;
    return work * tile.m * tile.n * each * waiting;
}

Choice coopmat_choice(const Caps& caps, const CoopmatTile& tile, GemmReads reads) {
    Gemm gemm;
    gemm.tile = concat_text("coopmat ", tile.m, "x", tile.n, "x", tile.k, "/", tile.sub_m, "x", tile.sub_n,
                            tile.prefetch ? "+prefetch" : "");
    gemm.suffix = "_coopmat";
    gemm.constants = {tile.items(caps), tile.m, tile.n, reads.a != Read::single, reads.b != Read::single};
    gemm.more_constants = {tile.k, tile.sub_m, tile.sub_n, tile.prefetch};
    gemm.more_constants.insert(gemm.more_constants.end(), caps.coopmat_shape.begin(), caps.coopmat_shape.end());
    gemm.tile_m = tile.m;
    gemm.tile_n = tile.n;
    return {gemm, 256, 32};
}

// The one tile that VKVAE_GEMM_TILE names; none for a product that does not take it.
std::optional<Choice> forced_choice(const Caps& caps, GemmReads reads) {
    uint64_t number = caps.gemm_tile, first = std::size(kTiles);
    require(number <= first + std::size(kCoopmatTiles), "there is no tile ", number);
    if (number <= first) {
        require(tile_fits(caps, kTiles[number - 1]), "tile ", number, " is too large for the device");
        return tile_choice(kTiles[number - 1], reads);
    }
    const CoopmatTile& tile = kCoopmatTiles[number - first - 1];
    require(coopmat_fits(caps, tile), "tile ", number, " is not for the device's matrices");
    if (!reads.f16)
        return {};
    return coopmat_choice(caps, tile, reads);
}

std::vector<Choice> choices(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads, bool splits) {
    std::vector<Choice> list;
    if (caps.gemm_tile)
        if (std::optional<Choice> forced = forced_choice(caps, reads))
            return {*forced};
    if (!caps.is_cpu()) {
        for (const GemmTile& tile : tile_candidates(caps, m, n, splits))
            list.push_back(tile_choice(tile, reads));
        std::vector<CoopmatTile> matrices;
        if (reads.f16 && prefers_coopmat(caps))
            matrices = coopmat_candidates(caps, m, n, splits);
        // Two of these, then the first without them, as a tuner does not go far down the list.
        for (size_t i = 0; i < matrices.size(); i++)
            list.insert(list.begin() + std::ptrdiff_t(i < 2 ? i : i + 1), coopmat_choice(caps, matrices[i], reads));
    } else if (prefers_subgroups(caps)) {
        SubgroupTile first = subgroup_tile(caps.subgroup_size, m, n, k);
        list.push_back(subgroup_choice(caps, first, reads));
        if (first.narrow) {
            for (uint32_t rows : {4 * first.rows / 8, 2 * first.rows})
                list.push_back(subgroup_choice(caps, {rows, first.columns, true}, reads));
            first = {0, first.columns == 1 || n % 4 != 0 ? 1u : 4u};
        }
        for (uint32_t rows : {64u, 32u, 16u})
            if (rows != first.rows && rows >= caps.subgroup_size && rows < 2 * m)
                list.push_back(subgroup_choice(caps, {rows, first.columns}, reads));
        if (caps.subgroup_size < 16 && n > 4 * caps.subgroup_size && m > caps.subgroup_size)
            list.push_back(subgroup_choice(caps, {32, 8}, reads)); // twice as wide: fewer reads of A
    } else {
        list.push_back(choose_plain(caps, m, n));
    }
    return list;
}

} // namespace

std::span<const GemmTile> gemm_tiles() { return kTiles; }

std::vector<GemmTile> tile_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits) {
    TileTraits traits = tile_traits(caps);
    std::vector<GemmTile> tiles;
    for (const GemmTile& tile : kTiles)
        if (tile_fits(caps, tile) && tile.rows * tile.columns <= traits.most_sums)
            tiles.push_back(tile);
    auto key = [&](const GemmTile& tile) {
        return std::pair(tile_cost(tile, m, n, traits.cores, splits), tile.prefetch != traits.prefetch);
    };
    std::stable_sort(tiles.begin(), tiles.end(), [&](auto& x, auto& y) { return key(x) < key(y); });
    return tiles;
}

uint32_t CoopmatTile::shared_bytes(const Caps& caps) const {
    uint32_t a = std::max(m * (k + 8), k * (m + 8)), b = std::max(n * (k + 8), k * (n + 8)); // with 16 bytes more a line
    return 2 * (a + b) + 4 * subgroups() * caps.coopmat_shape[0] * caps.coopmat_shape[1];
}

std::span<const CoopmatTile> coopmat_tiles() { return kCoopmatTiles; }

// CPUs offer matrices too, but have nothing that is made for them: slower than the subgroup driver.
bool prefers_coopmat(const Caps& caps) { return has_coopmat(caps) && !caps.is_cpu(); }

std::vector<CoopmatTile> coopmat_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits) {
    TileTraits traits = tile_traits(caps);
    std::vector<CoopmatTile> tiles;
    for (const CoopmatTile& tile : kCoopmatTiles)
        if (coopmat_fits(caps, tile))
            tiles.push_back(tile);
    // With prefetch first: what is read ahead is few registers in f16, and matrix units wait for it more than others.
    auto key = [&](const CoopmatTile& tile) {
        return std::pair(coopmat_cost(caps, tile, m, n, traits.cores, splits), !tile.prefetch);
    };
    std::stable_sort(tiles.begin(), tiles.end(), [&](auto& x, auto& y) { return key(x) < key(y); });
    return tiles;
}

bool reads_f16(const Lowering& l, Tensor a, Tensor b) {
    DType x = l.type(a), y = l.type(b);
    return (x == DType::f16 && y != DType::bf16) || (y == DType::f16 && x != DType::bf16);
}

namespace {

uint64_t tiles_of(const Gemm& gemm, uint64_t m, uint64_t n) {
    return divide_up(m, gemm.tile_m) * divide_up(n, gemm.tile_n);
}

uint64_t slice_of_k(const Choice& first, uint64_t k, uint64_t slices) {
    return divide_up(divide_up(k, slices), first.k_step) * first.k_step;
}

} // namespace

std::vector<uint64_t> slice_counts(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads) {
    Choice first = choices(caps, m, n, k, reads, k >= 512).front();
    uint64_t tiles = tiles_of(first.gemm, m, n), busy = 1;
    // At least 256 products a slice, so that writing and adding the partial sums stays small beside them.
    if (tiles < first.wanted_groups)
        busy = std::clamp<uint64_t>(first.wanted_groups / tiles, 1, std::max<uint64_t>(1, k / 256));
    uint64_t most = std::min({k / 64, caps.max_storage_range / (4 * m * n), caps.max_group_count});
    std::vector<uint64_t> counts;
    for (uint64_t wanted : {busy, 2 * busy, busy / 2, 4 * busy, uint64_t(1)}) {
        if (wanted == 0 || (wanted > busy && wanted > most))
            continue;
        uint64_t count = divide_up(k, slice_of_k(first, k, wanted));
        if (std::find(counts.begin(), counts.end(), count) == counts.end())
            counts.push_back(count);
    }
    return counts;
}

std::vector<Gemm> gemm_candidates(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads,
                                  bool may_split, uint64_t slices) {
    std::vector<Choice> list = choices(caps, m, n, k, reads, may_split && k >= 512);
    Choice first = list.front();
    std::vector<Gemm> gemms;
    for (Choice& choice : list) {
        Gemm& gemm = choice.gemm;
        gemm.k_chunk = uint32_t(slice_of_k(first, k, slices));
        gemm.slices = uint32_t(divide_up(k, gemm.k_chunk));
        uint64_t tiles = tiles_of(gemm, m, n), x = std::min(tiles, caps.max_group_count), y = divide_up(tiles, x);
        gemm.groups = {uint32_t(x), uint32_t(y), gemm.slices};
        bool known = std::any_of(gemms.begin(), gemms.end(), [&](const Gemm& g) { return g.tile == gemm.tile; });
        if (y <= caps.max_group_count && !known)
            gemms.push_back(gemm);
    }
    require(!gemms.empty(), "a matrix product of ", m, " x ", n, " has more tiles than the device takes");
    return gemms;
}

Gemm choose_gemm(Lowering& l, const char* name, uint64_t m, uint64_t n, uint64_t k, GemmReads reads, bool may_split) {
    std::string shape = concat_text(m, "x", n, "x", k, " ", uint32_t(reads.a), uint32_t(reads.b));
    uint64_t slices = 1;
    if (may_split) {
        std::vector<uint64_t> counts = slice_counts(l.caps, m, n, k, reads);
        std::vector<std::string> names;
        for (uint64_t count : counts)
            names.push_back(std::to_string(count));
        slices = counts[l.decide(concat_text("slices ", name), shape, names)];
    }
    std::vector<Gemm> gemms = gemm_candidates(l.caps, m, n, k, reads, may_split, slices);
    std::vector<std::string> tiles;
    for (const Gemm& gemm : gemms)
        tiles.push_back(gemm.tile);
    return gemms[l.choose(concat_text(name, " ", shape, may_split ? " in slices" : ""), tiles)];
}

WeightGradient::WeightGradient(Lowering& l, const Gemm& gemm, Tensor w, Tensor db, uint64_t m, uint64_t n)
    : weights(w), bias(db), weights_target(w), bias_target(db) {
    if (gemm.slices == 1)
        return;
    weights_target = l.scratch({gemm.slices, int64_t(m), int64_t(n)}, "partial sums");
    if (bias)
        bias_target = l.scratch({gemm.slices, int64_t(n)}, "partial column sums");
}

void WeightGradient::finish(Lowering& l, const Gemm& gemm, uint64_t m, uint64_t n) const {
    if (gemm.slices == 1)
        return;
    lower_reduce(l, weights_target, weights, ReduceOp::sum, 1, gemm.slices, m * n, 1);
    if (bias)
        lower_reduce(l, bias_target, bias, ReduceOp::sum, 1, gemm.slices, n, 1);
}

std::string type_suffix(const Lowering& l, Tensor a, Tensor b) {
    for (Tensor t : {a, b})
        if (is_16_bit(l.type(t)))
            return concat_text(" ", type_name(l.type(t)));
    return "";
}

uint32_t types_constant(const Lowering& l, std::initializer_list<Tensor> tensors) {
    uint32_t types = 0, shift = 0;
    for (Tensor t : tensors) {
        types |= (l.type(t) <= DType::bf16 ? uint32_t(l.type(t)) : 0) << shift;
        shift += 2;
    }
    return types;
}

void read_bits(const Lowering& l, Dispatch& d) {
    bool bf16 = std::any_of(d.buffers.begin(), d.buffers.end(), [&](Tensor t) { return l.type(t) == DType::bf16; });
    if (bf16 && !d.texels.empty())
        d.shader = find_shader(concat_text(d.shader.name, "_bits"));
}

void add_epilogue(const Lowering& l, const Gemm& gemm, Tensor bias, Tensor result, uint64_t n, Dispatch& d,
                  Tensor column_sums) {
    constexpr uint32_t kKeepColumnSums = 3; // as in epilogue.glsl
    static const char* const names[] = {"", "+activation", "+activation_gradient", "+add", "+residual", "+scale"};
    const std::vector<Step>& steps = l.node->steps;
    bool quads = n % 4 == 0 && gemm.stores_quads;
    uint32_t texel = quads ? 4 : 1, keep = 0;
    Tensor nothing = d.buffers[1]; // for bindings that the kernel does not touch
    Tensor operands[2] = {nothing, nothing}, kept = result;
    uint32_t widths[2] = {1, 1}; // of the operands' texels; an operand may be B itself
    uint32_t kinds[4] = {};
    for (uint32_t i = 0; i < steps.size(); i++) {
        bool residual = steps[i].kind == Step::residual;
        kinds[2 * i] = steps[i].kind | (residual ? steps[i].function << 8 : 0);
        kinds[2 * i + 1] = residual ? std::bit_cast<uint32_t>(steps[i].factor) : steps[i].function;
        if (steps[i].operand) {
            operands[i] = steps[i].operand;
            widths[i] = steps[i].kind == Step::scale ? 1 : texel;
        }
        if (steps[i].before) {
            kept = steps[i].before;
            keep = i + 1;
        }
        d.name += names[steps[i].kind];
        result = steps[i].result;
    }
    if (column_sums) {
        kept = column_sums;
        keep = kKeepColumnSums;
        d.name += "+bias";
    }
    d.constants.insert(d.constants.end(),
                       {uint32_t(bool(bias)), kinds[0], kinds[1], kinds[2], kinds[3], keep, uint32_t(quads)});
    d.constants.push_back(types_constant(l, {d.buffers[0], d.buffers[1], result, operands[0], operands[1],
                                             keep ? kept : result}));
    d.constants.insert(d.constants.end(), gemm.more_constants.begin(), gemm.more_constants.end());
    d.buffers.insert(d.buffers.end(), {bias ? bias : nothing, result, operands[0], operands[1], keep ? kept : result});
    if (!d.texels.empty())
        d.texels.insert(d.texels.end(), {bias ? texel : 1, 0, widths[0], widths[1]});
    require(quads || !is_16_bit(l.type(result)), "a product of ", n, " columns cannot be stored in 16 bits");
    read_bits(l, d);
}

} // namespace vkvae
