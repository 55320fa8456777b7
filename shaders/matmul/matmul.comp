// Matrix product with optional transposes and epilogue: C = epilogue(op(A) op(B)).
//
//   op(A) is (M, K): A stored (M, K), or (K, M) with TRANS_A;  op(B) is (K, N): stored (K, N), or (N, K) with TRANS_B
//   C (slices, M, N): with more than one slice of k each holds a partial sum, without an epilogue
//
// variants: matmul_subgroup -DSUBGROUP | matmul_subgroup_bits -DSUBGROUP -DBITS | matmul_shuffle -DSHUFFLE | matmul_narrow -DFEW_COLUMNS | matmul_plain -DPLAIN | matmul_coopmat -DCOOPMAT | matmul_tile
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#if defined(SUBGROUP) || defined(SHUFFLE)
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#ifdef SUBGROUP
#define TEXELS
#endif
#ifdef COOPMAT
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif

layout(constant_id = 5) const bool TRANS_A = false;
layout(constant_id = 6) const bool TRANS_B = false;

layout(push_constant) uniform Push {
    uint m, n, k, k_chunk;
};
#include "common/epilogue.glsl"
READABLE(0, a, TYPE_A)
READABLE(1, b, TYPE_B)

#define Row uint
#define Tap uint

uint gemm_m() { return m; }
uint gemm_n() { return n; }
uint gemm_k() { return k; }
Row row_state(uint row) { return TRANS_A ? row : row * k; }
Tap tap_state(uint tap) { return tap; }
void add_to_tap(inout Tap tap, uint by) { tap += by; }
bool tap_wraps(Tap tap) { return false; }
void wrap_tap(inout Tap tap) {}
int a_at(Row row, Tap tap) { return int(TRANS_A ? tap * m + row : row + tap); }
uint b_at_tap(Tap tap) { return TRANS_B ? tap : tap * n; }
uint b_at_column(uint column) { return TRANS_B ? column * k : column; }
uint b_step() { return TRANS_B ? 1 : n; }
uint c_row(uint row) { return (gl_WorkGroupID.z * m + row) * n; }

#define A_ALONG_M TRANS_A
#define B_ALONG_K TRANS_B
#include "common/gemm.glsl"

void main() { gemm_main(gl_WorkGroupID.z, k_chunk); }
