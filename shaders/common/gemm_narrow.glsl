// The driver of common/gemm.glsl for GPUs and products of few columns: pictures, which have three. Nothing that an item
// reads of A is of use to its neighbours then, so nothing of it goes through shared memory. A work item has ROWS rows with
// all their columns, and shares them with a TEAM: each mate takes every TEAM-th four of k, so that together they read
// neighbours in memory, and their sums meet in shared memory at the end. Never timed.

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint ITEMS = 128;
layout(constant_id = 1) const uint ROWS = 4;    // of a work item, a multiple of 4 if four of A are read along m
layout(constant_id = 2) const uint COLUMNS = 4; // of C, a multiple of 4 if four of B are read along n
layout(constant_id = 3) const uint A_READ = 0;  // 0: one float at a time, else in vec4s
layout(constant_id = 4) const uint B_READ = 0;
layout(constant_id = 15) const uint TEAM = 4;   // at least COLUMNS; 5 and 6 are the kernel's, 7 to 14 the epilogue's
const uint TEAMS = ITEMS / TEAM;
const bool A_FOURS_ALONG_M = A_READ != 0 && A_ALONG_M;
const bool QUADS = A_READ != 0 && !A_ALONG_M; // four k are one step of the tap

// Sums of one row of each team, twice, so that one barrier a row is enough. A stride that is not a power of two, as a team
// would meet in one bank.
const uint STRIDE = TEAMS + 4, SUMS_OF_ROW = COLUMNS * TEAM * STRIDE;
shared float shared_sums[2 * SUMS_OF_ROW];

uint gemm_tile_m() { return TEAMS * ROWS; }
uint gemm_tile_n() { return COLUMNS; }
uint row_in_tile(uint row, uint team) {
    return A_FOURS_ALONG_M ? (row / 4 * TEAMS + team) * 4 + row % 4 : row * TEAMS + team;
}

float sum_of_team(uint parity, uint column, uint team) {
    float sum = 0.0;
    [[unroll]] for (uint mate = 0; mate < TEAM; mate++)
        sum += shared_sums[parity * SUMS_OF_ROW + (column * TEAM + mate) * STRIDE + team];
    return sum;
}

void gemm(uint tile_m, uint tile_n, uint k_begin, uint k_end) {
    uint item = gl_LocalInvocationID.x; // neighbours are of one team, or of all where those read neighbours
    uint team = A_ALONG_M ? item % TEAMS : item / TEAM, mate = A_ALONG_M ? item / TEAMS : item % TEAM;
    uint m0 = tile_m * gemm_tile_m(), n0 = tile_n * COLUMNS, m_last = gemm_m() - 1, n_last = gemm_n() - 1;
    Row rows[ROWS];
    uint at_column[COLUMNS];
    float acc[ROWS * COLUMNS], column_sums[COLUMNS]; // these of B, if they are kept
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        rows[r] = row_state(min(m0 + row_in_tile(r, team), A_FOURS_ALONG_M ? m_last - 3 : m_last));
    [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
        at_column[c] = b_at_column(min(n0 + c, !B_ALONG_K && B_READ != 0 ? n_last - 3 : n_last));
        column_sums[c] = 0.0;
    }
    [[unroll]] for (uint i = 0; i < ROWS * COLUMNS; i++)
        acc[i] = 0.0;

    Tap mine = tap_state(k_begin + 4 * mate);
    [[dont_unroll]] for (uint k = k_begin + 4 * mate; k < k_end; k += 4 * TEAM) {
        Tap tap = mine;
        vec4 a[ROWS];    // [row][k]
        vec4 b[COLUMNS]; // [column][k]
        [[unroll]] for (uint j = 0; j < 4; j++) {
            bool inside = QUADS || k + j < k_end; // past the end both are 0
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                if (A_READ != 0 && (A_ALONG_M ? r % 4 != 0 : j != 0))
                    continue; // read already
                int at = inside ? a_at(rows[r], tap) : -1;
                uint from = uint(max(at, 0));
                if (A_READ == 0) {
                    float x = a_one(from);
                    a[r][j] = at < 0 ? 0.0 : x;
                } else {
                    vec4 four = a_quad(from);
                    four = at < 0 ? vec4(0.0) : four;
                    if (!A_ALONG_M)
                        a[r] = four;
                    else
                        [[unroll]] for (uint e = 0; e < 4; e++)
                            a[r + e][j] = four[e];
                }
            }
            uint at_tap = b_at_tap(tap) + (QUADS ? j * b_step() : 0);
            [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
                uint at = inside ? at_tap + at_column[c] : 0;
                if (B_READ == 0) {
                    float x = b_one(at);
                    b[c][j] = inside ? x : 0.0;
                } else if (B_ALONG_K) {
                    if (j == 0)
                        b[c] = b_quad(at);
                } else if (c % 4 == 0) {
                    vec4 four = b_quad(at);
                    four = inside ? four : vec4(0.0);
                    [[unroll]] for (uint e = 0; e < 4; e++)
                        b[c + e][j] = four[e];
                }
            }
            if (!QUADS)
                advance(tap, 1);
        }
        [[unroll]] for (uint i = 0; i < ROWS * COLUMNS; i++)
            [[unroll]] for (uint j = 0; j < 4; j++)
                acc[i] += a[i / COLUMNS][j] * b[i % COLUMNS][j];
        if (KEEP == KEEP_COLUMN_SUMS)
            [[unroll]] for (uint c = 0; c < COLUMNS; c++)
                column_sums[c] += (b[c][0] + b[c][1]) + (b[c][2] + b[c][3]);
        skip(mine, 4 * TEAM);
    }

    // Row after row of each team: written by the mates, added and stored by the first items, at most one sum by each. (A
    // loop in here would keep Mesa's compilers from unrolling the one around it, and acc in memory.)
    const uint WIDTH = STORE_QUADS ? 4 : 1, ACROSS = COLUMNS / WIDTH;
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        [[unroll]] for (uint c = 0; c < COLUMNS; c++)
            shared_sums[r % 2 * SUMS_OF_ROW + (c * TEAM + mate) * STRIDE + team] = acc[r * COLUMNS + c];
        barrier();
        uint from = item / ACROSS, c = item % ACROSS * WIDTH, m = m0 + row_in_tile(r, from), n = n0 + c;
        bool stores = from < TEAMS && m <= m_last && n <= n_last;
        if (stores && STORE_QUADS) {
            vec4 four;
            [[unroll]] for (uint e = 0; e < 4; e++)
                four[e] = sum_of_team(r % 2, c + e, from);
            store_quad(c_row(m) + n, n, four);
        } else if (stores) {
            store_one(c_row(m) + n, n, sum_of_team(r % 2, c, from));
        }
    }
    if (KEEP != KEEP_COLUMN_SUMS || tile_m != 0)
        return;
    [[unroll]] for (uint c = 0; c < COLUMNS; c++)
        shared_sums[ROWS % 2 * SUMS_OF_ROW + (c * TEAM + mate) * STRIDE + team] = column_sums[c];
    barrier();
    if (item < COLUMNS && n0 + item <= n_last) // every team has them
        kept_put_one(gl_WorkGroupID.z * gemm_n() + n0 + item, sum_of_team(ROWS % 2, item, 0));
}
