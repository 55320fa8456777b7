// The contract of the entropy coder and of .vkz files: what goes in comes out, at the length that the probabilities
// say, and damaged files are refused.
#include "latent/ans.hpp"
#include "latent/bits_back.hpp"
#include "latent/exact.hpp"
#include "latent/latent_code.hpp"
#include "latent/vkz.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "io/temp_folder.hpp"
#include "ops/philox.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

double uniform(uint32_t i, uint32_t step = 0) {
    return double(random_uniform(11, Stream::data, step, 0, i));
}
double normal(uint32_t i, uint32_t step = 0) {
    return double(random_normal(12, Stream::data, step, 0, i));
}

// Weights of all kinds: even, steep, with zeros, with a giant.
std::vector<double> some_weights(uint32_t kind) {
    size_t n = 1 + size_t(uniform(kind, 1) * 300);
    std::vector<double> weights(n);
    for (size_t i = 0; i < n; i++) {
        double u = uniform(uint32_t(i), 2 + kind);
        weights[i] = kind % 4 == 0 ? u : kind % 4 == 1 ? std::pow(u, 30) : kind % 4 == 2 ? (u < 0.5 ? 0 : 1) : 1e-12;
    }
    weights[n / 2] += kind % 4 == 3 ? 1e12 : 1e-3;
    return weights;
}

} // namespace

TEST_CASE("the reproducible functions are the ones of the C library, and symmetric where they must be") {
    for (double x = -20; x <= 20; x += 0.173) {
        CHECK(exact_exp(x) == doctest::Approx(std::exp(x)).epsilon(1e-14));
        CHECK(std::fabs(normal_cdf(x) - 0.5 * std::erfc(-x / std::sqrt(2.0))) < 2e-15);
        CHECK(logistic_cdf(x) == doctest::Approx(1 / (1 + std::exp(-x))).epsilon(1e-14));
    }
    CHECK(exact_exp(0) == 1);
    CHECK(normal_cdf(0) == 0.5);
    CHECK(exact_exp(-1e6) == 0);
    for (double p : {1e-9, 0.001, 0.3, 0.5, 0.77, 1 - 1e-6})
        CHECK(normal_cdf(normal_quantile(p)) == doctest::Approx(p).epsilon(1e-9));
}

TEST_CASE("symbols of any table come back in reverse, at the length that their frequencies say") {
    for (uint32_t kind = 0; kind < 24; kind++) {
        FrequencyTable table = make_table(some_weights(kind));
        CHECK(table.starts.front() == 0);
        CHECK(table.starts.back() == uint32_t(1) << kAnsBits);
        for (size_t i = 1; i < table.starts.size(); i++)
            CHECK(table.starts[i] > table.starts[i - 1]);
        AnsStack stack;
        std::vector<int64_t> symbols;
        double cost = 0;
        for (uint32_t i = 0; i < 2000; i++) { // every symbol, and those that the table expects
            double u = uniform(i, 100 + kind);
            uint32_t at = uint32_t(u * double(uint32_t(1) << kAnsBits));
            auto after = std::upper_bound(table.starts.begin(), table.starts.end(), at);
            symbols.push_back(i % 10 == 0 ? i % table.count() : after - table.starts.begin() - 1);
            push_symbol(stack, table, symbols.back());
            cost += table.cost(symbols.back());
        }
        CHECK(stack.bits() == doctest::Approx(cost).epsilon(1e-4));
        AnsStack read(stack.words(), "code");
        for (size_t i = symbols.size(); i-- > 0;)
            CHECK(pop_symbol(read, table) == symbols[i]);
        CHECK(read.empty());
    }
}

TEST_CASE("frequencies follow the weights") {
    const double weights[] = {1, 0, 3, 4};
    FrequencyTable table = make_table(weights);
    CHECK(table.cost(0) == doctest::Approx(3).epsilon(1e-5));
    CHECK(table.cost(1) == 24);
    CHECK(table.cost(3) == doctest::Approx(1).epsilon(1e-5));
    const double negative[] = {1, -1}, none[] = {0, 0}, nan[] = {1, NAN};
    for (const auto& bad : {std::span(negative), std::span(none), std::span(nan)})
        CHECK(!outcome_of([&] { make_table(bad); }).message.empty());
}

