// Rankings, image quality and heat maps against what their definitions say, computed the long way.
#include "dataset/image.hpp"
#include "io/temp_folder.hpp"
#include "metrics/heat_map.hpp"
#include "metrics/image_quality.hpp"
#include "metrics/ranking.hpp"
#include "ops/philox.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

using namespace vkvae;
using namespace vkvae::test;

namespace {

// Scores with many ties: whole numbers below `values`, anomalies a little higher.
struct Ranking {
    std::vector<double> scores;
    std::vector<uint8_t> positive;
    Ranking(uint32_t n, uint32_t values, double shift) {
        for (uint32_t i = 0; i < n; i++) {
            positive.push_back(random_below(1, Stream::data, 0, i, 3) == 0);
            scores.push_back(random_below(1, Stream::data, 1, i, values) + (positive.back() ? shift : 0));
        }
    }
};

double auroc_by_pairs(const Ranking& r) {
    double sum = 0, pairs = 0;
    for (size_t a = 0; a < r.scores.size(); a++)
        for (size_t b = 0; b < r.scores.size(); b++)
            if (r.positive[a] && !r.positive[b]) {
                sum += r.scores[a] > r.scores[b] ? 1 : r.scores[a] == r.scores[b] ? 0.5 : 0;
                pairs++;
            }
    return sum / pairs;
}

double precision_by_thresholds(const Ranking& r) {
    double sum = 0, last_recall = 0, positives = 0;
    std::vector<double> thresholds = r.scores;
    std::sort(thresholds.begin(), thresholds.end(), std::greater<>());
    for (uint8_t p : r.positive)
        positives += p;
    for (double threshold : thresholds) {
        double hits = 0, passed = 0;
        for (size_t i = 0; i < r.scores.size(); i++)
            if (r.scores[i] >= threshold) {
                passed++;
                hits += r.positive[i];
            }
        sum += (hits / positives - last_recall) * hits / passed;
        last_recall = hits / positives;
    }
    return sum;
}

std::vector<float> noise(size_t n, uint32_t which) {
    std::vector<float> values;
    for (size_t i = 0; i < n; i++)
        values.push_back(random_uniform(3, Stream::data, which, 0, uint32_t(i)));
    return values;
}

// By its definition: a sum over both axes of every window, deviations from the mean squared.
double ssim_by_windows(const std::vector<float>& a, const std::vector<float>& b, int h, int w, int c) {
    auto size_of = [](int side) { return std::min(11, side % 2 ? side : side - 1); };
    int kh = size_of(h), kw = size_of(w), windows = 0;
    double total = 0;
    for (int channel = 0; channel < c; channel++)
        for (int top = 0; top + kh <= h; top++)
            for (int left = 0; left + kw <= w; left++) {
                double weights = 0, ma = 0, mb = 0, va = 0, vb = 0, cov = 0;
                for (int pass = 0; pass < 2; pass++)
                    for (int y = 0; y < kh; y++)
                        for (int x = 0; x < kw; x++) {
                            double dy = y - kh / 2, dx = x - kw / 2, weight = std::exp(-(dy * dy + dx * dx) / 4.5);
                            size_t at = size_t(((top + y) * w + left + x) * c + channel);
                            if (pass == 0) {
                                weights += weight;
                                ma += weight * a[at];
                                mb += weight * b[at];
                            } else {
                                va += weight * (a[at] - ma / weights) * (a[at] - ma / weights) / weights;
                                vb += weight * (b[at] - mb / weights) * (b[at] - mb / weights) / weights;
                                cov += weight * (a[at] - ma / weights) * (b[at] - mb / weights) / weights;
                            }
                        }
                ma /= weights;
                mb /= weights;
                total += (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4));
                windows++;
            }
    return total / windows;
}

TEST_CASE("AUROC is the chance that an anomaly scores higher, ties counting half; AP sums precision over thresholds") {
    for (uint32_t values : {2u, 7u, 1000000u})
        for (double shift : {0.0, 1.0, -1.0}) {
            Ranking r(211, values, shift);
            CHECK(auroc(r.scores, r.positive) == doctest::Approx(auroc_by_pairs(r)).epsilon(1e-12));
            CHECK(average_precision(r.scores, r.positive) ==
                  doctest::Approx(precision_by_thresholds(r)).epsilon(1e-12));
        }
    std::vector<double> scores = {1, 2, 3, 4}, equal = {5, 5, 5, 5};
    std::vector<uint8_t> last = {0, 0, 0, 1}, first = {1, 0, 0, 0};
    CHECK(auroc(scores, last) == 1);
    CHECK(average_precision(scores, last) == 1);
    CHECK(auroc(scores, first) == 0);
    CHECK(auroc(equal, first) == 0.5);
    CHECK(average_precision(equal, first) == 0.25);
    scores[3] = std::numeric_limits<double>::infinity();
    CHECK(auroc(scores, last) == 1);
}

