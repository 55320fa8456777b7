// Tensors of any float type: f32, f16 or bf16, DType's first three in vkvae/graph.hpp. Which one is said by the
// specialization constant TYPES, two bits for each of a kernel's tensors.
//
// Numbers of 16 bits lie in memory in words of 32, are widened when they are loaded and narrowed when they are stored, and
// are f32 in between: no device has to have a feature for that. What is stored in 16 bits has rows of whole fours, so that
// nobody stores half a word.
//
//   READABLE(binding, x, type)     float x_one(at), vec4 x_quad(at) with `at` a multiple of 4; of what is 16 bits also
//                                  uvec2 x_bits(at), a quad as it is in memory
//   WRITABLE(binding, y, type)     y_put_one(at, v) for f32 only, y_put_quad(at, v)
//
// With TEXELS what is read are texel buffers (what they are good for: common/gemm_subgroup.glsl), where the format of the
// view does the widening: a view of single numbers for x_one, of fours for x_quad. No format is bf16, so with BITS, for
// plans of bf16, the views hand out bits.

const uint F32 = 0, F16 = 1, BF16 = 2;

#ifndef TYPES_ID
#define TYPES_ID 14
#endif
layout(constant_id = TYPES_ID) const uint TYPES = 0;
const uint TYPE_A = TYPES & 3u, TYPE_B = TYPES >> 2 & 3u; // what a product multiplies, or the pictures that a norm reads

// Both to nearest, ties to even, as the host does (io/float16.cpp). Not by packHalf2x16: how that rounds, and what becomes
// of what is too large or very small, is left to the driver, but training wants to see an infinity.
uvec4 round_to_f16(vec4 x) {
    uvec4 magnitude = floatBitsToUint(x) & 0x7fffffffu, sign = floatBitsToUint(x) >> 16 & 0x8000u;
    uvec4 rebased = magnitude - (112u << 23); // the exponent's bias of 127 becomes 15
    uvec4 result = rebased + 0xfffu + (rebased >> 13 & 1u) >> 13;
    precise vec4 shifted = uintBitsToFloat(magnitude) + 0.5; // below 2^-14: a multiple of 2^-24
    uvec4 large = mix(uvec4(0x7c00u), uvec4(0x7e00u), greaterThan(magnitude, uvec4(0x7f800000u)));
    result = mix(result, floatBitsToUint(shifted) - 0x3f000000u, lessThan(magnitude, uvec4(0x38800000u)));
    return sign | mix(result, large, greaterThanEqual(magnitude, uvec4(0x477ff000u)));
}
uint round_to_bf16(float x) {
    uint bits = floatBitsToUint(x);
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u; // which rounding could carry into an infinity
    return nan ? bits >> 16 | 0x40u : bits + 0x7fffu + (bits >> 16 & 1u) >> 16;
}
vec4 widen(uvec2 pairs, uint type) {
    if (type == F16)
        return vec4(unpackHalf2x16(pairs.x), unpackHalf2x16(pairs.y));
    return uintBitsToFloat(uvec4(pairs.x << 16, pairs.x & 0xffff0000u, pairs.y << 16, pairs.y & 0xffff0000u));
}
float widen_one(uint pair, uint which, uint type) {
    uint bits = pair >> 16 * which & 0xffffu;
    return type == F16 ? unpackHalf2x16(bits).x : uintBitsToFloat(bits << 16);
}
uvec2 narrow(vec4 v, uint type) {
    if (type == F16) {
        uvec4 bits = round_to_f16(v);
        return uvec2(bits.x | bits.y << 16, bits.z | bits.w << 16);
    }
    return uvec2(round_to_bf16(v.x) | round_to_bf16(v.y) << 16, round_to_bf16(v.z) | round_to_bf16(v.w) << 16);
}

#if defined(TEXELS) && defined(BITS)
#define READABLE(slot, name, type)                                                                                     \
    layout(set = 0, binding = slot) uniform usamplerBuffer name##_texels;                                              \
    vec4 name##_texel(uint at) {                                                                                       \
        uvec4 bits = texelFetch(name##_texels, int(at));                                                               \
        return uintBitsToFloat(type == F32 ? bits : bits << 16);                                                       \
    }                                                                                                                  \
    float name##_one(uint at) { return name##_texel(at).x; }                                                           \
    vec4 name##_quad(uint at) { return name##_texel(at / 4); }
#elif defined(TEXELS)
#define READABLE(slot, name, type)                                                                                     \
    layout(set = 0, binding = slot) uniform samplerBuffer name##_texels;                                               \
    vec4 name##_texel(uint at) { return texelFetch(name##_texels, int(at)); }                                          \
    float name##_one(uint at) { return name##_texel(at).x; }                                                           \
    vec4 name##_quad(uint at) { return name##_texel(at / 4); }
#else
#define READABLE(slot, name, type)                                                                                     \
    layout(set = 0, binding = slot) readonly restrict buffer name##_as_floats { float name##_floats[]; };              \
    layout(set = 0, binding = slot) readonly restrict buffer name##_as_vectors { vec4 name##_vectors[]; };             \
    layout(set = 0, binding = slot) readonly restrict buffer name##_as_words { uint name##_words[]; };                 \
    layout(set = 0, binding = slot) readonly restrict buffer name##_as_pairs { uvec2 name##_pairs[]; };                \
    float name##_one(uint at) {                                                                                        \
        if (type == F32)                                                                                               \
            return name##_floats[at];                                                                                  \
        return widen_one(name##_words[at / 2], at % 2, type);                                                          \
    }                                                                                                                  \
    vec4 name##_quad(uint at) {                                                                                        \
        if (type == F32)                                                                                               \
            return name##_vectors[at / 4];                                                                             \
        return widen(name##_pairs[at / 4], type);                                                                      \
    }                                                                                                                  \
    uvec2 name##_bits(uint at) { return name##_pairs[at / 4]; }
#endif

#define WRITABLE(slot, name, type)                                                                                     \
    layout(set = 0, binding = slot) writeonly restrict buffer name##_as_floats { float name##_floats[]; };             \
    layout(set = 0, binding = slot) writeonly restrict buffer name##_as_vectors { vec4 name##_vectors[]; };            \
    layout(set = 0, binding = slot) writeonly restrict buffer name##_as_pairs { uvec2 name##_pairs[]; };               \
    void name##_put_one(uint at, float v) { name##_floats[at] = v; }                                                   \
    void name##_put_quad(uint at, vec4 v) {                                                                            \
        if (type == F32)                                                                                               \
            name##_vectors[at / 4] = v;                                                                                \
        else                                                                                                           \
            name##_pairs[at / 4] = narrow(v, type);                                                                    \
    }