TEST_CASE("shares at the limits of the coder: one of 2^31, all but one, all") {
    AnsStack stack;
    struct Share {
        uint32_t start, frequency;
        int bits;
    };
    std::vector<Share> shares;
    for (uint32_t i = 0; i < 3000; i++) {
        int bits = 1 + int(uniform(i, 7) * 31);
        uint32_t total = uint32_t(1) << bits, kind = i % 3;
        uint32_t at = uint32_t(uniform(i, 8) * total);
        shares.push_back(kind == 0   ? Share{at, 1, bits}
                         : kind == 1 ? Share{1, total - 1, bits}
                                     : Share{0, total, bits});
        stack.push(shares.back().start, shares.back().frequency, bits);
    }
    for (size_t i = shares.size(); i-- > 0;) {
        uint32_t top = stack.top(shares[i].bits);
        CHECK((top >= shares[i].start && top - shares[i].start < shares[i].frequency));
        stack.pop(shares[i].start, shares[i].frequency, shares[i].bits);
    }
    CHECK(stack.empty());
    CHECK(outcome_of([&] { stack.push(1, 0, 8); }).says("share"));
    CHECK(outcome_of([&] { stack.push(200, 57, 8); }).says("share"));
    CHECK(outcome_of([&] { stack.pop(0, 1, 8); }).status == Status::data); // nothing is left
}

TEST_CASE("popping what was never pushed draws samples, and pushing them back returns every bit") {
    const double weights[] = {1, 2, 5};
    FrequencyTable table = make_table(weights);
    AnsStack stack = AnsStack::with_random_bits(4);
    std::vector<uint32_t> before = stack.words();
    std::vector<int64_t> drawn, counts(3, 0);
    for (int i = 0; i < 4000; i++) {
        drawn.push_back(pop_symbol(stack, table));
        counts[size_t(drawn.back())]++;
    }
    CHECK(counts[0] == doctest::Approx(500).epsilon(0.15));
    CHECK(counts[2] == doctest::Approx(2500).epsilon(0.05));
    double needed = 4000 * (3.0 / 8 + 2.0 / 8 * 2 + 5.0 / 8 * std::log2(8 / 5.0));
    CHECK(double(stack.invented_bits()) == doctest::Approx(needed).epsilon(0.05));
    for (size_t i = drawn.size(); i-- > 0;)
        push_symbol(stack, table, drawn[i]);
    CHECK(stack.bits() == doctest::Approx(double(stack.invented_bits())).epsilon(0.02));
    AnsStack read(stack.words(), "code");
    for (int64_t symbol : drawn)
        CHECK(pop_symbol(read, table) == symbol);
}

TEST_CASE("grids have steps an eighth of an octave apart, and prior tables the normal's masses") {
    for (int i = 0; i < 128; i++) {
        CHECK(grid_index(grid_step(uint8_t(i))) == i);
        CHECK(grid_step(uint8_t(i)) == doctest::Approx(std::exp2(i / 8.0 - 10)));
    }
    CHECK(grid_index(1e-9) == 0);
    CHECK(grid_index(1e9) == 127);
    CHECK(outcome_of([] { grid_step(128); }).says("128"));
    FrequencyTable table = prior_table(grid_index(0.5));
    CHECK(table.count() == 49); // -24 .. 24
    for (int k : {-3, 0, 1, 5})
        CHECK(std::exp2(-table.cost(k + 24)) == doctest::Approx(0.5 * std::erfc((k - 0.5) * 0.5 / std::sqrt(2)) -
                                                                0.5 * std::erfc((k + 0.5) * 0.5 / std::sqrt(2)))
                                                    .epsilon(1e-4));
    CHECK(prior_table(127).count() == 1); // one cell holds everything, and costs nothing
}

TEST_CASE("latents come back on their grids; far ones at the end of the range") {
    const std::vector<uint8_t> grids = {grid_index(0.1), grid_index(3), grid_index(0.001)};
    std::vector<float> z;
    for (uint32_t i = 0; i < 300; i++)
        z.push_back(float(normal(i)));
    z[4] = 1000, z[5] = -1e30f;
    std::vector<int32_t> k = quantise(z, grids);
    std::vector<float> back = dequantise(k, grids);
    for (size_t i = 0; i < z.size(); i++)
        if (i != 4 && i != 5)
            CHECK(std::fabs(back[i] - z[i]) <= 0.5001 * grid_step(grids[i % 3]));
    CHECK(back[4] == doctest::Approx(12).epsilon(0.2));
    CHECK(back[5] == doctest::Approx(-12).epsilon(0.01));
    std::vector<uint32_t> words = encode_latents(k, grids);
    CHECK(decode_latents(words, 100, grids, "z") == k);
    CHECK(outcome_of([&] { decode_latents(words, 99, grids, "z"); }).says("more is coded than 99"));
    CHECK(outcome_of([&] { decode_latents(words, 101, grids, "z"); }).status == Status::data);
    const std::vector<uint8_t> bad = {3, 200, 3};
    CHECK(outcome_of([&] { decode_latents(words, 100, bad, "z"); }).says("no grid 200"));
    z[7] = NAN;
    CHECK(outcome_of([&] { quantise(z, grids); }).says("not finite"));
    CHECK(decode_latents(encode_latents({}, grids), 0, grids, "z").empty());
}

