// Matrix product with optional transposes, bias and activation: C = act(op(A) op(B) + bias).
//
//   op(A) is (M, K): A stored (M, K), or (K, M) with TRANS_A;  op(B) is (K, N): stored (K, N), or (N, K) with TRANS_B
//   bias (N);  C (slices, M, N): with more than one slice of k each holds a partial sum, without bias and activation
//
// variants: matmul_subgroup -DSUBGROUP | matmul_tile
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_ballot : require
#endif

layout(constant_id = 5) const bool TRANS_A = false;
layout(constant_id = 6) const bool TRANS_B = false;
layout(constant_id = 7) const bool HAS_BIAS = false;
layout(constant_id = 8) const uint ACTIVATION = 0;

layout(push_constant) uniform Push {
    uint m, n, k, k_chunk;
};
#ifdef SUBGROUP
layout(set = 0, binding = 0) uniform samplerBuffer a_texels;
layout(set = 0, binding = 1) uniform samplerBuffer b_texels;
#else
layout(set = 0, binding = 0) readonly restrict buffer A { float a_data[]; };
layout(set = 0, binding = 1) readonly restrict buffer B { float b_data[]; };
#endif
layout(set = 0, binding = 2) readonly restrict buffer Bias { float bias[]; };
layout(set = 0, binding = 3) writeonly restrict buffer C { float c_data[]; };

#include "common/activation.glsl"

#define Row uint
#define Tap uint

uint gemm_m() { return m; }
uint gemm_n() { return n; }
uint gemm_k() { return k; }
Row row_state(uint row) { return TRANS_A ? row : row * k; }
Tap tap_state(uint tap) { return tap; }
void advance(inout Tap tap, uint by) { tap += by; }
int a_at(Row row, Tap tap) { return int(TRANS_A ? tap * m + row : row + tap); }
uint b_at_tap(Tap tap) { return TRANS_B ? tap : tap * n; }
uint b_at_column(uint column) { return TRANS_B ? column * k : column; }
uint b_step() { return TRANS_B ? 1 : n; }
void store_c(uint row, uint column, float value) {
    if (HAS_BIAS)
        value += bias[column];
    c_data[(gl_WorkGroupID.z * m + row) * n + column] = activate(ACTIVATION, value);
}

#define A_ALONG_M TRANS_A
#define B_ALONG_K TRANS_B
#include "common/gemm.glsl"

void main() { gemm_main(gl_WorkGroupID.z, k_chunk); }
