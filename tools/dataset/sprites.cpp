// Sprites: coloured shapes on black with six known factors, after dSprites (Matthey et al. 2017), drawn on demand.
// Integers only, so the bytes are the same on every machine and with every compiler flag. A pixel's value is the share
// of an 8 x 8 grid of points in it that lie inside the shape.
#include "dataset/hash.hpp"
#include "dataset/sources.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace vkvae {

namespace {

constexpr int kSide = 64;
constexpr std::int64_t kDefaultTrain = 32768, kMaxTrain = 1'000'000; // a million is 12 GB
constexpr std::int64_t kTrainPerTest = 8;

enum Factor : std::size_t { shape, scale, orientation, x, y, colour, kFactors };
constexpr std::array<const char*, kFactors> kFactorNames = {"shape", "scale", "orientation", "x", "y", "colour"};
constexpr std::array<std::uint32_t, kFactors> kFactorSizes = {3, 6, 40, 32, 32, 6};
constexpr std::uint32_t kCombinations = 3 * 6 * 40 * 32 * 32 * 6;
using Factors = std::array<std::uint32_t, kFactors>;

constexpr std::array<const char*, 3> kShapeNames = {"square", "ellipse", "heart"};
constexpr std::uint8_t kColours[6][3] = {{250, 40, 40},  {250, 220, 30}, {40, 220, 60},
                                         {30, 210, 250}, {70, 70, 250},  {240, 50, 230}};

// Lengths are in 1/16 pixel: 8 x 8 sample points a pixel lie at odd sixteenths.
constexpr std::int32_t kUnit = 16;
constexpr std::int32_t kLargestRadius = 16 * kUnit; // of the circle around the largest shape
constexpr std::int32_t kMargin = 17 * kUnit;        // centres keep this far from the border, so shapes are never cut
constexpr std::int32_t kOne = 1 << 16;              // sines and cosines are in 1/65536

// round(65536 sin(2 pi k / 40)), k = 0..10; the other quarters follow by symmetry.
constexpr std::int32_t kSines[11] = {0, 10252, 20252, 29753, 38521, 46341, 53020, 58393, 62328, 64729, 65536};

std::int32_t sine(std::uint32_t step) {
    const std::uint32_t quarter = step / 10 % 4, k = step % 10;
    const std::int32_t value = quarter % 2 == 0 ? kSines[k] : kSines[10 - k];
    return quarter < 2 ? value : -value;
}

// Everything about one sprite that does not depend on the pixel.
struct Sprite {
    std::uint32_t shape;
    std::int32_t centre_x, centre_y, radius; // 1/16 pixel
    std::int32_t cosine, sine;               // 1/65536
};

// u, v: the point in the shape's own frame, in 1/16 pixel / 65536, at most 2^27 in size, so squares fit 64 bits.
bool inside(const Sprite& sprite, std::int64_t u, std::int64_t v) {
    const std::int64_t r = std::int64_t{sprite.radius} * kOne;
    if (sprite.shape == 0) { // half side 0.7 r: the corners lie on the circle of radius r
        const std::int64_t half = r * 7 / 10;
        return std::abs(u) <= half && std::abs(v) <= half;
    }
    if (sprite.shape == 1) // half axes r and r / 2
        return u * u + 4 * v * v <= r * r;
    // A heart is a square on its tip with a half disc on each upper side. In coordinates p, q along those sides
    // (sqrt(2) larger than u, v) the square is [-s, s]^2 and the discs have radius s around (s, 0) and (0, s).
    // 0.78 r, and the square's centre 0.21 r below ours, fit tip and discs into the circle of radius r.
    const std::int64_t s = r * 78 / 100;
    const std::int64_t down = v - r * 21 / 100;
    const std::int64_t p = u - down, q = -u - down;
    if (std::abs(p) <= s && std::abs(q) <= s)
        return true;
    return (p - s) * (p - s) + q * q <= s * s || p * p + (q - s) * (q - s) <= s * s;
}

int coverage(const Sprite& sprite, std::int32_t px, std::int32_t py) {
    int count = 0;
    for (std::int32_t sy = 1; sy < kUnit; sy += 2)
        for (std::int32_t sx = 1; sx < kUnit; sx += 2) {
            const std::int64_t dx = px * kUnit + sx - sprite.centre_x, dy = py * kUnit + sy - sprite.centre_y;
            const std::int64_t u = dx * sprite.cosine + dy * sprite.sine;
            const std::int64_t v = dy * sprite.cosine - dx * sprite.sine;
            count += inside(sprite, u, v) ? 1 : 0;
        }
    return count;
}

// `out`: 64 x 64 x 3 zeros.
void draw(const Factors& factors, std::byte* out) {
    constexpr std::int32_t kRange = kSide * kUnit - 2 * kMargin;
    const auto place = [](std::uint32_t step) {
        return kMargin + (static_cast<std::int32_t>(step) * kRange + 15) / 31;
    };
    const Sprite sprite{.shape = factors[shape],
                        .centre_x = place(factors[x]),
                        .centre_y = place(factors[y]),
                        .radius = kLargestRadius * static_cast<std::int32_t>(5 + factors[scale]) / 10, // 0.5 .. 1
                        .cosine = sine(factors[orientation] + 10),
                        .sine = sine(factors[orientation])};
    const std::uint8_t* colours = kColours[factors[colour]];
    const std::int32_t left = (sprite.centre_x - sprite.radius) / kUnit - 1,
                       top = (sprite.centre_y - sprite.radius) / kUnit - 1;
    const std::int32_t right = (sprite.centre_x + sprite.radius) / kUnit + 1,
                       bottom = (sprite.centre_y + sprite.radius) / kUnit + 1;
    for (std::int32_t py = std::max(0, top); py <= std::min(kSide - 1, bottom); ++py)
        for (std::int32_t px = std::max(0, left); px <= std::min(kSide - 1, right); ++px) {
            const int share = coverage(sprite, px, py); // of 64
            for (int c = 0; c < 3; ++c)
                out[(py * kSide + px) * 3 + c] = static_cast<std::byte>((colours[c] * share + 32) / 64);
        }
}

// A fixed permutation of 0 .. kCombinations-1: a four-round Feistel network over 24 bits, walked until it falls into the
// range again. No seed goes in: sprites are one data set, the same for all runs that are compared on them.
std::uint32_t permute(std::uint32_t index) {
    static_assert(kCombinations <= 1u << 24);
    do {
        std::uint32_t left = index >> 12, right = index & 0xfff;
        for (std::uint64_t round = 0; round < 4; ++round) {
            const std::uint64_t mixed = mix_bits(mix_bits(round) ^ right);
            const std::uint32_t next = left ^ static_cast<std::uint32_t>(mixed & 0xfff);
            left = right;
            right = next;
        }
        index = left << 12 | right;
    } while (index >= kCombinations);
    return index;
}

// One combination in nine belongs to the test split, whatever the size: the splits never share an image.
bool is_test_combination(std::uint32_t combination) {
    return mix_bits(0x5eed0000u ^ combination) % 9 == 0;
}

// "sprites" or "sprites:N"; 0 when it is neither, -1 when N is bad.
std::int64_t sprite_count(const std::string& source) {
    if (source == "sprites")
        return kDefaultTrain;
    if (!source.starts_with("sprites:"))
        return 0;
    std::int64_t count = 0;
    const char* end = source.data() + source.size();
    const auto [at, code] = std::from_chars(source.data() + 8, end, count);
    return code == std::errc() && at == end && count >= 1 && count <= kMaxTrain ? count : -1;
}

} // namespace

