// Counter-based random numbers: Philox4x32-10, uniforms and normals; every function is stateless.
//   key     = (seed low, seed high)
//   counter = (element, sample, stream, step)         one uniform or one normal per counter
//   uniform = (word0 >> 8) 2^-24                                              in [0, 1)
//   normal  = sqrt(-2 log u1) cos(2 pi word1 / 2^32),  u1 = ((word0 >> 8) + 1) 2^-24 in (0, 1]
// The noise of a seed is the same bit for bit on every device and on the CPU (runtime/ops/philox.cpp says the same
// operations in the same order; change both or neither). log, sqrt and cos are therefore our own polynomials: the
// native ones differ in nearly every sample between drivers. Vulkan promises correct rounding only for + - *, and only
// `precise` forbids fusing and reordering those, so every intermediate below is a precise variable with one + or one *.
// No intermediate is subnormal (a device may flush those), and a zero result is always +0.
// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; Box and Muller 1958; polynomials from
// Cephes logf, sinf, cosf.
#ifndef VKVAE_COMMON_RANDOM_GLSL
#define VKVAE_COMMON_RANDOM_GLSL

// Streams keep the uses of one seed apart; the numbers are vkvae::Stream's.
const uint STREAM_INIT = 0u;
const uint STREAM_SHUFFLE = 1u;
const uint STREAM_AUGMENT = 2u;
const uint STREAM_REPARAM = 3u;
const uint STREAM_DROPOUT = 4u;
const uint STREAM_SAMPLE = 5u;
const uint STREAM_BINARIZE = 6u;
const uint STREAM_DATA = 7u;
const uint STREAM_CODEBOOK = 8u;

// Philox4x32 with 10 rounds: a bijection of the counter, chosen by the key.
uvec4 philox(uvec4 counter, uvec2 key) {
    for (int round_index = 0; round_index < 10; ++round_index) {
        uint high0, low0, high1, low1;
        umulExtended(0xD2511F53u, counter.x, high0, low0);
        umulExtended(0xCD9E8D57u, counter.z, high1, low1);
        counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// [0, 1), a multiple of 2^-24: every value is exact in f32.
float uniform01(uint word) {
    precise float u = float(word >> 8) * 5.9604644775390625e-8; // 2^-24
    return u;
}

// Natural logarithm of a normal positive x (Cephes logf).
float random_log(float x) {
    uint bits = floatBitsToUint(x);
    int exponent = int(bits >> 23) - 126;
    precise float m = uintBitsToFloat((bits & 0x007FFFFFu) | 0x3F000000u); // [0.5, 1)
    if (m < 0.70710678) {
        exponent -= 1;
        m = m + m;
    }
    precise float e = float(exponent);
    precise float f = m - 1.0; // [-0.293, 0.414]
    precise float z = f * f;
    precise float a0 = 7.0376836292e-2 * f;
    precise float b0 = a0 + -1.1514610310e-1;
    precise float a1 = b0 * f;
    precise float b1 = a1 + 1.1676998740e-1;
    precise float a2 = b1 * f;
    precise float b2 = a2 + -1.2420140846e-1;
    precise float a3 = b2 * f;
    precise float b3 = a3 + 1.4249322787e-1;
    precise float a4 = b3 * f;
    precise float b4 = a4 + -1.6668057665e-1;
    precise float a5 = b4 * f;
    precise float b5 = a5 + 2.0000714765e-1;
    precise float a6 = b5 * f;
    precise float b6 = a6 + -2.4999993993e-1;
    precise float a7 = b6 * f;
    precise float b7 = a7 + 3.3333331174e-1;
    precise float c0 = b7 * f;
    precise float c1 = c0 * z;
    precise float log2_low = e * -2.12194440e-4; // log 2 = 0.693359375 - 2.12194440e-4
    precise float c2 = c1 + log2_low;
    precise float half_z = 0.5 * z;
    precise float c3 = c2 - half_z;
    precise float c4 = f + c3;
    precise float log2_high = e * 0.693359375; // exact: nine bits times a small integer
    precise float result = c4 + log2_high;
    return result;
}

// Square root of a normal positive x, and 0 for x <= 0: four Newton steps for 1/sqrt(x) from the exponent's estimate.
float random_sqrt(float x) {
    if (x <= 0.0)
        return 0.0;
    precise float h = 0.5 * x;
    precise float y = uintBitsToFloat(0x5F375A86u - (floatBitsToUint(x) >> 1));
    for (int i = 0; i < 4; ++i) {
        precise float hy = h * y;
        precise float hyy = hy * y;
        precise float correction = 1.5 - hyy;
        y = y * correction;
    }
    precise float result = x * y;
    return result;
}

// cos(2 pi phase / 2^32). The quadrant and the reduction are integer arithmetic, so they are exact.
float random_cos(uint phase) {
    uint quadrant = (phase + 0x20000000u) >> 30; // the nearest multiple of pi/2; 2^32 wraps to 0, as it should
    int remainder = int(phase - (quadrant << 30)); // [-2^29, 2^29)
    precise float x = float(remainder >> 6) * 9.36267571e-8; // pi/2 2^-24; 24 bits convert exactly; |x| <= pi/4
    precise float z = x * x;
    precise float magnitude;
    if ((quadrant & 1u) == 1u) { // sin x = x + x z (s0 + z (s1 + s2 z))
        precise float s0 = z * -1.9515295891e-4;
        precise float s1 = s0 + 8.3321608736e-3;
        precise float s2 = s1 * z;
        precise float s3 = s2 + -1.6666654611e-1;
        precise float s4 = s3 * z;
        precise float s5 = s4 * x;
        magnitude = x + s5;
    } else { // cos x = 1 - z/2 + z^2 (c0 + z (c1 + c2 z))
        precise float c0 = z * 2.443315711809948e-5;
        precise float c1 = c0 + -1.388731625493765e-3;
        precise float c2 = c1 * z;
        precise float c3 = c2 + 4.166664568298827e-2;
        precise float c4 = c3 * z;
        precise float c5 = c4 * z;
        precise float half_z = 0.5 * z;
        precise float c6 = c5 - half_z;
        magnitude = 1.0 + c6;
    }
    // cos(q pi/2 + x) = cos x, -sin x, -cos x, sin x for q = 0..3; the sign is a bit, not arithmetic.
    uint sign_bit = (quadrant == 1u || quadrant == 2u) ? 0x80000000u : 0u;
    return uintBitsToFloat(floatBitsToUint(magnitude) ^ sign_bit);
}

// Box-Muller, |result| <= 5.77; within 1e-6 of the exact value.
float normal_from_words(uint w0, uint w1) {
    precise float u1 = float((w0 >> 8) + 1u) * 5.9604644775390625e-8; // (0, 1]: never log 0
    precise float log_u1 = random_log(u1);
    precise float radius_squared = -2.0 * log_u1;
    precise float radius = random_sqrt(radius_squared);
    precise float cosine = random_cos(w1);
    precise float result = radius * cosine;
    // Devices need not keep the sign of a zero: there is only +0, decided on the bits.
    return (floatBitsToUint(result) & 0x7FFFFFFFu) == 0u ? 0.0 : result;
}

// One number per (element, sample, stream, step); key = (seed low, seed high).
float random_uniform(uvec2 key, uint stream, uint step, uint sample_index, uint element) {
    return uniform01(philox(uvec4(element, sample_index, stream, step), key).x);
}

float random_normal(uvec2 key, uint stream, uint step, uint sample_index, uint element) {
    uvec4 words = philox(uvec4(element, sample_index, stream, step), key);
    return normal_from_words(words.x, words.y);
}

#endif
