// The driver of common/gemm.glsl for CPU devices other than lavapipe: the shared-memory tile in its simplest form,
// TILE_M x TILE_N with (TILE_M/4)*(TILE_N/4) work items of 4 x 4 sums. SwiftShader unrolls only loops whose length is a
// literal and keeps no array in registers: common/gemm_tile.glsl takes it up to four times as long.

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint ITEMS = 256; // (TILE_M / 4) * (TILE_N / 4)
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
const uint TILE_K = 16;

// One column of padding: rows of 64 floats would all start in the same bank.
shared float shared_a[TILE_K * (TILE_M + 1)];
shared float shared_b[TILE_K * (TILE_N + 1)];

float load_a(Row row, Tap tap) {
    int at = a_at(row, tap);
    float value = a_one(uint(max(at, 0)));
    return at < 0 ? 0.0 : value;
}

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
    float column_sum = 0.0; // of B, if they are kept: of column `item` of the tile
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
                x = b_one(b_at_tap(tap_state(k0 + k)) + b_at_column(min(n0 + n, n_last)));
            shared_b[k * (TILE_N + 1) + n] = x;
        }
        barrier();
        for (uint k = 0; k < TILE_K; k++) {
            uint at_a = k * (TILE_M + 1) + my_m, at_b = k * (TILE_N + 1) + my_n;
            vec4 b = vec4(shared_b[at_b], shared_b[at_b + 1], shared_b[at_b + 2], shared_b[at_b + 3]);
            [[unroll]] for (uint i = 0; i < 4; i++)
                acc[i] += shared_a[at_a + i] * b;
        }
        if (KEEP == KEEP_COLUMN_SUMS && tile_m == 0 && item < TILE_N) {
            float of_panel = 0.0;
            for (uint k = 0; k < TILE_K; k++)
                of_panel += shared_b[k * (TILE_N + 1) + item];
            column_sum += of_panel;
        }
        barrier();
    }
    if (KEEP == KEEP_COLUMN_SUMS && tile_m == 0 && item < TILE_N && n0 + item <= n_last)
        kept_put_one(gl_WorkGroupID.z * gemm_n() + n0 + item, column_sum);
    // No unrolling asked for: SwiftShader's compiler takes a second less.
    for (uint i = 0; i < 4; i++) {
        uint m = m0 + my_m + i, n = n0 + my_n, row = c_row(min(m, m_last));
        if (STORE_QUADS) {
            if (m <= m_last && n <= n_last)
                store_quad(row + n, n, acc[i]);
        } else {
            for (uint j = 0; j < 4; j++)
                if (m <= m_last && n + j <= n_last)
                    store_one(row + n + j, n + j, acc[i][j]);
        }
    }
}
