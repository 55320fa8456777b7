// One matrix product driver for matmul and all convolutions (implicit GEMM): C[M,N] = sum over k of A[M,K] B[K,N].
//
// The including kernel defines what the matrices are, as functions:
//   Row  row_state(uint m)            what load_a needs to know of row m, computed once
//   Tap  tap_state(uint k)            what load_a and load_b need to know of k
//   float load_a(Row row, Tap tap)    A[m,k], 0 where the tap is outside
//   float load_b(Tap tap, uint n)     B[k,n]
//   void store_c(uint m, uint n, float value)
// and the bounds gemm_m, gemm_n, gemm_k (the slice [k_begin, k_end) of this workgroup is given to gemm()).
// Loads get clamped m, n and k < gemm_k: every index they see is valid.
//
// Two drivers:
//   SUBGROUP  One subgroup a workgroup, no shared memory, no barrier: for software devices, where a barrier turns the
//             kernel into coroutines and a load costs ten instructions per component and lane. A tile is TILE_M rows
//             by LANES * 4 * TILE_V columns. For LANES values of k at a time, lane l loads A[row, k+l] of every row
//             once; subgroupBroadcast hands it round.
//   else      The classic shared-memory tile for GPUs: TILE_M x TILE_N, (TILE_M/4)*(TILE_N/4) work items of 4 x 4.

#ifdef SUBGROUP

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;  // the subgroup's size
layout(constant_id = 1) const uint TILE_M = 16; // rows of a tile
layout(constant_id = 2) const uint TILE_V = 2; // vec4 columns of a lane

uint gemm_tile_m() { return TILE_M; }
uint gemm_tile_n() { return LANES * 4 * TILE_V; }

// Four neighbouring columns: one load where rows of B are whole vec4s, which costs half of four.
vec4 load_b4(Tap tap, uint n, uint n_last) {
#ifdef LOAD_B_VECTOR
    if (B_IS_VECTOR)
        return load_b_vector(tap, min(n, n_last - 3));
#endif
    return vec4(load_b(tap, min(n, n_last)), load_b(tap, min(n + 1, n_last)), load_b(tap, min(n + 2, n_last)),
                load_b(tap, min(n + 3, n_last)));
}

#define GEMM_STEP(kk)                                                                                                  \
    {                                                                                                                  \
        Tap tap = tap_state(min(k0 + kk, k_last));                                                                     \
        vec4 b[TILE_V];                                                                                                \
        [[unroll]] for (uint v = 0; v < TILE_V; v++)                                                                   \
            b[v] = load_b4(tap, n0 + v * 4, n_last);                                                                   \
        [[unroll]] for (uint r = 0; r < TILE_M; r++) {                                                                 \
            float x = subgroupBroadcast(a[r], kk);                                                                     \
            [[unroll]] for (uint v = 0; v < TILE_V; v++)                                                               \
                acc[r * TILE_V + v] += x * b[v];                                                                       \
        }                                                                                                              \
    }

void gemm(uint tile_m, uint tile_n, uint k_begin, uint k_end) {
    uint lane = gl_SubgroupInvocationID;
    uint m0 = tile_m * TILE_M;
    uint n0 = tile_n * gemm_tile_n() + lane * 4 * TILE_V;
    uint m_last = gemm_m() - 1, n_last = gemm_n() - 1, k_last = k_end - 1;
    Row rows[TILE_M];
    vec4 acc[TILE_M * TILE_V];
    [[unroll]] for (uint r = 0; r < TILE_M; r++)
        rows[r] = row_state(min(m0 + r, m_last));
    [[unroll]] for (uint i = 0; i < TILE_M * TILE_V; i++)
        acc[i] = vec4(0.0);

    for (uint k0 = k_begin; k0 < k_end; k0 += LANES) {
        float a[TILE_M];
        Tap mine = tap_state(min(k0 + lane, k_last));
        bool inside = k0 + lane < k_end; // beyond the end a zero of A cancels whatever B repeats
        [[unroll]] for (uint r = 0; r < TILE_M; r++) {
            float x = load_a(rows[r], mine); // not inside the condition: a divergent branch costs more than the load
            a[r] = inside ? x : 0.0;
        }
        GEMM_STEP(0)
        GEMM_STEP(1)
        GEMM_STEP(2)
        GEMM_STEP(3)
        if (LANES > 4) {
            GEMM_STEP(4)
            GEMM_STEP(5)
            GEMM_STEP(6)
            GEMM_STEP(7)
        }
        if (LANES > 8) {
            GEMM_STEP(8)
            GEMM_STEP(9)
            GEMM_STEP(10)
            GEMM_STEP(11)
            GEMM_STEP(12)
            GEMM_STEP(13)
            GEMM_STEP(14)
            GEMM_STEP(15)
        }
    }
    [[unroll]] for (uint r = 0; r < TILE_M; r++)
        [[unroll]] for (uint v = 0; v < TILE_V; v++)
            [[unroll]] for (uint c = 0; c < 4; c++)
                if (m0 + r <= m_last && n0 + v * 4 + c <= n_last)
                    store_c(m0 + r, n0 + v * 4 + c, acc[r * TILE_V + v][c]);
}

