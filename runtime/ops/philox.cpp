// Philox4x32-10, uniforms, normals, bounded integers and permutations; the math is in the header and in the shader.
//   normal = sqrt(-2 log u1) cos(2 pi word1 / 2^32),  u1 = ((word0 >> 8) + 1) 2^-24
// The float code below repeats shaders/common/random.glsl operation by operation, one + or * per variable, and must
// give the same bits with every compiler at every -march. The one danger is a compiler that fuses a * and a + into an
// fma, which rounds once instead of twice: GCC does that even across statements, so the build passes
// -ffp-contract=off for this file, and the pragmas say it again for builds that forget.
#include "ops/philox.hpp"

#include "vkvae/error.hpp"

#include <bit>
#include <cfloat>
#include <limits>
#include <numeric>
#include <utility>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#if defined(__FAST_MATH__)
#error "philox.cpp must not be compiled with -ffast-math: its noise would differ from the GPU's"
#endif
static_assert(FLT_EVAL_METHOD == 0, "floats must be rounded to float after every operation (x87 needs -mfpmath=sse)");
static_assert(std::numeric_limits<float>::is_iec559);

namespace vkvae {

PhiloxKey philox_key(uint64_t seed) {
    return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
}

PhiloxWords philox4x32(const PhiloxCounter& counter, const PhiloxKey& key) {
    PhiloxWords x = counter;
    PhiloxKey k = key;
    for (int round_index = 0; round_index < 10; ++round_index) {
        const uint64_t product0 = uint64_t{0xD2511F53u} * x[0];
        const uint64_t product1 = uint64_t{0xCD9E8D57u} * x[2];
        const uint32_t high0 = static_cast<uint32_t>(product0 >> 32), low0 = static_cast<uint32_t>(product0);
        const uint32_t high1 = static_cast<uint32_t>(product1 >> 32), low1 = static_cast<uint32_t>(product1);
        x = {high1 ^ x[1] ^ k[0], low1, high0 ^ x[3] ^ k[1], low0};
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return x;
}

float uniform01(uint32_t word) {
    return static_cast<float>(word >> 8) * 0x1p-24f;
}

namespace {

// Natural logarithm of a normal positive x (Cephes logf).
float random_log(float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    int exponent = static_cast<int>(bits >> 23) - 126;
    float m = std::bit_cast<float>((bits & 0x007FFFFFu) | 0x3F000000u); // [0.5, 1)
    if (m < 0.70710678f) {
        exponent -= 1;
        m = m + m;
    }
    const float e = static_cast<float>(exponent);
    const float f = m - 1.0f; // [-0.293, 0.414]
    const float z = f * f;
    const float a0 = 7.0376836292e-2f * f;
    const float b0 = a0 + -1.1514610310e-1f;
    const float a1 = b0 * f;
    const float b1 = a1 + 1.1676998740e-1f;
    const float a2 = b1 * f;
    const float b2 = a2 + -1.2420140846e-1f;
    const float a3 = b2 * f;
    const float b3 = a3 + 1.4249322787e-1f;
    const float a4 = b3 * f;
    const float b4 = a4 + -1.6668057665e-1f;
    const float a5 = b4 * f;
    const float b5 = a5 + 2.0000714765e-1f;
    const float a6 = b5 * f;
    const float b6 = a6 + -2.4999993993e-1f;
    const float a7 = b6 * f;
    const float b7 = a7 + 3.3333331174e-1f;
    const float c0 = b7 * f;
    const float c1 = c0 * z;
    const float log2_low = e * -2.12194440e-4f; // log 2 = 0.693359375 - 2.12194440e-4
    const float c2 = c1 + log2_low;
    const float half_z = 0.5f * z;
    const float c3 = c2 - half_z;
    const float c4 = f + c3;
    const float log2_high = e * 0.693359375f; // exact: nine bits times a small integer
    const float result = c4 + log2_high;
    return result;
}

// Square root of a normal positive x, and 0 for x <= 0: four Newton steps for 1/sqrt(x) from the exponent's estimate.
float random_sqrt(float x) {
    if (x <= 0.0f)
        return 0.0f;
    const float h = 0.5f * x;
    float y = std::bit_cast<float>(0x5F375A86u - (std::bit_cast<uint32_t>(x) >> 1));
    for (int i = 0; i < 4; ++i) {
        const float hy = h * y;
        const float hyy = hy * y;
        const float correction = 1.5f - hyy;
        y = y * correction;
    }
    const float result = x * y;
    return result;
}

// cos(2 pi phase / 2^32). The quadrant and the reduction are integer arithmetic, so they are exact.
float random_cos(uint32_t phase) {
    const uint32_t quadrant = (phase + 0x20000000u) >> 30; // the nearest multiple of pi/2; 2^32 wraps to 0
    const int32_t remainder = static_cast<int32_t>(phase - (quadrant << 30)); // [-2^29, 2^29)
    const float x = static_cast<float>(remainder >> 6) * 9.36267571e-8f; // pi/2 2^-24; exact conversion; |x| <= pi/4
    const float z = x * x;
    float magnitude;
    if ((quadrant & 1u) == 1u) { // sin x = x + x z (s0 + z (s1 + s2 z))
        const float s0 = z * -1.9515295891e-4f;
        const float s1 = s0 + 8.3321608736e-3f;
        const float s2 = s1 * z;
        const float s3 = s2 + -1.6666654611e-1f;
        const float s4 = s3 * z;
        const float s5 = s4 * x;
        magnitude = x + s5;
    } else { // cos x = 1 - z/2 + z^2 (c0 + z (c1 + c2 z))
        const float c0 = z * 2.443315711809948e-5f;
        const float c1 = c0 + -1.388731625493765e-3f;
        const float c2 = c1 * z;
        const float c3 = c2 + 4.166664568298827e-2f;
        const float c4 = c3 * z;
        const float c5 = c4 * z;
        const float half_z = 0.5f * z;
        const float c6 = c5 - half_z;
        magnitude = 1.0f + c6;
    }
    // cos(q pi/2 + x) = cos x, -sin x, -cos x, sin x for q = 0..3; the sign is a bit, not arithmetic.
    const uint32_t sign_bit = (quadrant == 1u || quadrant == 2u) ? 0x80000000u : 0u;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) ^ sign_bit);
}

PhiloxWords draw(uint64_t seed, Stream stream, uint32_t step, uint32_t sample_index, uint32_t element) {
    return philox4x32({element, sample_index, static_cast<uint32_t>(stream), step}, philox_key(seed));
}

} // namespace

