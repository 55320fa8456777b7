// The driver of common/gemm.glsl for matrix units (VK_KHR_cooperative_matrix): a workgroup computes TILE_M x TILE_N sums,
// each subgroup SUB_M x SUB_N of them, as matrices of the shape that the device multiplies in one instruction:
//
//   C (SHAPE_M, SHAPE_N) += A (SHAPE_M, SHAPE_K) B (SHAPE_K, SHAPE_N)      A and B in f16, C in f32
//
// What is f16 in memory gets into shared memory as it is, and f32 is rounded. Products of f16 are exact in f32, so the
// result is that of gemm_tile.glsl for rounded operands, but for the order of additions, which is the device's.

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint ITEMS = 128; // subgroups of LANES: (TILE_M / SUB_M) * (TILE_N / SUB_N) of them
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint A_READ = 0; // 0: one number at a time, else in fours, as in gemm_tile.glsl
layout(constant_id = 4) const uint B_READ = 0;
layout(constant_id = 15) const uint TILE_K = 32; // 5 and 6 are the kernel's, 7 to 14 the epilogue's
layout(constant_id = 16) const uint SUB_M = 32;
layout(constant_id = 17) const uint SUB_N = 32;
layout(constant_id = 18) const bool PREFETCH = false; // read the next panels while these are multiplied
layout(constant_id = 19) const uint SHAPE_M = 16;
layout(constant_id = 20) const uint SHAPE_N = 16;
layout(constant_id = 21) const uint SHAPE_K = 16;

const uint ACROSS = TILE_N / SUB_N, SUBGROUPS = TILE_M / SUB_M * ACROSS, LANES = ITEMS / SUBGROUPS;
const uint DOWN = SUB_M / SHAPE_M, WIDE = SUB_N / SHAPE_N; // matrices of a subgroup
const uint MATRIX = SHAPE_M * SHAPE_N / 4;                 // fours in one, of which there are as many as LANES, or more
shared vec4 shared_c[SUBGROUPS * MATRIX];                  // one of each subgroup, on its way out

// Of B, if they are kept: of the four columns that this work item reads, as it reads them.
vec4 column_sums = vec4(0.0);
#define HALVES
#define ADD_TO_COLUMN_SUMS(four)                                                                                       \
    if (KEEP == KEEP_COLUMN_SUMS)                                                                                      \
        column_sums += four;
#include "common/gemm_panels.glsl"

// Panels lie as in memory, in lines of fours; how they are to be read is said to coopMatLoad. 16 bytes more than the line
// spread the lines over the banks and keep them aligned.
const uint A_LINE = A_FOURS + 2, B_LINE = B_FOURS + 2;
const int A_LAYOUT = A_ALONG_M ? gl_CooperativeMatrixLayoutColumnMajor : gl_CooperativeMatrixLayoutRowMajor;
const int B_LAYOUT = B_ALONG_K ? gl_CooperativeMatrixLayoutColumnMajor : gl_CooperativeMatrixLayoutRowMajor;
shared uvec2 shared_a[A_LINES * A_LINE];
shared uvec2 shared_b[B_LINES * B_LINE];

uint gemm_tile_m() { return TILE_M; }
uint gemm_tile_n() { return TILE_N; }

void write_panels() { // where there are more items than fours, the last ones have none
    [[unroll]] for (uint j = 0; j < A_LOADS; j++)
        if (A_STEP <= A_LINES || gl_LocalInvocationID.x < A_LINES * A_FOURS)
            shared_a[((A_ALONG_M ? a_k : a_m) + j * A_STEP) * A_LINE + (A_ALONG_M ? a_m : a_k) / 4] = a_four[j];
    [[unroll]] for (uint j = 0; j < B_LOADS; j++)
        if (B_STEP <= B_LINES || gl_LocalInvocationID.x < B_LINES * B_FOURS)
            shared_b[((B_ALONG_K ? b_n : b_k) + j * B_STEP) * B_LINE + (B_ALONG_K ? b_k : b_n) / 4] = b_four[j];
}