#else

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint ITEMS = 256; // (TILE_M / 4) * (TILE_N / 4)
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
#ifndef A_ALONG_M
#define A_ALONG_M false // true if neighbours in m are neighbours in memory, else those in k are
#endif
#ifndef B_ALONG_K
#define B_ALONG_K false // true if neighbours in k are neighbours in memory, else those in n are
#endif
const uint TILE_K = 16;

// One column of padding: rows of 64 floats would all start in the same bank.
shared float shared_a[TILE_K * (TILE_M + 1)];
shared float shared_b[TILE_K * (TILE_N + 1)];

uint gemm_tile_m() { return TILE_M; }
uint gemm_tile_n() { return TILE_N; }

void gemm(uint tile_m, uint tile_n, uint k_begin, uint k_end) {
    uint item = gl_LocalInvocationID.x;
    uint m0 = tile_m * TILE_M, n0 = tile_n * TILE_N;
    uint m_last = gemm_m() - 1, n_last = gemm_n() - 1, k_last = k_end - 1;
    uint my_m = item / (TILE_N / 4) * 4, my_n = item % (TILE_N / 4) * 4;
    vec4 acc[4];
    for (uint i = 0; i < 4; i++)
        acc[i] = vec4(0.0);
    for (uint k0 = k_begin; k0 < k_end; k0 += TILE_K) {
        for (uint i = item; i < TILE_M * TILE_K; i += ITEMS) {
            uint m = A_ALONG_M ? i % TILE_M : i / TILE_K, k = A_ALONG_M ? i / TILE_M : i % TILE_K;
            float x = 0.0;
            if (k0 + k <= k_last)
                x = load_a(row_state(min(m0 + m, m_last)), tap_state(k0 + k));
            shared_a[k * (TILE_M + 1) + m] = x;
        }
        for (uint i = item; i < TILE_N * TILE_K; i += ITEMS) {
            uint n = B_ALONG_K ? i / TILE_K : i % TILE_N, k = B_ALONG_K ? i % TILE_K : i / TILE_N;
            float x = 0.0;
            if (k0 + k <= k_last)
                x = load_b(tap_state(k0 + k), min(n0 + n, n_last));
            shared_b[k * (TILE_N + 1) + n] = x;
        }
        barrier();
        for (uint k = 0; k < TILE_K; k++) {
            uint at_a = k * (TILE_M + 1) + my_m, at_b = k * (TILE_N + 1) + my_n;
            vec4 b = vec4(shared_b[at_b], shared_b[at_b + 1], shared_b[at_b + 2], shared_b[at_b + 3]);
            [[unroll]] for (uint i = 0; i < 4; i++)
                acc[i] += shared_a[at_a + i] * b;
        }
        barrier();
    }
    [[unroll]] for (uint i = 0; i < 4; i++)
        [[unroll]] for (uint j = 0; j < 4; j++)
            if (m0 + my_m + i <= m_last && n0 + my_n + j <= n_last)
                store_c(m0 + my_m + i, n0 + my_n + j, acc[i][j]);
}

#endif

// Tiles are numbered along n first and folded into y. `slice` is the slice of k, each `k_chunk` long.
void gemm_main(uint slice, uint k_chunk) {
    uint tiles_m = (gemm_m() + gemm_tile_m() - 1) / gemm_tile_m();
    uint tiles_n = (gemm_n() + gemm_tile_n() - 1) / gemm_tile_n();
    uint tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (tile >= tiles_m * tiles_n)
        return;
    uint k_begin = slice * k_chunk;
    gemm(tile / tiles_n, tile % tiles_n, k_begin, min(k_begin + k_chunk, gemm_k()));
}
