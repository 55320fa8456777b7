// One matrix product driver for matmul and all convolutions (implicit GEMM): C[M,N] = sum over k of A[M,K] B[K,N].
//
// The including kernel defines what the matrices are, as functions:
//   Row  row_state(uint m)            what load_a needs to know of row m, computed once
//   Tap  tap_state(uint k)            what load_a and b_at_tap need to know of k
//   void advance(inout Tap tap)       to k + 1, without the divisions of tap_state
//   float load_a(Row row, Tap tap)    A[m,k], 0 where the tap is outside
//   uint b_at_tap(Tap tap), uint b_at_column(uint n)    B[k,n] = b_data[b_at_tap + b_at_column]
//   B_IS_VECTOR                       true if four columns from a multiple of 4 on are one element of b_vectors
//   void store_c(uint m, uint n, float value)
// and the bounds gemm_m, gemm_n, gemm_k (the slice [k_begin, k_end) of this workgroup is given to gemm()).
// Loads get clamped m, n and k < gemm_k: every index they see is valid.
//
// Two drivers:
//   SUBGROUP  One subgroup a workgroup, no shared memory, no barrier: for software devices. There a barrier turns the
//             kernel into coroutines, a load costs a dozen instructions and two branches per lane and component, and a
//             loop that outgrows the instruction cache is slow. So the tile is large, TILE_M rows by LANES * COLUMNS
//             columns, and the loop over k is short: each lane loads A of its rows and B of its columns, and
//             subgroupBroadcast hands A round.
//   else      The classic shared-memory tile for GPUs: TILE_M x TILE_N, (TILE_M/4)*(TILE_N/4) work items of 4 x 4.

#ifdef SUBGROUP

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;   // the subgroup's size
layout(constant_id = 1) const uint TILE_M = 32; // rows of a tile, a multiple of LANES
layout(constant_id = 2) const uint COLUMNS = 8; // neighbouring columns of a lane

uint gemm_tile_m() { return TILE_M; }
uint gemm_tile_n() { return LANES * COLUMNS; }

// Row i LANES + source of the tile, whose A is in the lane `source`; subgroupBroadcast wants a constant.
#define ADD_ROW(source)                                                                                                \
    {                                                                                                                  \
        float x = subgroupBroadcast(a, source);                                                                        \
        [[unroll]] for (uint c = 0; c < COLUMNS; c++)                                                                  \
            acc[(i * LANES + source) * COLUMNS + c] += x * b[c];                                                       \
    }

void gemm(uint tile_m, uint tile_n, uint k_begin, uint k_end) {
    uint lane = gl_SubgroupInvocationID;
    uint m0 = tile_m * TILE_M, n0 = tile_n * gemm_tile_n() + lane * COLUMNS;
    uint m_last = gemm_m() - 1, n_last = gemm_n() - 1;
    bool vectors = B_IS_VECTOR && COLUMNS % 4 == 0;
    Row rows[TILE_M / LANES];
    uint at_column[COLUMNS];
    float acc[TILE_M * COLUMNS];
    [[unroll]] for (uint i = 0; i < TILE_M / LANES; i++)
        rows[i] = row_state(min(m0 + i * LANES + lane, m_last));
    [[unroll]] for (uint c = 0; c < COLUMNS; c++)
        at_column[c] = b_at_column(min(n0 + c, vectors ? n_last - 3 : n_last));
    [[unroll]] for (uint i = 0; i < TILE_M * COLUMNS; i++)
        acc[i] = 0.0;

    Tap tap = tap_state(k_begin);
    [[dont_unroll]] for (uint k = k_begin; k < k_end; k++) {
        float b[COLUMNS];
        uint at_tap = b_at_tap(tap);
        if (vectors) {
            [[unroll]] for (uint c = 0; c < COLUMNS; c += 4) {
                vec4 four = b_vectors[(at_tap + at_column[c]) / 4];
                [[unroll]] for (uint j = 0; j < 4; j++)
                    b[c + j] = four[j];
            }
        } else {
            [[unroll]] for (uint c = 0; c < COLUMNS; c++)
                b[c] = b_data[at_tap + at_column[c]];
        }
        [[unroll]] for (uint i = 0; i < TILE_M / LANES; i++) {
            float a = load_a(rows[i], tap);
            ADD_ROW(0) ADD_ROW(1) ADD_ROW(2) ADD_ROW(3)
            if (LANES > 4) {
                ADD_ROW(4) ADD_ROW(5) ADD_ROW(6) ADD_ROW(7)
            }
            if (LANES > 8) {
                ADD_ROW(8) ADD_ROW(9) ADD_ROW(10) ADD_ROW(11) ADD_ROW(12) ADD_ROW(13) ADD_ROW(14) ADD_ROW(15)
            }
        }
        advance(tap);
    }
    // A loop that stays one: unrolled, the stores would be most of the kernel's code and of its compile time.
    [[dont_unroll]] for (uint i = 0; i < TILE_M * COLUMNS; i++) {
        uint m = m0 + i / COLUMNS, n = n0 + i % COLUMNS;
        if (m <= m_last && n <= n_last)
            store_c(m, n, acc[i]);
    }
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
                x = b_data[b_at_tap(tap_state(k0 + k)) + b_at_column(min(n0 + n, n_last))];
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
