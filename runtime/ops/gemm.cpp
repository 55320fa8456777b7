// Choice of driver and tile for every implicit or explicit matrix product.
#include "ops/gemm.hpp"

#include <algorithm>
#include <bit>
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

Choice shuffle_choice(const Caps& caps, const ShuffleTile& tile, GemmReads reads) {
    uint32_t lanes = caps.subgroup_size;
    if (reads.a == Read::along_side && tile.rows % (4 * lanes) != 0)
        reads.a = Read::single;
    Gemm gemm;
    gemm.tile = concat_text("shuffle ", tile.rows, "x", tile.columns, " by ", tile.subgroups);
    gemm.suffix = "_shuffle";
    gemm.constants = {lanes * tile.subgroups, tile.rows, tile.columns, uint32_t(reads.a), uint32_t(reads.b)};
    gemm.more_constants = {false, tile.subgroups};
    gemm.tile_m = tile.rows * tile.subgroups;
    gemm.tile_n = lanes * tile.columns;
    return {gemm, 256, 16};
}

Choice narrow_choice(const NarrowTile& tile, uint64_t n, GemmReads reads) {
    uint32_t columns = tile.columns(n);
    if (reads.b == Read::along_side && columns % 4 != 0)
        reads.b = Read::single;
    Gemm gemm;
    gemm.tile = concat_text("narrow ", tile.rows, "x", columns, " in ", tile.items, " by ", tile.team);
    gemm.suffix = "_narrow";
    gemm.constants = {tile.items, tile.rows, columns, reads.a != Read::single, reads.b != Read::single};
    gemm.more_constants = {tile.team};
    gemm.tile_m = tile.m();
    gemm.tile_n = columns;
    gemm.stores_quads = columns % 4 == 0;
    return {gemm, 256, 16};
}

// The one tile that VKVAE_GEMM_TILE names; none for a product that does not take it.
std::optional<Choice> forced_choice(const Caps& caps, uint64_t n, GemmReads reads) {
    size_t number = caps.gemm_tile - 1;
    auto named = [&](auto tiles) { // whether `number` is one of these; else it counts from the next ones on
        if (number >= tiles.size()) {
            number -= tiles.size();
            return false;
        }
        require(tile_fits(caps, tiles[number]), "tile ", caps.gemm_tile, " is not for this device");
        return true;
    };
    if (named(gemm_tiles()))
        return tile_choice(gemm_tiles()[number], reads);
    if (named(coopmat_tiles()))
        return reads.f16 ? std::optional(coopmat_choice(caps, coopmat_tiles()[number], reads)) : std::nullopt;
    if (named(shuffle_tiles()))
        return shuffle_choice(caps, shuffle_tiles()[number], reads);
    if (named(narrow_tiles()))
        return narrow_choice(narrow_tiles()[number], n, reads);
    fail(Status::usage, "there is no tile ", caps.gemm_tile);
}

std::vector<Choice> choices(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads, bool splits) {
    std::vector<Choice> list;
    if (caps.gemm_tile)
        if (std::optional<Choice> forced = forced_choice(caps, n, reads))
            return {*forced};
    if (!caps.is_cpu()) {
        std::vector<GemmTile> panels = tile_candidates(caps, m, n, splits);
        for (const GemmTile& tile : panels)
            list.push_back(tile_choice(tile, reads));
        // Two of a better kind, then the first of what there was, as a tuner does not go far down the list; or that first.
        auto add_kind = [&](auto kind, bool better, const auto& choice_of) {
            for (size_t i = 0; i < kind.size(); i++)
                list.insert(list.begin() + std::ptrdiff_t(i < 2 && better ? i : i + 1), choice_of(kind[i]));
        };
        auto cheaper = [&](const auto& kind) {
            return !kind.empty() && tile_cost(caps, kind[0], m, n, splits) < tile_cost(caps, panels[0], m, n, splits);
        };
        // By single numbers, as sums over rows read A, shuffles take as many instructions as panels.
        bool quads = reads.a == Read::along_k && reads.b != Read::single;
        std::vector<ShuffleTile> shuffles = shuffle_candidates(caps, m, n, splits);
        add_kind(shuffles, quads && cheaper(shuffles), [&](auto& t) { return shuffle_choice(caps, t, reads); });
        std::vector<NarrowTile> narrow = narrow_candidates(caps, m, n, splits);
        add_kind(narrow, cheaper(narrow), [&](auto& t) { return narrow_choice(t, n, reads); });
        if (reads.f16 && prefers_coopmat(caps))
            add_kind(coopmat_candidates(caps, m, n, splits), true,
                     [&](auto& t) { return coopmat_choice(caps, t, reads); });
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
