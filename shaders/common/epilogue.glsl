// What a product or a norm does with each value before it is stored. The including kernel calls store_quad() or
// store_one():
//
//   v = value + bias[column];   v = step 1 (v, x1[at]);   v = step 2 (v, x2[at]);   result[at] = v
//
// A step is v = act(v), v = v act'(x), v = v + x, v = factor (act(v) - x) or v = v x[0]; KEEP also stores the value before
// one of the steps, for the backward pass. With STORE_QUADS the rows of the result are whole vec4s, and four neighbours are stored at a time.
// Operands are texel buffers where the kernel's are (common/gemm.glsl).
#include "common/activation.glsl"
#include "common/tensor.glsl"

// As Step::Kind in vkvae/graph.hpp. A residual's function stands above its kind, as the factor has the function's place.
const uint STEP_ACTIVATION = 1, STEP_ACTIVATION_GRADIENT = 2, STEP_ADD = 3, STEP_RESIDUAL = 4, STEP_SCALE = 5;
layout(constant_id = 8) const uint STEP_1 = 0;
layout(constant_id = 9) const uint FUNCTION_1 = 0;
layout(constant_id = 10) const uint STEP_2 = 0;
layout(constant_id = 11) const uint FUNCTION_2 = 0;
layout(constant_id = 12) const uint KEEP = 0; // 1, 2: the value before step 1, 2
const uint KEEP_COLUMN_SUMS = 3;              // of B, for a bias: the drivers' own matter, (slices, n)
layout(constant_id = 13) const bool STORE_QUADS = false;

const uint TYPE_RESULT = TYPES >> 4 & 3u, TYPE_KEPT = TYPES >> 10 & 3u;
const uint TYPE_X1 = TYPES >> 6 & 3u, TYPE_X2 = TYPES >> 8 & 3u;
WRITABLE(3, result, TYPE_RESULT)
READABLE(4, x1, TYPE_X1)
READABLE(5, x2, TYPE_X2)
WRITABLE(6, kept, TYPE_KEPT)
#ifdef WITHOUT_BIAS // binding 2 is the kernel's own
const bool HAS_BIAS = false;
float bias_one(uint column) { return 0.0; }
vec4 bias_quad(uint column) { return vec4(0.0); }
#else
layout(constant_id = 7) const bool HAS_BIAS = false;
READABLE(2, bias, F32)
#endif

// x is the activation's input or output, whichever its derivative is computed from.
float apply_step(uint kind, uint function, float v, float x) {
    if (kind == STEP_ACTIVATION)
        return activate(function, v);
    if (kind == STEP_ACTIVATION_GRADIENT)
        return v * activate_derivative(function, x, x);
    if (kind == STEP_SCALE)
        return v * x;
    if ((kind & 0xffu) == STEP_RESIDUAL)
        return uintBitsToFloat(function) * (activate(kind >> 8, v) - x);
    return v + x;
}
vec4 apply_step(uint kind, uint function, vec4 v, vec4 x) {
    return vec4(apply_step(kind, function, v.x, x.x), apply_step(kind, function, v.y, x.y),
                apply_step(kind, function, v.z, x.z), apply_step(kind, function, v.w, x.w));
}

#define OPERAND_QUAD(i, at)                                                                                            \
    (STEP_##i == STEP_ACTIVATION ? vec4(0.0) : STEP_##i == STEP_SCALE ? vec4(x##i##_one(0)) : x##i##_quad(at))
#define OPERAND_ONE(i, at) (STEP_##i == STEP_ACTIVATION ? 0.0 : x##i##_one(STEP_##i == STEP_SCALE ? 0 : at))

// Four neighbours from `at`, a multiple of 4; with STORE_QUADS.
void store_quad(uint at, uint column, vec4 v) {
    if (HAS_BIAS)
        v += bias_quad(column);
    if (KEEP == 1)
        kept_put_quad(at, v);
    if (STEP_1 != 0)
        v = apply_step(STEP_1, FUNCTION_1, v, OPERAND_QUAD(1, at));
    if (KEEP == 2)
        kept_put_quad(at, v);
    if (STEP_2 != 0)
        v = apply_step(STEP_2, FUNCTION_2, v, OPERAND_QUAD(2, at));
    result_put_quad(at, v);
}

// One value; without STORE_QUADS. Not the quad with three idle components: not every compiler drops those, and
// SwiftShader's took twice as long with them.
void store_one(uint at, uint column, float v) {
    if (HAS_BIAS)
        v += bias_one(column);
    if (KEEP == 1)
        kept_put_one(at, v);
    if (STEP_1 != 0)
        v = apply_step(STEP_1, FUNCTION_1, v, OPERAND_ONE(1, at));
    if (KEEP == 2)
        kept_put_one(at, v);
    if (STEP_2 != 0)
        v = apply_step(STEP_2, FUNCTION_2, v, OPERAND_ONE(2, at));
    result_put_one(at, v);
}
