// The driver of common/gemm.glsl without shared memory and barriers: a subgroup has a tile to itself, each lane some columns
// of it. The lanes read A, each its own rows, and subgroupBroadcast hands it round. Made twice:
//
// With TEXELS for lavapipe, where a barrier would turn the kernel into coroutines. What costs there, read in its machine
// code: a load from a storage buffer is a dozen instructions and two branches for each lane and number; a texel fetch is
// one call of 60 instructions that brings four numbers to each of 8 lanes. And a variable that lives through a loop is
// loaded, blended with the execution mask and stored on each round. So A and B are texel buffers, read four numbers at a
// time, four k a round, and each sum is touched once a round.
//
// With SHUFFLE for Intel's GPUs, where one lane of a register can be an instruction's operand, so that a broadcast need not
// cost anything. Never timed. Source: Intel's sgemm for cl_intel_subgroups.
//
// Where C has fewer columns than there are lanes, most of them would be idle: NARROW tiles give each lane rows of its own,
// with all columns.

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint ITEMS = 8;
layout(constant_id = 1) const uint ROWS = 32;   // of a subgroup, a multiple of LANES, of 4 LANES if A is read along m
layout(constant_id = 2) const uint COLUMNS = 8; // neighbouring columns of a lane, a multiple of 4 if B is read along n
// Which four neighbours in memory one fetch brings; a texel is then four floats, else one.
const uint SINGLE = 0, ALONG_K = 1, ALONG_SIDE = 2; // of k; of m for A, of n for B
layout(constant_id = 3) const uint A_READ = SINGLE;
layout(constant_id = 4) const uint B_READ = SINGLE;
layout(constant_id = 15) const bool NARROW = false; // 5 and 6 are the kernel's, 7 to 14 the epilogue's
layout(constant_id = 16) const uint SUBGROUPS = 1; // one below the other, so they read the same columns of B
const uint LANES = ITEMS / SUBGROUPS;
const uint GROUPS = ROWS / LANES;
const uint SUMS = (NARROW ? GROUPS : ROWS) * COLUMNS; // of a lane
const bool QUADS = A_READ == ALONG_K && B_READ != SINGLE; // four k are one step of the tap

uint gemm_tile_m() { return SUBGROUPS * ROWS; }
uint gemm_tile_n() { return NARROW ? COLUMNS : LANES * COLUMNS; }
uint row_in_tile(uint group, uint lane) {
    return A_READ == ALONG_SIDE ? (group / 4 * LANES + lane) * 4 + group % 4 : group * LANES + lane;
}

#ifdef TEXELS
vec4 a_read(uint at) { return a_texel(A_READ == SINGLE ? at : at / 4); }
vec4 b_read(uint at) { return b_texel(B_READ == SINGLE ? at : at / 4); }
#else
vec4 a_read(uint at) { return A_READ == SINGLE ? vec4(a_one(at)) : a_quad(at); }
vec4 b_read(uint at) { return B_READ == SINGLE ? vec4(b_one(at)) : b_quad(at); }
#endif
vec4 a_fetch(Row row, Tap tap) {
    int at = a_at(row, tap);
    vec4 x = a_read(uint(max(at, 0)));
    return at < 0 ? vec4(0.0) : x;
}

// acc[row] += x b, of all columns.
#define ADD_PRODUCTS(row, x)                                                                                           \
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) {                                                                    \
        float sum = acc[(row) * COLUMNS + c];                                                                          \
        sum += x[0] * b[c][0];                                                                                         \
        sum += x[1] * b[c][1];                                                                                         \
        sum += x[2] * b[c][2];                                                                                         \
        sum += x[3] * b[c][3];                                                                                         \
        acc[(row) * COLUMNS + c] = sum;                                                                                \
    }
// subgroupBroadcast wants a constant.
#define ADD_ROW(source)                                                                                                \
    {                                                                                                                  \
        vec4 x = subgroupBroadcast(a[g], source);                                                                      \
        ADD_PRODUCTS(g * LANES + source, x)                                                                            \
    }

#ifdef TEXELS
#define UNROLL_STORES [[dont_unroll]]
#else
#define UNROLL_STORES [[unroll]]
#endif

