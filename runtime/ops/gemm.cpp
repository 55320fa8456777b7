// Choice of driver and tile for every implicit or explicit matrix product.
#include "ops/gemm.hpp"

#include <algorithm>

namespace vkvae {
namespace {

uint64_t divide_up(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

// The barrier-free subgroup tile is for lavapipe: there a barrier costs a coroutine switch per work item, and texel
// fetches and the broadcast save loads. GPUs get the shared-memory tile, and so does SwiftShader, whose compiler keeps
// no array in registers: it runs the shared-memory tile three times as fast.
bool use_subgroup_driver(const Caps& caps) {
    bool known_size = caps.subgroup_size == 4 || caps.subgroup_size == 8 || caps.subgroup_size == 16;
    return prefers_texels(caps) && caps.subgroup && known_size;
}

// Sums of one lane: rows x columns, measured on lavapipe with 8 lanes as GFLOP/s of a 512^3 matmul, a 3x3 convolution of 64
// channels, and as seconds of compiling:
//
//   32 x 8    50  49  0.40      64 x 4    69  66  0.38      96 x 4    58  71  0.78
//   16 x 8    40  46  0.16      32 x 4    60  58  0.15      16 x 4    51  44  0.09
//
// A round fetches rows / lanes + columns texels for rows x columns x 4 products, and eight columns of B are more than the
// registers hold. Small products take small tiles, as compiling is most of what they cost.
struct SubgroupTile {
    uint32_t rows, columns;
};
SubgroupTile subgroup_tile(uint32_t lanes, uint64_t m, uint64_t n, uint64_t k) {
    uint64_t products = m * n * k;
    uint32_t rows = products >= 1'000'000'000 ? 64 : products >= 10'000'000 ? 32 : 16;
    while (rows > lanes && rows >= 2 * m)
        rows /= 2;
    return {std::max(rows, lanes), n <= lanes ? 1u : 4u};
}

} // namespace

bool prefers_texels(const Caps& caps) {
    return caps.is_cpu() && caps.vendor_id == VK_VENDOR_ID_MESA && caps.max_texels >= caps.max_storage_range / 4;
}

namespace {

struct Choice {
    Gemm gemm;
    uint64_t wanted_groups, k_step; // how many groups fill the device; slices of k are multiples of k_step
};

Choice choose_subgroup(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads) {
    uint32_t lanes = caps.subgroup_size;
    auto [rows, columns] = subgroup_tile(lanes, m, n, k);
    if (columns == 1 && reads.b == Read::along_side)
        reads.b = Read::single;
    if (reads.a == Read::along_side)
        rows = std::max(rows, 4 * lanes);
    Gemm gemm;
    gemm.suffix = "_subgroup";
    gemm.constants = {lanes, rows, columns, uint32_t(reads.a), uint32_t(reads.b)};
    gemm.texels = {reads.a == Read::single ? 1u : 4u, reads.b == Read::single ? 1u : 4u};
    gemm.tile_m = rows;
    gemm.tile_n = lanes * columns;
    gemm.stores_quads = columns % 4 == 0;
    gemm.sums_columns = true;
    return {gemm, 16, 4}; // software devices have few cores; some slack evens the load
}

Choice choose_tile(const Caps& caps, uint64_t m, uint64_t n) {
    // 64x64 needs 256 work items and two panels of 16x65 floats; smaller problems and devices take 32x32 with 64.
    bool room = caps.max_invocations >= 256 && caps.max_shared_bytes >= 2 * 16 * 65 * 4;
    bool large = room && m > 32 && n > 32 && divide_up(m, 64) * divide_up(n, 64) >= 16;
    uint32_t tile = large ? 64 : 32;
    Gemm gemm;
    gemm.suffix = "_tile";
    gemm.constants = {tile * tile / 16, tile, tile, 0, 0};
    gemm.tile_m = gemm.tile_n = tile;
    return {gemm, 256, 16};
}

} // namespace

Gemm choose_gemm(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads, bool may_split) {
    auto [gemm, wanted_groups, k_step] =
        use_subgroup_driver(caps) ? choose_subgroup(caps, m, n, k, reads) : choose_tile(caps, m, n);
    uint64_t tiles = divide_up(m, gemm.tile_m) * divide_up(n, gemm.tile_n);
    if (may_split && tiles < wanted_groups) {
        // At least 256 products a slice, so that writing and adding the partial sums stays small beside them.
        uint64_t most = std::max<uint64_t>(1, k / 256);
        gemm.slices = uint32_t(std::clamp<uint64_t>(wanted_groups / tiles, 1, most));
    }
    gemm.k_chunk = uint32_t(divide_up(divide_up(k, gemm.slices), k_step) * k_step);
    gemm.slices = uint32_t(divide_up(k, gemm.k_chunk));
    uint64_t x = std::min(tiles, caps.max_group_count), y = divide_up(tiles, x);
    require(y <= caps.max_group_count, "a matrix product of ", m, " x ", n, " has more tiles than the device takes");
    gemm.groups = {uint32_t(x), uint32_t(y), gemm.slices};
    return gemm;
}

WeightGradient::WeightGradient(Lowering& l, const Gemm& gemm, Tensor w, Tensor db, uint64_t m, uint64_t n)
    : weights(w), bias(db), weights_target(w), bias_target(gemm.sums_columns ? db : Tensor{}) {
    if (gemm.slices == 1)
        return;
    weights_target = l.scratch({gemm.slices, int64_t(m), int64_t(n)}, "partial sums");
    if (bias_target)
        bias_target = l.scratch({gemm.slices, int64_t(n)}, "partial column sums");
}

void WeightGradient::finish(Lowering& l, const Gemm& gemm, Tensor b, uint64_t m, uint64_t n, uint64_t k) const {
    if (gemm.slices > 1)
        lower_reduce(l, weights_target, weights, ReduceOp::sum, 1, gemm.slices, m * n, 1);
    if (bias && !bias_target)
        lower_reduce(l, b, bias, ReduceOp::sum, 1, k, n, 1);
    else if (bias && gemm.slices > 1)
        lower_reduce(l, bias_target, bias, ReduceOp::sum, 1, gemm.slices, n, 1);
}

void add_epilogue(const Lowering& l, const Gemm& gemm, Tensor bias, Tensor result, uint64_t n, Dispatch& d,
                  Tensor column_sums) {
    constexpr uint32_t kKeepColumnSums = 3; // as in epilogue.glsl
    static const char* const names[] = {"", "+activation", "+activation_gradient", "+add"};
    const std::vector<Step>& steps = l.node->steps;
    bool quads = n % 4 == 0 && gemm.stores_quads;
    uint32_t texel = quads ? 4 : 1, keep = 0;
    Tensor nothing = d.buffers[1]; // for bindings that the kernel does not touch
    Tensor operands[2] = {nothing, nothing}, kept = result;
    uint32_t widths[2] = {1, 1}; // of the operands' texels; an operand may be B itself
    uint32_t kinds[4] = {};
    for (uint32_t i = 0; i < steps.size(); i++) {
        kinds[2 * i] = steps[i].kind;
        kinds[2 * i + 1] = steps[i].function;
        if (steps[i].operand) {
            operands[i] = steps[i].operand;
            widths[i] = texel;
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
    d.buffers.insert(d.buffers.end(), {bias ? bias : nothing, result, operands[0], operands[1], keep ? kept : result});
    if (!d.texels.empty())
        d.texels.insert(d.texels.end(), {bias ? texel : 1, 0, widths[0], widths[1]});
}

} // namespace vkvae
