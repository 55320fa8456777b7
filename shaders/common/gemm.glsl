// One matrix product driver for matmul and all convolutions (implicit GEMM): C[M,N] = sum over k of A[M,K] B[K,N].
//
// The including kernel defines what the matrices are, as functions:
//   Row  row_state(uint m)            what a_at needs to know of row m, computed once
//   Tap  tap_state(uint k)            what a_at and b_at_tap need to know of k
//   void add_to_tap(inout Tap tap, uint by), bool tap_wraps(Tap tap), void wrap_tap(inout Tap tap)
//                                     k + by, without the divisions of tap_state: added to the index that runs first,
//                                     which may go past its end, and is wrapped into the next index until it does not
//   int  a_at(Row row, Tap tap)       where A[m,k] is in memory, -1 where it is 0 (outside the picture)
//   uint b_at_tap(Tap tap), uint b_at_column(uint n)    B[k,n] is at b_at_tap + b_at_column
//   uint b_step()                     from B[k,n] to B[k+1,n] inside four k that start at a multiple of 4
//   uint c_row(uint m)                C[m,n] goes to c_row + n; common/epilogue.glsl puts it there
// and the bounds gemm_m, gemm_n, gemm_k (the slice [k_begin, k_end) of this workgroup is given to gemm()).
// The functions get m and n clamped to the matrix. A tap may lie past the end of k; what they make of it is not used.
//
// The driver is common/gemm_subgroup.glsl with SUBGROUP or SHUFFLE, common/gemm_narrow.glsl with FEW_COLUMNS,
// common/gemm_plain.glsl with PLAIN, common/gemm_coopmat.glsl with COOPMAT, else common/gemm_tile.glsl.

#ifndef A_ALONG_M
#define A_ALONG_M false // true if neighbours in m are neighbours in memory, else those in k are
#endif
#ifndef B_ALONG_K
#define B_ALONG_K false // true if neighbours in k are neighbours in memory, else those in n are
#endif
void advance(inout Tap tap, uint by) { // by 1, or by 4 where they are whole quads: wraps once at most
    add_to_tap(tap, by);
    if (tap_wraps(tap))
        wrap_tap(tap);
}
void skip(inout Tap tap, uint by) {
    add_to_tap(tap, by);
    while (tap_wraps(tap))
        wrap_tap(tap);
}

#if defined(SUBGROUP) || defined(SHUFFLE)
#include "common/gemm_subgroup.glsl"
#elif defined(FEW_COLUMNS)
#include "common/gemm_narrow.glsl"
#elif defined(PLAIN)
#include "common/gemm_plain.glsl"
#elif defined(COOPMAT)
#include "common/gemm_coopmat.glsl"
#else
#include "common/gemm_tile.glsl"
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