void gemm(uint tile_m, uint tile_n, uint k_begin, uint k_end) {
    uint lane = gl_SubgroupInvocationID;
    uint m0 = tile_m * gemm_tile_m() + (SUBGROUPS > 1 ? gl_SubgroupID * ROWS : 0);
    uint n0 = tile_n * gemm_tile_n() + (NARROW ? 0 : lane * COLUMNS);
    uint m_last = gemm_m() - 1, n_last = gemm_n() - 1;
    Row rows[GROUPS];
    uint at_column[COLUMNS];
    float acc[SUMS];
    [[unroll]] for (uint g = 0; g < GROUPS; g++)
        rows[g] = row_state(min(m0 + row_in_tile(g, lane), A_READ == ALONG_SIDE ? m_last - 3 : m_last));
    [[unroll]] for (uint c = 0; c < COLUMNS; c++)
        at_column[c] = b_at_column(min(n0 + c, B_READ == ALONG_SIDE ? n_last - 3 : n_last));
    [[unroll]] for (uint i = 0; i < SUMS; i++)
        acc[i] = 0.0;
    // Of B, if they are kept: of 256 k, and of all before. One sum of a million would lose its last digits.
    float column_sums[COLUMNS], earlier[COLUMNS];
    [[unroll]] for (uint c = 0; c < COLUMNS; c++)
        column_sums[c] = earlier[c] = 0.0;

    Tap tap = tap_state(k_begin);
    [[dont_unroll]] for (uint k = k_begin; k < k_end; k += 4) {
        vec4 a[GROUPS];  // [group][k]
        vec4 b[COLUMNS]; // [column][k]
        [[unroll]] for (uint j = 0; j < 4; j++) {
            bool first = j == 0, inside = QUADS || k + j < k_end; // past the end A is 0 and the tap stays
            [[unroll]] for (uint g = 0; g < GROUPS; g++) {
                if (A_READ == ALONG_K && first)
                    a[g] = a_fetch(rows[g], tap);
                if (A_READ == SINGLE)
                    a[g][j] = inside ? a_fetch(rows[g], tap).x : 0.0;
                if (A_READ == ALONG_SIDE && g % 4 == 0) {
                    vec4 four = a_fetch(rows[g], tap);
                    [[unroll]] for (uint e = 0; e < 4; e++)
                        a[g + e][j] = inside ? four[e] : 0.0;
                }
            }
            uint at_tap = b_at_tap(tap) + (QUADS ? j * b_step() : 0);
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
                if (B_READ == ALONG_K && first)
                    b[c] = b_read(at_tap + at_column[c]);
                if (B_READ == SINGLE)
                    b[c][j] = b_read(at_tap + at_column[c]).x;
                if (B_READ == ALONG_SIDE && c % 4 == 0) {
                    vec4 four = b_read(at_tap + at_column[c]);
                    [[unroll]] for (uint e = 0; e < 4; e++)
                        b[c + e][j] = four[e];
                }
            }
            if (!QUADS && k + j + 1 < k_end)
                advance(tap, 1);
        }
        if (QUADS)
            advance(tap, 4);
        if (KEEP == KEEP_COLUMN_SUMS)
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
                vec4 inside = mix(vec4(0.0), b[c], lessThan(uvec4(k, k + 1, k + 2, k + 3), uvec4(k_end)));
                column_sums[c] += (inside[0] + inside[1]) + (inside[2] + inside[3]);
                if ((k - k_begin) % 256 == 252) {
                    earlier[c] += column_sums[c];
                    column_sums[c] = 0.0;
                }
            }
        [[unroll]] for (uint g = 0; g < GROUPS; g++) {
            if (NARROW) {
                ADD_PRODUCTS(g, a[g])
            } else {
                ADD_ROW(0) ADD_ROW(1) ADD_ROW(2) ADD_ROW(3)
                if (LANES > 4) {
                    ADD_ROW(4) ADD_ROW(5) ADD_ROW(6) ADD_ROW(7)
                }
                if (LANES > 8) {
                    ADD_ROW(8) ADD_ROW(9) ADD_ROW(10) ADD_ROW(11) ADD_ROW(12) ADD_ROW(13) ADD_ROW(14) ADD_ROW(15)
                }
            }
        }
    }
    if (KEEP == KEEP_COLUMN_SUMS && m0 == 0 && (!NARROW || lane == 0))
        [[unroll]] for (uint c = 0; c < COLUMNS; c++)
            if (n0 + c <= n_last)
                kept_put_one(gl_WorkGroupID.z * gemm_n() + n0 + c, earlier[c] + column_sums[c]);
    // Each lane finds where its rows go: a division is slow, and the loop below would do one for every store.
    uint c_rows[GROUPS];
    [[unroll]] for (uint g = 0; g < GROUPS; g++)
        c_rows[g] = c_row(min(m0 + row_in_tile(g, lane), m_last));
    // On a CPU a loop that stays one: unrolled, the stores would be most of the kernel's code and of its compile time. But
    // no GPU has registers that a loop could index.
    UNROLL_STORES for (uint i = 0; i < SUMS; i += STORE_QUADS ? 4 : 1) {
        uint row = i / COLUMNS, n = n0 + i % COLUMNS;
        uint g = NARROW ? row : row / LANES, source = NARROW ? lane : row % LANES;
        uint at = (NARROW ? c_rows[g] : subgroupShuffle(c_rows[g], source)) + n;
        if (m0 + row_in_tile(g, source) <= m_last && n <= n_last) {
            if (STORE_QUADS)
                store_quad(at, n, vec4(acc[i], acc[i + 1], acc[i + 2], acc[i + 3]));
            else
                store_one(at, n, acc[i]);
        }
    }
}
