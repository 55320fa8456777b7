// How the work items of a tile read its panels of A and B, TILE_K of k at a time; common/gemm_tile.glsl and
// common/gemm_coopmat.glsl say what ITEMS, TILE_M, TILE_N, TILE_K, A_READ and B_READ are. They read four neighbours in
// memory at a time, as one load where A_READ or B_READ is not 0. An item reads the same rows of A and columns of B in every
// round, and its taps advance: no division in the loop.
//
// A four is f32, or f16 with HALVES. ADD_TO_COLUMN_SUMS, if it is defined, is done with every four of B, in f32.

// A panel is lines in memory of so many fours. The items read STEP lines at once, the next ones in the next of LOADS, of
// which there are at most 4.
const uint A_FOURS = (A_ALONG_M ? TILE_M : TILE_K) / 4, A_LINES = A_ALONG_M ? TILE_K : TILE_M;
const uint B_FOURS = (B_ALONG_K ? TILE_K : TILE_N) / 4, B_LINES = B_ALONG_K ? TILE_N : TILE_K;
const uint A_STEP = ITEMS / A_FOURS, A_LOADS = (A_LINES + A_STEP - 1) / A_STEP;
const uint B_STEP = ITEMS / B_FOURS, B_LOADS = (B_LINES + B_STEP - 1) / B_STEP;

#ifdef HALVES
#define Four uvec2
Four four_of(vec4 v) { return narrow(v, F16); }
Four a_four_at(uint at) { return TYPE_A == F16 ? a_bits(at) : four_of(a_quad(at)); }
#else
#define Four vec4
Four four_of(vec4 v) { return v; }
Four a_four_at(uint at) { return a_quad(at); }
#endif
#ifndef ADD_TO_COLUMN_SUMS
#define ADD_TO_COLUMN_SUMS(four)
#endif

// Of this work item: where in the panels its first four begins, what it reads, and what it has read.
uint a_m, a_k, b_n, b_k;
Row rows[4];
uint columns[4];
Tap a_tap, b_tap;
Four a_four[4], b_four[4]; // LOADS of them

void begin_panels(uint m0, uint n0, uint k0) {
    uint item = gl_LocalInvocationID.x, m_last = gemm_m() - 1, n_last = gemm_n() - 1;
    a_m = A_ALONG_M ? item % A_FOURS * 4 : item / A_FOURS;
    a_k = A_ALONG_M ? item / A_FOURS : item % A_FOURS * 4;
    b_n = B_ALONG_K ? item / B_FOURS : item % B_FOURS * 4;
    b_k = B_ALONG_K ? item % B_FOURS * 4 : item / B_FOURS;
    [[unroll]] for (uint i = 0; i < (A_ALONG_M ? 4 : A_LOADS); i++)
        rows[i] = row_state(min(m0 + a_m + i * (A_ALONG_M ? 1 : A_STEP), m_last));
    [[unroll]] for (uint i = 0; i < (B_ALONG_K ? B_LOADS : 4); i++)
        columns[i] = b_at_column(min(n0 + b_n + i * (B_ALONG_K ? B_STEP : 1), n_last));
    a_tap = tap_state(k0 + a_k);
    b_tap = tap_state(k0 + b_k);
}

// Past the end of k both are 0: 0 of A alone would meet whatever is in B, which may be infinite.
float a_float(Row row, Tap tap, bool inside) {
    int at = inside ? a_at(row, tap) : -1;
    float x = a_one(uint(max(at, 0)));
    return at < 0 ? 0.0 : x;
}
Four a_vector(Row row, Tap tap, bool inside) {
    int at = inside ? a_at(row, tap) : -1;
    Four x = a_four_at(uint(max(at, 0)));
    return at < 0 ? Four(0) : x;
}
float b_float(uint at, bool inside) {
    float x = b_one(inside ? at : 0);
    return inside ? x : 0.0;
}
Four b_vector(uint at, bool inside) {
#ifdef HALVES
    if (TYPE_B == F16) { // as it is
        uvec2 bits = b_bits(inside ? at : 0);
        bits = inside ? bits : uvec2(0);
        ADD_TO_COLUMN_SUMS(widen(bits, F16))
        return bits;
    }
#endif
    vec4 x = b_quad(inside ? at : 0);
    x = inside ? x : vec4(0.0);
    ADD_TO_COLUMN_SUMS(x)
    return four_of(x);
}

// Load j of the panels from k0 on, into registers.
void read_a(uint j, uint k0, uint k_end) {
    if (j >= A_LOADS)
        return;
    uint k = k0 + a_k + (A_ALONG_M ? j * A_STEP : 0);
    if (A_READ != 0) {
        a_four[j] = a_vector(rows[A_ALONG_M ? 0 : j], a_tap, k < k_end);
    } else {
        Tap tap = a_tap;
        vec4 four;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            four[e] = a_float(rows[A_ALONG_M ? e : j], tap, k + (A_ALONG_M ? 0 : e) < k_end);
            if (!A_ALONG_M)
                advance(tap, 1);
        }
        a_four[j] = four_of(four);
    }
    if (A_ALONG_M || j == A_LOADS - 1)
        skip(a_tap, A_ALONG_M && A_STEP < TILE_K ? A_STEP : TILE_K);
}
void read_b(uint j, uint k0, uint k_end) {
    if (j >= B_LOADS)
        return;
    uint k = k0 + b_k + (B_ALONG_K ? 0 : j * B_STEP);
    if (B_READ != 0) {
        b_four[j] = b_vector(b_at_tap(b_tap) + columns[B_ALONG_K ? j : 0], k < k_end);
    } else {
        Tap tap = b_tap;
        vec4 four;
        [[unroll]] for (uint e = 0; e < 4; e++) {
            four[e] = b_float(b_at_tap(tap) + columns[B_ALONG_K ? j : e], k + (B_ALONG_K ? e : 0) < k_end);
            if (B_ALONG_K)
                advance(tap, 1);
        }
        ADD_TO_COLUMN_SUMS(four)
        b_four[j] = four_of(four);
    }
    if (!B_ALONG_K || j == B_LOADS - 1)
        skip(b_tap, !B_ALONG_K && B_STEP < TILE_K ? B_STEP : TILE_K);
}
// No loop, as Mesa's compilers unroll none with another inside, like skip()'s, and then keep what it indexes in memory.
void read_panels(uint k0, uint k_end) {
    read_a(0, k0, k_end);
    read_a(1, k0, k_end);
    read_a(2, k0, k_end);
    read_a(3, k0, k_end);
    read_b(0, k0, k_end);
    read_b(1, k0, k_end);
    read_b(2, k0, k_end);
    read_b(3, k0, k_end);
}
