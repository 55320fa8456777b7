// What a product or a norm does with each value before it is stored. The including kernel calls store_quad() or
// store_one():
//
//   v = value + bias[column];   v = step 1 (v, x1[at]);   v = step 2 (v, x2[at]);   result[at] = v
//
// A step is v = act(v), v = v act'(x) or v = v + x; KEEP also stores the value before one of the steps, for the backward
// pass. With STORE_QUADS the rows of the result are whole vec4s, and four neighbours are stored at a time.
// Operands are texel buffers where the kernel's are (common/gemm.glsl).
#include "common/activation.glsl"

const uint STEP_ACTIVATION = 1, STEP_ACTIVATION_GRADIENT = 2, STEP_ADD = 3; // as Step::Kind in vkvae/graph.hpp
layout(constant_id = 8) const uint STEP_1 = 0;
layout(constant_id = 9) const uint FUNCTION_1 = 0;
layout(constant_id = 10) const uint STEP_2 = 0;
layout(constant_id = 11) const uint FUNCTION_2 = 0;
layout(constant_id = 12) const uint KEEP = 0; // 1, 2: the value before step 1, 2
const uint KEEP_COLUMN_SUMS = 3;              // of B, for a bias: the drivers' own matter, (slices, n)
layout(constant_id = 13) const bool STORE_QUADS = false;

layout(set = 0, binding = 3) writeonly restrict buffer Result { float result[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Result4 { vec4 result_vectors[]; };
layout(set = 0, binding = 6) writeonly restrict buffer Kept { float kept[]; };
layout(set = 0, binding = 6) writeonly restrict buffer Kept4 { vec4 kept_vectors[]; };
#if defined(SUBGROUP) || defined(TEXELS)
layout(set = 0, binding = 4) uniform samplerBuffer x1_texels;
layout(set = 0, binding = 5) uniform samplerBuffer x2_texels;
vec4 x1_at(uint at) { return texelFetch(x1_texels, int(STORE_QUADS ? at / 4 : at)); }
vec4 x2_at(uint at) { return texelFetch(x2_texels, int(STORE_QUADS ? at / 4 : at)); }
#else
layout(set = 0, binding = 4) readonly restrict buffer X1 { float x1[]; };
layout(set = 0, binding = 4) readonly restrict buffer X14 { vec4 x1_vectors[]; };
layout(set = 0, binding = 5) readonly restrict buffer X2 { float x2[]; };
layout(set = 0, binding = 5) readonly restrict buffer X24 { vec4 x2_vectors[]; };
vec4 x1_at(uint at) { return STORE_QUADS ? x1_vectors[at / 4] : vec4(x1[at]); }
vec4 x2_at(uint at) { return STORE_QUADS ? x2_vectors[at / 4] : vec4(x2[at]); }
#endif

#ifdef WITHOUT_BIAS // binding 2 is the kernel's own
const bool HAS_BIAS = false;
vec4 bias_at(uint column) { return vec4(0.0); }
#else
layout(constant_id = 7) const bool HAS_BIAS = false;
#ifdef SUBGROUP
layout(set = 0, binding = 2) uniform samplerBuffer bias_texels;
vec4 bias_at(uint column) { return texelFetch(bias_texels, int(STORE_QUADS ? column / 4 : column)); }
#else
layout(set = 0, binding = 2) readonly restrict buffer Bias { float bias[]; };
layout(set = 0, binding = 2) readonly restrict buffer Bias4 { vec4 bias_vectors[]; };
vec4 bias_at(uint column) { return STORE_QUADS ? bias_vectors[column / 4] : vec4(bias[column]); }
#endif
#endif

// x is the activation's input or output, whichever its derivative is computed from.
float apply_step(uint kind, uint function, float v, float x) {
    if (kind == STEP_ACTIVATION)
        return activate(function, v);
    if (kind == STEP_ACTIVATION_GRADIENT)
        return v * activate_derivative(function, x, x);
    return v + x;
}
vec4 apply_step(uint kind, uint function, vec4 v, vec4 x) {
    return vec4(apply_step(kind, function, v.x, x.x), apply_step(kind, function, v.y, x.y),
                apply_step(kind, function, v.z, x.z), apply_step(kind, function, v.w, x.w));
}

// Four neighbours from `at`, a multiple of 4; with STORE_QUADS.
void store_quad(uint at, uint column, vec4 v) {
    if (HAS_BIAS)
        v += bias_at(column);
    if (KEEP == 1)
        kept_vectors[at / 4] = v;
    if (STEP_1 != 0)
        v = apply_step(STEP_1, FUNCTION_1, v, STEP_1 == STEP_ACTIVATION ? vec4(0.0) : x1_at(at));
    if (KEEP == 2)
        kept_vectors[at / 4] = v;
    if (STEP_2 != 0)
        v = apply_step(STEP_2, FUNCTION_2, v, STEP_2 == STEP_ACTIVATION ? vec4(0.0) : x2_at(at));
    result_vectors[at / 4] = v;
}

// One value; without STORE_QUADS. Not the quad with three idle components: not every compiler drops those, and
// SwiftShader's took twice as long with them.
void store_one(uint at, uint column, float v) {
    if (HAS_BIAS)
        v += bias_at(column).x;
    if (KEEP == 1)
        kept[at] = v;
    if (STEP_1 != 0)
        v = apply_step(STEP_1, FUNCTION_1, v, STEP_1 == STEP_ACTIVATION ? 0.0 : x1_at(at).x);
    if (KEEP == 2)
        kept[at] = v;
    if (STEP_2 != 0)
        v = apply_step(STEP_2, FUNCTION_2, v, STEP_2 == STEP_ACTIVATION ? 0.0 : x2_at(at).x);
    result[at] = v;
}