TEST_CASE("cut and damaged code words end in an error or in other symbols, never in anything worse") {
    const std::vector<uint8_t> grids = {40, 70};
    std::vector<int32_t> k;
    for (uint32_t i = 0; i < 200; i++)
        k.push_back(int32_t(4 * normal(i)));
    const std::vector<uint32_t> words = encode_latents(k, grids);
    for (size_t size = 0; size < words.size(); size++) {
        std::vector<uint32_t> cut(words.begin(), words.begin() + std::ptrdiff_t(size));
        CHECK(outcome_of([&] { decode_latents(cut, 100, grids, "z"); }).status == Status::data);
    }
    for (uint32_t i = 0; i < 400; i++) {
        std::vector<uint32_t> damaged = words;
        damaged[size_t(uniform(i, 20) * double(words.size()))] ^= uint32_t(1) << uint32_t(uniform(i, 21) * 32);
        std::vector<int32_t> result;
        Outcome outcome = outcome_of([&] { result = decode_latents(damaged, 100, grids, "z"); });
        CHECK((outcome.status == Status::data || result != k));
    }
}

TEST_CASE(".vkz files come back whole; every truncation and every changed bit is refused") {
    VkzFile file{.mode = VkzFile::Mode::lossless,
                 .model = 0x123456789abcdef0,
                 .count = 3,
                 .height = 2,
                 .width = 5,
                 .channels = 1,
                 .latent = 2,
                 .side = {1, 2, 255},
                 .words = {7, 0xffffffff, 9, 11}};
    std::vector<std::byte> bytes = write_vkz(file);
    VkzFile back = parse_vkz(bytes, "f");
    CHECK(write_vkz(back) == bytes);
    CHECK(back.mode == VkzFile::Mode::lossless);
    CHECK(back.words == file.words);
    CHECK(back.side == file.side);
    CHECK(back.pixels() == 10);
    CHECK(accepted_truncations(bytes, [](const std::vector<std::byte>& cut) { parse_vkz(cut, "f"); }) == 0);
    for (size_t bit = 0; bit < 8 * bytes.size(); bit++) {
        std::vector<std::byte> damaged = bytes;
        damaged[bit / 8] ^= std::byte(1 << bit % 8);
        Outcome outcome = outcome_of([&] { parse_vkz(damaged, "f"); });
        CHECK(outcome.status == Status::data);
        CHECK(outcome.message.starts_with("f: "));
    }
    bytes.push_back(std::byte(0));
    CHECK(outcome_of([&] { parse_vkz(bytes, "f"); }).says("after the end"));
    file.count = 0xffffffff;
    CHECK(outcome_of([&] { parse_vkz(write_vkz(file), "f"); }).says("too many"));
    file.count = 0;
    CHECK(outcome_of([&] { parse_vkz(write_vkz(file), "f"); }).says("none or too many"));
}

TEST_CASE("classes of means are finer towards both ends, and symmetric") {
    CHECK(mean_class(-1) == 0);
    CHECK(mean_class(0) == 0);
    CHECK(mean_class(2) == kMeanClasses - 1);
    CHECK(mean_class(0.499f) == kMeanClasses / 2 - 1);
    CHECK(mean_class(0.5f) == kMeanClasses / 2);
    CHECK(mean_class(0x1p-11f) == 1);
    size_t last = 0;
    for (float m = 0; m < 1; m += 0x1p-12f) { // 1 - m is exact
        CHECK(mean_class(m) >= last);
        CHECK(mean_class(m) <= last + 1);
        last = mean_class(m);
        if (m != 0.5f)
            CHECK(mean_class(1 - m) == kMeanClasses - 1 - last);
    }
    CHECK(last == kMeanClasses - 1);
}

