// The random numbers: the published known answers, the distributions, and the bits that every machine must repeat.
#include "ops/philox.hpp"

#include "vkvae/error.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

using vkvae::Stream;

namespace {

struct Moments {
    double mean = 0.0, variance = 0.0, skewness = 0.0, kurtosis = 0.0;
};

Moments moments(const std::vector<double>& x) {
    const double count = static_cast<double>(x.size());
    Moments result;
    for (double value : x)
        result.mean += value / count;
    double third = 0.0, fourth = 0.0;
    for (double value : x) {
        const double c = value - result.mean;
        result.variance += c * c / count;
        third += c * c * c / count;
        fourth += c * c * c * c / count;
    }
    result.skewness = third / std::pow(result.variance, 1.5);
    result.kurtosis = fourth / (result.variance * result.variance);
    return result;
}

// Kolmogorov-Smirnov: sqrt(n) max |F_n - F|. Under the right F it exceeds 1.95 once in a thousand samples.
template <class Distribution> double ks_statistic(std::vector<double> x, Distribution cdf) {
    std::sort(x.begin(), x.end());
    const double count = static_cast<double>(x.size());
    double distance = 0.0;
    for (size_t i = 0; i < x.size(); ++i) {
        const double expected = cdf(x[i]);
        distance = std::max(
            {distance, expected - static_cast<double>(i) / count, static_cast<double>(i + 1) / count - expected});
    }
    return std::sqrt(count) * distance;
}

double normal_cdf(double x) {
    return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

std::vector<double> normals(uint64_t seed, Stream stream, uint32_t step, uint32_t sample, uint32_t count) {
    std::vector<double> x(count);
    for (uint32_t i = 0; i < count; ++i)
        x[i] = vkvae::random_normal(seed, stream, step, sample, i);
    return x;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return ab / std::sqrt(aa * bb);
}

// The recipe's formula in double, from the same words.
double exact_normal(uint32_t w0, uint32_t w1) {
    const double u1 = ((w0 >> 8) + 1.0) * 0x1p-24;
    return std::sqrt(-2.0 * std::log(u1)) * std::cos(2.0 * std::numbers::pi * w1 * 0x1p-32);
}

} // namespace

TEST_CASE("philox4x32-10 gives Random123's known answers") {
    using Words = vkvae::PhiloxWords;
    CHECK(vkvae::philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    const uint32_t ones = 0xffffffff;
    CHECK(vkvae::philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(vkvae::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the key is the seed's two words and the counter is (element, sample, stream, step)") {
    const uint64_t seed = 0x299f31d0a4093822;
    CHECK(vkvae::philox_key(seed) == vkvae::PhiloxKey{0xa4093822, 0x299f31d0});
    const vkvae::PhiloxWords words = vkvae::philox4x32({11, 22, 3, 44}, vkvae::philox_key(seed));
    CHECK(vkvae::random_uniform(seed, Stream::reparam, 44, 22, 11) == vkvae::uniform01(words[0]));
    CHECK(vkvae::random_normal(seed, Stream::reparam, 44, 22, 11) == vkvae::normal_from_words(words[0], words[1]));
}

TEST_CASE("a seed's noise never changes: these bits are part of every result") {
    const auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
    const uint32_t first[] = {0xbf785e5a, 0xbd95e01a, 0xbeac8643, 0xbec26cec};
    for (uint32_t i = 0; i < 4; ++i)
        CHECK(bits(vkvae::random_normal(42, Stream::init, 0, 0, i)) == first[i]);
    // Every bit of 200,000 normals, folded (FNV-1a), so that one fused multiply-add anywhere is seen.
    uint64_t hash = 0xcbf29ce484222325;
    for (uint32_t i = 0; i < 200000; ++i)
        hash = (hash ^ bits(vkvae::random_normal(42, Stream::reparam, 7, 3, i))) * 0x100000001b3;
    CHECK(hash == 0x7c524ee7c3474224);
}

TEST_CASE("uniforms are in [0, 1), in steps of 2^-24, and uniform") {
    CHECK(vkvae::uniform01(0) == 0.0f);
    CHECK(vkvae::uniform01(0xff) == 0.0f);
    CHECK(vkvae::uniform01(0x100) == 0x1p-24f);
    CHECK(vkvae::uniform01(0xffffffff) == 1.0f - 0x1p-24f);
    std::vector<double> u(200000);
    for (uint32_t i = 0; i < u.size(); ++i)
        u[i] = vkvae::random_uniform(1, Stream::dropout, 5, 2, i);
    CHECK(ks_statistic(u, [](double x) { return x; }) < 1.95);
}

TEST_CASE("normals stay within 1e-6 of the exact value of their words") {
    // Against double, because two twins with the same wrong constant agree bit for bit.
    double worst = 0.0, squares = 0.0;
    for (uint32_t i = 0; i < 1000000; ++i) {
        const vkvae::PhiloxWords words = vkvae::philox4x32({i, 0, 0, 0}, {42, 0});
        const double got = vkvae::normal_from_words(words[0], words[1]);
        const double error = got - exact_normal(words[0], words[1]);
        worst = std::max(worst, std::abs(error));
        squares += error * error / 1e6;
    }
    CHECK(worst < 1e-6);
    CHECK(std::sqrt(squares) < 1.2e-7); // one f32 unit in the last place of 1
}

TEST_CASE("the longest and the shortest radius, and every quadrant, are right") {
    for (uint32_t w0 :
         {0u, 0xffu, 0x100u, 0x7fffffffu, 0x80000000u, 0xb504f300u, 0xfffffe00u, 0xffffff00u, 0xffffffffu})
        for (uint64_t eighth = 0; eighth < 8; ++eighth)
            for (int64_t offset : {-65, -64, -1, 0, 1, 63, 64, 65}) {
                const uint32_t w1 = static_cast<uint32_t>(static_cast<int64_t>(eighth << 29) + offset);
                CAPTURE(w0);
                CAPTURE(w1);
                const float got = vkvae::normal_from_words(w0, w1);
                CHECK(std::abs(got - exact_normal(w0, w1)) < 1e-6);
                CHECK(std::abs(got) < 5.78f);
                CHECK_FALSE((got == 0.0f && std::signbit(got))); // one zero only, so that bits compare
            }
}

TEST_CASE("normals have the normal's moments and distribution") {
    const std::vector<double> x = normals(1234, Stream::reparam, 17, 5, 400000);
    const Moments m = moments(x); // bounds: five standard errors, sqrt(1, 2, 6, 24 / n)
    CHECK(std::abs(m.mean) < 5.0 * std::sqrt(1.0 / 400000));
    CHECK(std::abs(m.variance - 1.0) < 5.0 * std::sqrt(2.0 / 400000));
    CHECK(std::abs(m.skewness) < 5.0 * std::sqrt(6.0 / 400000));
    CHECK(std::abs(m.kurtosis - 3.0) < 5.0 * std::sqrt(24.0 / 400000));
    CHECK(ks_statistic(x, normal_cdf) < 1.95);
}

TEST_CASE("the normal is normal along every part of the counter, not only along the elements") {
    std::vector<double> by_sample(50000), by_step(50000), by_seed(50000);
    for (uint32_t i = 0; i < 50000; ++i) {
        by_sample[i] = vkvae::random_normal(9, Stream::reparam, 0, i, 0);
        by_step[i] = vkvae::random_normal(9, Stream::reparam, i, 0, 0);
        by_seed[i] = vkvae::random_normal(i, Stream::reparam, 0, 0, 0);
    }
    CHECK(ks_statistic(by_sample, normal_cdf) < 1.95);
    CHECK(ks_statistic(by_step, normal_cdf) < 1.95);
    CHECK(ks_statistic(by_seed, normal_cdf) < 1.95);
}

TEST_CASE("streams, steps, samples, seeds and neighbours are uncorrelated") {
    const uint32_t count = 100000;
    const double bound = 5.0 / std::sqrt(static_cast<double>(count)); // five standard errors
    std::vector<std::vector<double>> draws;
    for (Stream stream : {Stream::init, Stream::shuffle, Stream::augment, Stream::reparam, Stream::dropout,
                          Stream::sample, Stream::binarize, Stream::data})
        draws.push_back(normals(77, stream, 3, 4, count));
    draws.push_back(normals(77, Stream::init, 4, 3, count));              // step and sample exchanged
    draws.push_back(normals(77, Stream::init, 4, 4, count));              // the next step
    draws.push_back(normals(78, Stream::init, 3, 4, count));              // the next seed
    draws.push_back(normals(77 | 1ull << 32, Stream::init, 3, 4, count)); // the seed's high word counts
    std::vector<double> shifted = draws[0];
    std::rotate(shifted.begin(), shifted.begin() + 1, shifted.end());
    draws.push_back(shifted);
    for (size_t i = 0; i < draws.size(); ++i)
        for (size_t j = 0; j < i; ++j) {
            CAPTURE(i);
            CAPTURE(j);
            CHECK(std::abs(correlation(draws[i], draws[j])) < bound);
        }
}

TEST_CASE("random_below is in range, unbiased, and refuses an empty range") {
    for (uint32_t i = 0; i < 100; ++i)
        CHECK(vkvae::random_below(1, Stream::data, 0, i, 1) == 0);
    // 3 2^30: a quarter of the words must be drawn again; without that the multiples of 3 are twice as likely.
    const uint32_t bound = 3u << 30;
    std::vector<double> u(90000);
    double multiples = 0.0;
    for (uint32_t i = 0; i < u.size(); ++i) {
        const uint32_t value = vkvae::random_below(5, Stream::data, 2, i, bound);
        REQUIRE(value < bound);
        u[i] = (value + 0.5) / bound;
        multiples += value % 3 == 0 ? 1.0 : 0.0;
    }
    CHECK(ks_statistic(u, [](double x) { return x; }) < 1.95);
    CHECK(std::abs(multiples - 30000.0) < 5.0 * std::sqrt(90000.0 * 1.0 / 3.0 * 2.0 / 3.0)); // five standard errors
    std::vector<double> counts(7, 0.0);
    for (uint32_t i = 0; i < 70000; ++i)
        counts.at(vkvae::random_below(6, Stream::data, 0, i, 7)) += 1.0;
    double chi2 = 0.0;
    for (double seen : counts)
        chi2 += (seen - 10000.0) * (seen - 10000.0) / 10000.0;
    CHECK(chi2 < 22.5); // six degrees of freedom: once in a thousand
    CHECK_THROWS_AS(vkvae::random_below(1, Stream::data, 0, 0, 0), vkvae::Error);
}

TEST_CASE("a permutation holds every index once, whatever its length") {
    for (uint32_t count : {0u, 1u, 2u, 3u, 17u, 1000u, 65537u}) {
        std::vector<uint32_t> order = vkvae::permutation(count, 99, 4);
        REQUIRE(order.size() == count);
        std::sort(order.begin(), order.end());
        bool complete = true;
        for (uint32_t i = 0; i < count; ++i)
            complete = complete && order[i] == i;
        CHECK(complete);
    }
}

TEST_CASE("a permutation depends on the seed and the epoch, and on nothing else") {
    CHECK(vkvae::permutation(1000, 1, 2) == vkvae::permutation(1000, 1, 2));
    CHECK(vkvae::permutation(1000, 1, 2) != vkvae::permutation(1000, 1, 3));
    CHECK(vkvae::permutation(1000, 1, 2) != vkvae::permutation(1000, 2, 2));
    CHECK(vkvae::permutation(8, 42, 0) == std::vector<uint32_t>{5, 7, 3, 0, 6, 1, 4, 2});
}

TEST_CASE("every order of four is equally likely") {
    std::vector<double> counts(256, 0.0); // indexed by the order's entries as base-4 digits
    for (uint32_t epoch = 0; epoch < 24000; ++epoch) {
        const std::vector<uint32_t> p = vkvae::permutation(4, 3, epoch);
        counts.at(((p[0] * 4 + p[1]) * 4 + p[2]) * 4 + p[3]) += 1.0;
    }
    double chi2 = 0.0;
    int seen = 0;
    for (double count : counts)
        if (count > 0.0) {
            ++seen;
            chi2 += (count - 1000.0) * (count - 1000.0) / 1000.0;
        }
    CHECK(seen == 24);
    CHECK(chi2 < 49.7); // 23 degrees of freedom: once in a thousand
}