float normal_from_words(uint32_t w0, uint32_t w1) {
    const float u1 = static_cast<float>((w0 >> 8) + 1u) * 0x1p-24f; // (0, 1]: never log 0
    const float log_u1 = random_log(u1);
    const float radius_squared = -2.0f * log_u1;
    const float radius = random_sqrt(radius_squared);
    const float cosine = random_cos(w1);
    const float result = radius * cosine;
    // Devices need not keep the sign of a zero: there is only +0, decided on the bits.
    return (std::bit_cast<uint32_t>(result) & 0x7FFFFFFFu) == 0u ? 0.0f : result;
}

float random_uniform(uint64_t seed, Stream stream, uint32_t step, uint32_t sample_index, uint32_t element) {
    return uniform01(draw(seed, stream, step, sample_index, element)[0]);
}

float random_normal(uint64_t seed, Stream stream, uint32_t step, uint32_t sample_index, uint32_t element) {
    const PhiloxWords words = draw(seed, stream, step, sample_index, element);
    return normal_from_words(words[0], words[1]);
}

uint32_t random_below(uint64_t seed, Stream stream, uint32_t step, uint32_t element, uint32_t bound) {
    require(bound >= 1, "random_below: bound must be at least 1");
    // The high half of word * bound is in [0, bound). 2^32 mod bound of the words are surplus; they are exactly those
    // whose low half is below that remainder, and are drawn again.
    const uint32_t surplus = (0u - bound) % bound;
    for (uint32_t attempt = 0;; ++attempt) {
        const uint64_t product = uint64_t{draw(seed, stream, step, attempt, element)[0]} * bound;
        if (static_cast<uint32_t>(product) >= surplus)
            return static_cast<uint32_t>(product >> 32);
    }
}

// Fisher-Yates from the end: position i swaps with one of 0..i, drawn at counter element i.
std::vector<uint32_t> permutation(uint32_t count, uint64_t seed, uint32_t epoch) {
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    for (uint32_t i = count; i-- > 1;)
        std::swap(order[i], order[random_below(seed, Stream::shuffle, epoch, i, i + 1)]);
    return order;
}

} // namespace vkvae