// A linear model in closed form, so that what coding must cost is known: x has D latents, each decides half of the
// pixels of its part.
TEST_CASE("bits back returns the same bytes, at the cost of the negative ELBO") {
    constexpr int64_t kLatent = 3, kEach = 16, kPixels = kLatent * kEach, kCount = 2003;
    BitsBackNet net;
    net.pixels = kPixels;
    net.latent = kLatent;
    net.batch = 8;
    net.encode = [](std::span<const float> x, std::vector<float>& mu, std::vector<float>& logvar) {
        mu.assign(x.size() / kEach, 0.0f);
        logvar.assign(mu.size(), std::log(0.09f));
        for (size_t i = 0; i < x.size(); i++)
            mu[i / kEach] += 4 * (x[i] - 0.5f) / kEach;
    };
    net.decode = [](std::span<const float> z) {
        std::vector<float> means;
        for (float value : z)
            for (int64_t i = 0; i < kEach; i++)
                means.push_back(1 / (1 + std::exp(-3 * value)));
        return means;
    };
    std::vector<uint8_t> images; // binary, as the model thinks they are
    for (uint32_t i = 0; i < kCount * kLatent; i++)
        for (uint32_t k = 0; k < kEach; k++)
            images.push_back(uniform(i * kEach + k, 30) < 1 / (1 + std::exp(-3 * normal(i, 31))) ? 255 : 0);
    BitsBackCode code = bits_back_encode(net, images);
    CHECK(bits_back_decode(net, code.pixel_model, code.words, kCount, "c") == images);
    CHECK(pixel_model_from(to_bytes(code.pixel_model), "c").rows[5].zero == code.pixel_model.rows[5].zero);

    // The ELBO with p(x|z) as coded: by the tables for E log p(x|z), in closed form for the KL.
    std::vector<float> x, mu, logvar;
    for (uint8_t byte : images)
        x.push_back(float(byte) / 255.0f);
    net.encode(x, mu, logvar);
    double bits = 0;
    std::map<std::pair<size_t, int>, FrequencyTable> tables;
    constexpr int kDraws = 12;
    for (uint32_t draw = 0; draw < kDraws; draw++)
        for (size_t i = 0; i < mu.size(); i++) {
            float z = mu[i] + std::exp(0.5f * logvar[i]) * float(normal(uint32_t(i), 40 + draw));
            float mean = 1 / (1 + std::exp(-3 * z));
            size_t group = mean_class(mean);
            int byte = int(std::floor(double(mean) * 255 + 0.5));
            FrequencyTable& table = tables[{group, byte}];
            if (table.starts.empty())
                table = pixel_table(code.pixel_model, group, byte);
            for (size_t k = 0; k < kEach; k++)
                bits += table.cost(images[i * kEach + k]) / kDraws;
        }
    for (size_t i = 0; i < mu.size(); i++)
        bits += 0.5 * double(mu[i] * mu[i] + std::exp(logvar[i]) - logvar[i] - 1) / std::log(2);
    double net_bits = 32 * double(code.words.size()) - double(code.invented_bits);
    CHECK(net_bits == doctest::Approx(bits).epsilon(0.02)); // each code draws its latents once
    CHECK(net_bits < 0.9 * kCount * kPixels);               // a bit a pixel without a model

    for (size_t size = 0; size < code.words.size(); size += 499) {
        std::vector<uint32_t> cut(code.words.begin(), code.words.begin() + std::ptrdiff_t(size));
        std::vector<uint8_t> result;
        Outcome outcome = outcome_of([&] { result = bits_back_decode(net, code.pixel_model, cut, kCount, "c"); });
        CHECK((outcome.status == Status::data || result != images));
    }
}

TEST_CASE("bits back codes bytes of every value, images that no model expects, and a single one") {
    BitsBackNet net;
    net.pixels = 40;
    net.latent = 2;
    net.batch = 4;
    net.encode = [](std::span<const float> x, std::vector<float>& mu, std::vector<float>& logvar) {
        mu.clear();
        logvar.clear();
        for (size_t i = 0; i < x.size(); i += 40) {
            mu.insert(mu.end(), {100 * x[i], -8 * x[i + 1]}); // far outside of the prior
            logvar.insert(logvar.end(), {-30.0f, 25.0f});     // a point, and all of the line
        }
    };
    net.decode = [](std::span<const float> z) {
        std::vector<float> means(z.size() * 20);
        for (size_t i = 0; i < means.size(); i++)
            means[i] = z[i / 20] * 0.3f + 0.01f * float(i % 20); // partly outside of [0,1]
        return means;
    };
    std::vector<uint8_t> images;
    for (uint32_t i = 0; i < 40 * 11; i++)
        images.push_back(uint8_t(uniform(i, 50) * 256));
    for (size_t n : {1, 4, 11}) {
        std::span<const uint8_t> some = std::span(images).first(40 * n);
        BitsBackCode code = bits_back_encode(net, some);
        std::vector<uint8_t> back = bits_back_decode(net, code.pixel_model, code.words, int64_t(n), "c");
        CHECK(std::equal(back.begin(), back.end(), some.begin(), some.end()));
    }
    std::vector<uint8_t> rows = to_bytes(PixelModel{});
    rows[4] = 20;
    CHECK(outcome_of([&] { pixel_model_from(rows, "c"); }).says("damaged"));
    rows.pop_back();
    CHECK(outcome_of([&] { pixel_model_from(rows, "c"); }).says("251 bytes"));
    net.decode = [](std::span<const float> z) { return std::vector<float>(z.size() * 20, NAN); };
    CHECK(outcome_of([&] { bits_back_encode(net, images); }).says("not finite"));
}
