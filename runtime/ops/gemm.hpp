// Which driver and tile of shaders/common/gemm.glsl to use, shared by matmul and the convolutions.
#pragma once

#include "vkvae/graph.hpp"

namespace vkvae {

// Whether a texel fetch is the cheap way to read: on lavapipe, see shaders/common/gemm.glsl.
bool prefers_texels(const Caps& caps);
// Whether products go to the barrier-free subgroup tile: there too, if the subgroups suit it.
bool prefers_subgroups(const Caps& caps);

// Which neighbours in memory one load may bring, as in gemm.glsl: single numbers, four of k (k from a multiple of 4), or
// four rows of A or columns of B (from a multiple of 4).
enum class Read : uint32_t { single, along_k, along_side };
struct GemmReads {
    Read a, b;
    bool f16 = false; // see reads_f16()
};

struct Gemm {
    std::string tile;                // its name, for Tuning
    std::string suffix;              // of the kernel's name: "_tile", "_narrow", "_shuffle", "_coopmat", "_subgroup" or "_plain"
    // Specialization constants 0 to 4 and from 15 on; 5 and 6 are the kernel's own, 7 to 14 the epilogue's.
    std::vector<uint32_t> constants, more_constants;
    std::vector<uint32_t> texels;    // of the bindings 0 (A) and 1 (B), if they are texel buffers
    uint32_t tile_m = 0, tile_n = 0;
    bool stores_quads = true;         // whether work items have four neighbouring columns
    uint32_t slices = 1, k_chunk = 0; // split of k; slices > 1 leaves partial sums
    std::array<uint32_t, 3> groups = {1, 1, 1};
};

// For C (m, n) = sum over k: all that can do it, the one to take unless measurements say otherwise first. may_split: k
// may be split, and here it is, into `slices`, one of slice_counts(): the same for all of them, whatever the tile.
std::vector<Gemm> gemm_candidates(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads, bool may_split,
                                  uint64_t slices = 1);
// Into how many slices of k a product can be split: first so many that the device is busy, then neighbours of that.
std::vector<uint64_t> slice_counts(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads);
// Of all those what the Lowering's Tuning says, or the first. `name`: of the kernel.
Gemm choose_gemm(Lowering& l, const char* name, uint64_t m, uint64_t n, uint64_t k, GemmReads reads, bool may_split);

// ---- The tiles that there are, and which of them suit a device: gemm_tiles.cpp. Caps::gemm_tile numbers them from 1 on,
// in the order of these functions.

// A tile of shaders/common/gemm_tile.glsl: m x n sums, k at a time, rows x columns of the sums in each work item.
struct GemmTile {
    uint32_t m, n, k, rows, columns;
    bool prefetch; // the next panels while these are multiplied
    constexpr uint32_t items() const { return m / rows * (n / columns); }
    uint32_t shared_bytes() const { return (m + 4 + n + 4) * k * 4; }
    bool operator==(const GemmTile&) const = default;
};
std::span<const GemmTile> gemm_tiles();

// A tile of shaders/common/gemm_coopmat.glsl: m x n sums, k at a time, sub_m x sub_n of the sums in each subgroup.
struct CoopmatTile {
    uint32_t m, n, k, sub_m, sub_n;
    bool prefetch;
    constexpr uint32_t subgroups() const { return m / sub_m * (n / sub_n); }
    uint32_t items(const Caps& caps) const { return subgroups() * caps.subgroup_size; }
    uint32_t shared_bytes(const Caps& caps) const; // at most, over what is along what
    bool operator==(const CoopmatTile&) const = default;
};
std::span<const CoopmatTile> coopmat_tiles();

// A tile of shaders/common/gemm_subgroup.glsl for GPUs: rows x columns sums in each lane of so many subgroups.
struct ShuffleTile {
    uint32_t rows, columns, subgroups; // columns: whole fours
    bool operator==(const ShuffleTile&) const = default;
};
std::span<const ShuffleTile> shuffle_tiles();

// A tile of shaders/common/gemm_narrow.glsl: rows of each work item, which a team of items shares.
struct NarrowTile {
    uint32_t items, team, rows;
    uint32_t m() const { return items / team * rows; }
    uint32_t columns(uint64_t n) const; // of n: not more than there are
    uint32_t shared_bytes() const { return 2 * columns(4) * team * (items / team + 4) * 4; }
    bool operator==(const NarrowTile&) const = default;
};
std::span<const NarrowTile> narrow_tiles();

// Those that suit the device, the one to take for C (m, n) first; none where it has no use for the kind.
// `splits`: choose_gemm may split k.
std::vector<GemmTile> tile_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits);
std::vector<CoopmatTile> coopmat_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits);
std::vector<ShuffleTile> shuffle_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits);
std::vector<NarrowTile> narrow_candidates(const Caps& caps, uint64_t m, uint64_t n, bool splits);

