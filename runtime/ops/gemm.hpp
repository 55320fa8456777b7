// Which driver and tile of shaders/common/gemm.glsl to use, shared by matmul and the convolutions.
#pragma once

#include "vkvae/graph.hpp"

namespace vkvae {

// Whether a texel fetch is the cheap way to read: on lavapipe, see shaders/common/gemm.glsl.
bool prefers_texels(const Caps& caps);

// Which neighbours in memory one load may bring, as in gemm.glsl: single numbers, four of k (k from a multiple of 4), or
// four rows of A or columns of B (from a multiple of 4).
enum class Read : uint32_t { single, along_k, along_side };
struct GemmReads {
    Read a, b;
};

struct Gemm {
    std::string suffix;              // "_subgroup" or "_tile"
    std::vector<uint32_t> constants; // specialization constants 0 to 4; 5 and 6 are the kernel's own
    std::vector<uint32_t> texels;    // of the bindings 0 (A) and 1 (B), if they are texel buffers
    uint32_t tile_m = 0, tile_n = 0;
    bool stores_quads = true;         // whether work items have four neighbouring columns
    bool sums_columns = false;        // whether the driver can add up B's columns on the way
    uint32_t slices = 1, k_chunk = 0; // split of k; slices > 1 leaves partial sums
    std::array<uint32_t, 3> groups = {1, 1, 1};
};

// For C (m, n) = sum over k. With may_split, long sums that leave the device idle are split into slices of k, always the same for one shape.
Gemm choose_gemm(const Caps& caps, uint64_t m, uint64_t n, uint64_t k, GemmReads reads, bool may_split);

// Completes a product's dispatch with the epilogue of the node being lowered (shaders/common/epilogue.glsl): constants
// from 7 on and bindings from 2 on. `result` (rows, n) takes the values if the node has taken no steps. Instead of taking
// steps it can keep the sums of B's columns: `column_sums` (slices, n).
void add_epilogue(const Lowering& l, const Gemm& gemm, Tensor bias, Tensor result, uint64_t n, Dispatch& d,
                  Tensor column_sums = {});

// A product that leaves partial sums and sums of columns, to be finished: where they go, empty if they are not wanted,
// and where the kernel puts them. The sums of B (k, n) take a kernel of their own where the driver does not see to them.
struct WeightGradient {
    Tensor weights, bias;
    Tensor weights_target, bias_target;
    WeightGradient(Lowering& l, const Gemm& gemm, Tensor weights, Tensor bias, uint64_t m, uint64_t n);
    void finish(Lowering& l, const Gemm& gemm, Tensor b, uint64_t m, uint64_t n, uint64_t k) const;
};

// sum, mean or max over the middle of x (outer, axis, inner) -> y (outer, inner), times `factor`.
enum class ReduceOp : uint32_t { sum, max, sum_of_squares };
void lower_reduce(Lowering& l, Tensor x, Tensor y, ReduceOp op, uint64_t outer, uint64_t axis, uint64_t inner,
                  float factor);
// The first stage of the sum over all elements of x: some thousand numbers at most, for one workgroup to finish.
Tensor lower_partial_sums(Lowering& l, Tensor x, ReduceOp op);

} // namespace vkvae