// Where B's neighbours are along n: B_STEP lines of items have read the columns of the tile.
void keep_column_sums(uint n0) {
    uint item = gl_LocalInvocationID.x;
    if (item < B_LINES * B_FOURS)
        shared_c[item] = column_sums;
    barrier();
    [[dont_unroll]] for (uint n = item; n < TILE_N; n += ITEMS) {
        float sum = 0.0;
        [[dont_unroll]] for (uint line = 0; line < min(B_STEP, B_LINES); line++)
            sum += shared_c[line * B_FOURS + n / 4][n % 4];
        if (n0 + n < gemm_n())
            kept_put_one(gl_WorkGroupID.z * gemm_n() + n0 + n, sum);
    }
    barrier();
}

void gemm(uint tile_m, uint tile_n, uint k_begin, uint k_end) {
    uint m0 = tile_m * TILE_M, n0 = tile_n * TILE_N, m_last = gemm_m() - 1, n_last = gemm_n() - 1;
    uint my_m = gl_SubgroupID / ACROSS * SUB_M, my_n = gl_SubgroupID % ACROSS * SUB_N;
    coopmat<float, gl_ScopeSubgroup, SHAPE_M, SHAPE_N, gl_MatrixUseAccumulator> acc[DOWN * WIDE];
    [[unroll]] for (uint i = 0; i < DOWN * WIDE; i++)
        acc[i] = coopmat<float, gl_ScopeSubgroup, SHAPE_M, SHAPE_N, gl_MatrixUseAccumulator>(0.0);
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
        [[unroll]] for (uint k = 0; k < TILE_K; k += SHAPE_K) {
            coopmat<float16_t, gl_ScopeSubgroup, SHAPE_M, SHAPE_K, gl_MatrixUseA> a[DOWN];
            [[unroll]] for (uint i = 0; i < DOWN; i++) {
                uint m = my_m + i * SHAPE_M;
                coopMatLoad(a[i], shared_a, A_ALONG_M ? k * A_LINE + m / 4 : m * A_LINE + k / 4, A_LINE, A_LAYOUT);
            }
            [[unroll]] for (uint j = 0; j < WIDE; j++) {
                uint n = my_n + j * SHAPE_N;
                coopmat<float16_t, gl_ScopeSubgroup, SHAPE_K, SHAPE_N, gl_MatrixUseB> b;
                coopMatLoad(b, shared_b, B_ALONG_K ? n * B_LINE + k / 4 : k * B_LINE + n / 4, B_LINE, B_LAYOUT);
                [[unroll]] for (uint i = 0; i < DOWN; i++)
                    acc[i * WIDE + j] = coopMatMulAdd(a[i], b, acc[i * WIDE + j]);
            }
        }
        barrier();
    }
    if (KEEP == KEEP_COLUMN_SUMS && !B_ALONG_K && tile_m == 0)
        keep_column_sums(n0);
    // Which item holds which sum of a matrix is the device's secret, so they go through shared memory: a subgroup's one
    // matrix at a time, which no other subgroup sees. (GPU-assisted validation takes only a workgroup's barriers for one.)
    uint mine = gl_SubgroupID * MATRIX;
    [[unroll]] for (uint i = 0; i < DOWN; i++)
        [[unroll]] for (uint j = 0; j < WIDE; j++) {
            coopMatStore(acc[i * WIDE + j], shared_c, mine, SHAPE_N / 4, gl_CooperativeMatrixLayoutRowMajor);
            subgroupBarrier();
            [[unroll]] for (uint four = 0; four < MATRIX; four += LANES) {
                uint e = (four + gl_SubgroupInvocationID) * 4;
                uint m = m0 + my_m + i * SHAPE_M + e / SHAPE_N, n = n0 + my_n + j * SHAPE_N + e % SHAPE_N;
                uint at = c_row(min(m, m_last)) + n;
                vec4 v = shared_c[mine + e / 4];
                if (STORE_QUADS) {
                    if (m <= m_last && n <= n_last)
                        store_quad(at, n, v);
                } else {
                    for (uint f = 0; f < 4; f++)
                        if (m <= m_last && n + f <= n_last)
                            store_one(at + f, n + f, v[f]);
                }
            }
            subgroupBarrier();
        }
}