TEST_CASE("a ranking needs both kinds, and numbers") {
    std::vector<double> scores = {1, 2, 3};
    auto run = [&](std::vector<uint8_t> positive) { return outcome_of([&] { auroc(scores, positive); }); };
    CHECK(run({0, 0, 0}).says("both kinds"));
    CHECK(run({1, 1, 1}).status == Status::data);
    scores[1] = std::nan("");
    CHECK(run({0, 0, 1}).says("sample 1 is not a number"));
    CHECK(outcome_of([&] { quantile(scores, 0.5); }).status == Status::data);
}

TEST_CASE("at most 1 - q of the clean samples exceed their threshold, and no smaller one would do") {
    for (uint32_t n : {1u, 2u, 10u, 99u, 100u, 101u})
        for (double q : {0.001, 0.1, 0.5, 0.9, 0.99, 1.0}) {
            std::vector<double> scores = Ranking(n, 50, 0).scores;
            double threshold = quantile(scores, q), above = 0, from = 0;
            for (double score : scores) {
                above += score > threshold;
                from += score >= threshold;
            }
            CHECK(above <= (1 - q) * n + 1e-6);
            CHECK(from > (1 - q) * n - 1e-6);
        }
    CHECK(quantile(std::vector<double>{4, 1, 3, 2}, 0.75) == 3);
}

TEST_CASE("PSNR and bits per dimension are their formulas") {
    CHECK(psnr(0.01) == doctest::Approx(20));
    CHECK(psnr(1) == doctest::Approx(0));
    CHECK(std::isinf(psnr(0)));
    // A uniform density over [0,1] costs 0 nats, a uniform byte 8 bits; 784 fair coins cost a bit each.
    CHECK(bits_per_dim(0, 784, true) == doctest::Approx(8));
    CHECK(bits_per_dim(784 * std::log(2.0), 784, false) == doctest::Approx(1));
}

TEST_CASE("SSIM is the mean over all windows inside the image, of images of any size") {
    struct Size {
        int h, w, c;
    };
    for (Size s : {Size{11, 11, 1}, {28, 28, 1}, {13, 17, 3}, {12, 5, 4}, {1, 1, 1}, {2, 9, 1}, {4, 30, 3}}) {
        std::vector<float> a = noise(size_t(s.h * s.w * s.c), 0), b = noise(a.size(), 1);
        for (size_t i = 0; i < b.size(); i++)
            b[i] = 0.7f * a[i] + 0.3f * b[i];
        CHECK(ssim(a, b, s.h, s.w, s.c) == doctest::Approx(ssim_by_windows(a, b, s.h, s.w, s.c)).epsilon(1e-9));
        CHECK(ssim(a, a, s.h, s.w, s.c) == doctest::Approx(1).epsilon(1e-12));
    }
    // Flat images differ in brightness alone.
    std::vector<float> dark(400, 0.25f), light(400, 0.75f);
    CHECK(ssim(dark, light, 20, 20, 1) ==
          doctest::Approx((2 * 0.25 * 0.75 + 1e-4) / (0.25 * 0.25 + 0.75 * 0.75 + 1e-4)).epsilon(1e-9));
    CHECK_THROWS_AS(ssim(dark, light, 20, 21, 1), Error);
}

TEST_CASE("a heat map is black where nothing differs, light where most does, beside the images it is of") {
    const TempFolder folder;
    std::vector<float> x(2 * 8 * 8, 0.5f), mean = x;
    mean[64 + 9] = 1; // second image, row 1, column 1
    std::vector<float> errors = error_map(x, mean, 1);
    CHECK(errors[64 + 9] == doctest::Approx(0.25f));
    CHECK(write_heat_maps(folder.path / "maps.png", x, mean, errors, 8, 8, 1) == doctest::Approx(0.25));
    Image picture = read_image(folder.path / "maps.png");
    // Images of 8 pixels are enlarged nine times; a row for each, 10 apart, in it the three parts, 2 apart.
    REQUIRE(picture.channels == 3);
    REQUIRE(picture.width == 3 * 72 + 2 * 2 + 2 * 10);
    REQUIRE(picture.height == 2 * 72 + 3 * 10);
    auto at = [&](int part, int row, int px, int py, int k) {
        size_t left = size_t(10 + 74 * part + 9 * px + 4), top = size_t(10 + 82 * row + 9 * py + 4);
        return int(picture.pixels[(top * size_t(picture.width) + left) * 3 + size_t(k)]);
    };
    CHECK(at(0, 1, 1, 1, 0) == 128);
    CHECK(at(1, 1, 1, 1, 0) == 255);
    CHECK(at(1, 1, 1, 2, 0) == 128);
    for (int k = 0; k < 3; k++) {
        CHECK(at(2, 0, 1, 1, k) < 10);
        CHECK(at(2, 1, 2, 1, k) < 10);
        CHECK(at(2, 1, 1, 1, k) > 150);
    }
    std::vector<float> rgb = {0, 0, 0}, red = {0.6f, 0, 0};
    CHECK(error_map(rgb, red, 3).at(0) == doctest::Approx(0.12f)); // the mean over the channels
}

} // namespace
