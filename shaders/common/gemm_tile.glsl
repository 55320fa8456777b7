// The driver of common/gemm.glsl for GPUs: a workgroup computes TILE_M x TILE_N sums, each work item ROWS x COLUMNS of
// them in registers. For TILE_K of k at a time it brings a panel of A and one of B into shared memory.

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint ITEMS = 256; // (TILE_M / ROWS) * (TILE_N / COLUMNS)
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint A_READ = 0; // 0: one float at a time, else in vec4s, as in gemm_subgroup.glsl
layout(constant_id = 4) const uint B_READ = 0;
layout(constant_id = 15) const uint TILE_K = 16; // 5 and 6 are the kernel's, 7 to 14 the epilogue's
layout(constant_id = 16) const uint ROWS = 4;
layout(constant_id = 17) const uint COLUMNS = 4;
layout(constant_id = 18) const bool PREFETCH = false; // read the next panels while these are multiplied

#include "common/gemm_panels.glsl"

// Rows of four floats more than a power of two: those along k are written across, and would all meet in one bank.
const uint A_STRIDE = TILE_M + 4, B_STRIDE = TILE_N + 4;
shared float shared_a[TILE_K * A_STRIDE];
shared float shared_b[TILE_K * B_STRIDE];

uint gemm_tile_m() { return TILE_M; }
uint gemm_tile_n() { return TILE_N; }

// And on into shared memory. Where there are more items than fours, the last ones have none.
void write_panels() {
    [[unroll]] for (uint j = 0; j < A_LOADS; j++)
        if (A_STEP <= A_LINES || gl_LocalInvocationID.x < A_LINES * A_FOURS) {
            uint at = A_ALONG_M ? (a_k + j * A_STEP) * A_STRIDE + a_m : a_k * A_STRIDE + a_m + j * A_STEP;
            [[unroll]] for (uint e = 0; e < 4; e++)
                shared_a[at + e * (A_ALONG_M ? 1 : A_STRIDE)] = a_four[j][e];
        }
    [[unroll]] for (uint j = 0; j < B_LOADS; j++)
        if (B_STEP <= B_LINES || gl_LocalInvocationID.x < B_LINES * B_FOURS) {
            uint at = B_ALONG_K ? b_k * B_STRIDE + b_n + j * B_STEP : (b_k + j * B_STEP) * B_STRIDE + b_n;
            [[unroll]] for (uint e = 0; e < 4; e++)
                shared_b[at + e * (B_ALONG_K ? B_STRIDE : 1)] = b_four[j][e];
        }
}

void gemm(uint tile_m, uint tile_n, uint k_begin, uint k_end) {
    // An item's sums are squares of 4 x 4, as far apart as there are items: so neighbours read and store neighbours.
    const uint ACROSS = TILE_N / COLUMNS, DOWN = TILE_M / ROWS, QUADS = COLUMNS / 4;
    uint m0 = tile_m * TILE_M, n0 = tile_n * TILE_N, m_last = gemm_m() - 1, n_last = gemm_n() - 1;
    uint my_m = gl_LocalInvocationID.x / ACROSS * 4, my_n = gl_LocalInvocationID.x % ACROSS * 4;
    vec4 acc[ROWS * QUADS];
    [[unroll]] for (uint i = 0; i < ROWS * QUADS; i++)
        acc[i] = vec4(0.0);
    float column_sum = 0.0; // of B, if they are kept: of column `item` of the tile
    begin_panels(m0, n0, k_begin);
    if (PREFETCH)
        read_panels(k_begin, k_end);
    [[dont_unroll]] for (uint k0 = k_begin; k0 < k_end; k0 += TILE_K) {
        if (!PREFETCH)
            read_panels(k0, k_end);
        write_panels();
        barrier();
        if (PREFETCH && k0 + TILE_K < k_end)
            read_panels(k0 + TILE_K, k_end);
        // One k at a time: unrolled, Intel's compiler keeps so many loads in flight that it halves the SIMD width.
        [[dont_unroll]] for (uint k = 0; k < TILE_K; k++)
            [[unroll]] for (uint j = 0; j < QUADS; j++) {
                uint at_b = k * B_STRIDE + my_n + j * 4 * ACROSS;
                vec4 b = vec4(shared_b[at_b], shared_b[at_b + 1], shared_b[at_b + 2], shared_b[at_b + 3]);
                [[unroll]] for (uint i = 0; i < ROWS; i++)
                    acc[j * ROWS + i] += shared_a[k * A_STRIDE + my_m + i / 4 * 4 * DOWN + i % 4] * b;
            }
        if (KEEP == KEEP_COLUMN_SUMS && tile_m == 0 && gl_LocalInvocationID.x < TILE_N) {
            float of_panel = 0.0;
            for (uint k = 0; k < TILE_K; k++)
                of_panel += shared_b[k * B_STRIDE + gl_LocalInvocationID.x];
            column_sum += of_panel;
        }
        barrier();
    }
    if (KEEP == KEEP_COLUMN_SUMS && tile_m == 0 && gl_LocalInvocationID.x < TILE_N && n0 + gl_LocalInvocationID.x <= n_last)
        kept_put_one(gl_WorkGroupID.z * gemm_n() + n0 + gl_LocalInvocationID.x, column_sum);
    // Unrolled, or NVK keeps acc in memory.
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        uint m = m0 + my_m + i / 4 * 4 * DOWN + i % 4, row = c_row(min(m, m_last));
        [[unroll]] for (uint j = 0; j < QUADS; j++) {
            uint n = n0 + my_n + j * 4 * ACROSS;
            if (STORE_QUADS) {
                if (m <= m_last && n <= n_last)
                    store_quad(row + n, n, acc[j * ROWS + i]);
            } else {
                for (uint e = 0; e < 4; e++)
                    if (m <= m_last && n + e <= n_last)
                        store_one(row + n + e, n + e, acc[j * ROWS + i][e]);
            }
        }
    }
}