bool accepts_sprites(const std::string& source) {
    return sprite_count(source) != 0;
}

Dataset load_sprites(const DatasetRequest& request) {
    const std::int64_t train = sprite_count(request.source);
    if (train < 0)
        fail(Status::usage, "'", request.source, "': N in sprites:N must be 1 to ", kMaxTrain);
    const bool is_test = request.split == "test";
    std::int64_t count = is_test ? std::max<std::int64_t>(1, train / kTrainPerTest) : train;
    if (request.limit > 0)
        count = std::min(count, request.limit); // their order is random already

    Dataset dataset;
    dataset.name = "sprites";
    dataset.count = count;
    dataset.height = dataset.width = kSide;
    dataset.channels = 3;
    dataset.class_names.assign(kShapeNames.begin(), kShapeNames.end());
    dataset.factor_names.assign(kFactorNames.begin(), kFactorNames.end());
    const std::size_t size = item_bytes(dataset);
    dataset.pixels.resize(static_cast<std::size_t>(count) * size);
    std::byte* out = dataset.pixels.data();
    for (std::uint32_t index = 0; static_cast<std::int64_t>(dataset.labels.size()) < count; ++index) {
        std::uint32_t combination = permute(index);
        if (is_test_combination(combination) != is_test)
            continue;
        Factors factors{};
        for (std::size_t i = 0; i < kFactors; combination /= kFactorSizes[i], ++i) {
            factors[i] = combination % kFactorSizes[i];
            dataset.factors.push_back(static_cast<float>(factors[i]));
        }
        dataset.labels.push_back(static_cast<std::uint8_t>(factors[shape]));
        draw(factors, out);
        out += size;
    }
    return dataset;
}

} // namespace vkvae