// Time of C (m, n) on the busiest core, in multiply-adds, to compare tiles of these kinds.
double tile_cost(const Caps& caps, const GemmTile& tile, uint64_t m, uint64_t n, bool splits);
double tile_cost(const Caps& caps, const ShuffleTile& tile, uint64_t m, uint64_t n, bool splits);
double tile_cost(const Caps& caps, const NarrowTile& tile, uint64_t m, uint64_t n, bool splits);

// Whether the device can run it at all.
bool tile_fits(const Caps& caps, const GemmTile& tile);
bool tile_fits(const Caps& caps, const CoopmatTile& tile);
bool tile_fits(const Caps& caps, const ShuffleTile& tile);
bool tile_fits(const Caps& caps, const NarrowTile& tile);

// Whether products of f16 go to matrix units unless told otherwise.
bool prefers_coopmat(const Caps& caps);
// Whether a product of these may be one of f16: one of them is, and none is bf16, which has more range.
bool reads_f16(const Lowering& l, Tensor a, Tensor b);

// What a product of these is called beside its operation: " f16" for one that reads 16 bits, else nothing.
std::string type_suffix(const Lowering& l, Tensor a, Tensor b);
// The specialization constant TYPES of shaders/common/tensor.glsl.
uint32_t types_constant(const Lowering& l, std::initializer_list<Tensor> tensors);
// For a kernel that reads bf16 in texels: its variant that reads bits.
void read_bits(const Lowering& l, Dispatch& d);

// Completes a product's dispatch with the epilogue of the node being lowered (shaders/common/epilogue.glsl): constants
// from 7 on and bindings from 2 on. `result` (rows, n) takes the values if the node has taken no steps. Instead of taking
// steps it can keep the sums of B's columns: `column_sums` (slices, n).
void add_epilogue(const Lowering& l, const Gemm& gemm, Tensor bias, Tensor result, uint64_t n, Dispatch& d,
                  Tensor column_sums = {});

// Where a product (m, n) and its column sums go, `bias` if they are wanted, and where its kernel puts them: into partial
// sums, if there are slices, which finish() adds.
struct WeightGradient {
    Tensor weights, bias;
    Tensor weights_target, bias_target;
    WeightGradient(Lowering& l, const Gemm& gemm, Tensor weights, Tensor bias, uint64_t m, uint64_t n);
    void finish(Lowering& l, const Gemm& gemm, uint64_t m, uint64_t n) const;
};

// sum, mean or max over the middle of x (outer, axis, inner) -> y (outer, inner), times `factor`.
enum class ReduceOp : uint32_t { sum, max, sum_of_squares };
void lower_reduce(Lowering& l, Tensor x, Tensor y, ReduceOp op, uint64_t outer, uint64_t axis, uint64_t inner,
                  float factor);
// The first stage of the sum over all elements of x: some thousand numbers at most, for one workgroup to finish.
Tensor lower_partial_sums(Lowering& l, Tensor x, ReduceOp op);

} // namespace vkvae
