// Bits back with ANS: the grid of the latents, the pixel model, and both directions.
#include "latent/bits_back.hpp"

#include <algorithm>
#include <cmath>

#include "latent/exact.hpp"
#include "ops/philox.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

constexpr int kCellBits = 12; // of z; finer cells cost more to begin with, coarser ones distort narrow posteriors
constexpr int64_t kCells = int64_t(1) << kCellBits;
constexpr int kScales = 20;
constexpr double kUniform = 1.0 / 256; // of the logistic's share: nothing is impossible

// ---- pixels ---------------------------------------------------------------------------------------------------------

// The logistic on bytes 0..255 around m, the ends with the tails.
std::vector<double> byte_logistic(int m, int scale) {
    double s = std::ldexp(scale % 2 ? 1.4142135623730951 : 1.0, scale / 2 - 3);
    std::vector<double> p(256);
    double below = 0;
    for (int x = 0; x < 256; x++) {
        double above = x == 255 ? 1 : logistic_cdf((x + 0.5 - m) / s);
        p[size_t(x)] = (1 - kUniform) * (above - below) + kUniform / 256;
        below = above;
    }
    return p;
}

// What was seen of one class of means: for each byte of the mean, how often each byte of the image.
struct Seen {
    std::vector<int> means;
    std::vector<std::vector<uint32_t>> counts;
};

// Where a class ends: 2^-11, 1.5 2^-11, 2^-10, ... 1.5 2^-2, 1/2, exact in floats; the upper half mirrors the lower.
constexpr auto kClassEnds = [] {
    std::array<double, kMeanClasses / 2> ends{};
    for (size_t level = 0; level < ends.size(); level++)
        ends[level] = level == 0 ? 0x1p-11 : level % 2 ? ends[level - 1] * 1.5 : ends[level - 1] / 1.5 * 2;
    return ends;
}();

double class_centre(size_t group) {
    bool upper = group >= kMeanClasses / 2;
    size_t level = upper ? kMeanClasses - 1 - group : group;
    double centre = 0.5 * ((level > 0 ? kClassEnds[level - 1] : 0) + kClassEnds[level]);
    return upper ? 1 - centre : centre;
}

// What is expected of a class before anything is seen of it: a share of the pixels black or white, as among all pixels,
// and such that their mean is the class's. It counts as much as one pixel seen.
struct Expected {
    double zero = 0, full = 0;
};

// EM for the weights at one scale; returns the log likelihood.
double fit_weights(const Seen& seen, const Expected& expected, int scale, double& zero, double& full) {
    zero = full = 1.0 / 3;
    std::vector<std::vector<double>> p;
    for (int m : seen.means)
        p.push_back(byte_logistic(m, scale));
    double sum = 0;
    constexpr int kIterations = 30;
    for (int iteration = 0; iteration < kIterations; iteration++) {
        double total = 0, zeros = 0, fulls = 0;
        sum = 0;
        for (size_t i = 0; i < p.size(); i++)
            for (size_t x = 0; x < 256; x++) {
                double count = seen.counts[i][x], spike = x == 0 ? zero : x == 255 ? full : 0;
                if (count == 0)
                    continue;
                double all = spike + (1 - zero - full) * p[i][x];
                total += count;
                sum += count * std::log(all);
                (x == 0 ? zeros : fulls) += count * spike / all; // a spike of 0 adds nothing
            }
        zero = (zeros + expected.zero) / (total + 1);
        full = (fulls + expected.full) / (total + 1);
    }
    return sum;
}

PixelModel::Row rounded_row(double zero, double full, int scale) {
    PixelModel::Row row;
    row.zero = uint16_t(std::min(65535.0, std::floor(zero * 65536 + 0.5)));
    row.full = uint16_t(std::min(65535.0 - row.zero, std::floor(full * 65536 + 0.5)));
    row.scale = uint16_t(scale);
    return row;
}

// A class of which nothing was seen takes the scale of `neighbour`: coding draws other latents than fitting did.
PixelModel::Row fit_row(const Seen& seen, const Expected& expected, const PixelModel::Row& neighbour) {
    if (seen.means.empty())
        return rounded_row(expected.zero, expected.full, neighbour.scale);
    PixelModel::Row best;
    double most = -INFINITY;
    for (int scale = 0; scale < kScales; scale++) {
        double zero = 0, full = 0, sum = fit_weights(seen, expected, scale, zero, full);
        if (sum <= most)
            continue;
        most = sum;
        best = rounded_row(zero, full, scale);
    }
    return best;
}

int mean_byte(float mean) {
    return int(std::floor(std::clamp(mean, 0.0f, 1.0f) * 255.0f + 0.5f));
}

// Tables as they are needed: a class has few bytes of mean.
struct PixelTables {
    const PixelModel& model;
    std::vector<FrequencyTable> tables = std::vector<FrequencyTable>(kMeanClasses * 256);

    const FrequencyTable& of(float mean) {
        size_t group = mean_class(mean);
        int m = mean_byte(mean);
        FrequencyTable& table = tables[group * 256 + size_t(m)];
        if (table.starts.empty())
            table = pixel_table(model, group, m);
        return table;
    }
};

void check_finite(std::span<const float> values, const char* what) {
    require(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }), what,
            " of the model is not finite for these images");
}

// ---- latents --------------------------------------------------------------------------------------------------------

struct Cells {
    std::vector<double> edges, centres; // (kCells + 1), (kCells)
    Cells() {
        edges.push_back(-INFINITY);
        for (int64_t k = 0; k < kCells; k++) {
            centres.push_back(normal_quantile((double(k) + 0.5) / double(kCells)));
            edges.push_back(k + 1 < kCells ? normal_quantile(double(k + 1) / double(kCells)) : INFINITY);
        }
    }
};

// The cells' shares of N(mu, sigma^2), cumulated: start(k) .. start(k + 1) of 2^kAnsBits.
struct PosteriorCells {
    const Cells& cells;
    double mu, sigma;

    uint32_t start(int64_t k) const {
        double rest = double((int64_t(1) << kAnsBits) - kCells);
        double cdf = k == 0 ? 0 : k == kCells ? 1 : normal_cdf((cells.edges[size_t(k)] - mu) / sigma);
        return uint32_t(std::floor(rest * cdf + 0.5)) + uint32_t(k);
    }
    int64_t pop(AnsStack& stack) const {
        uint32_t top = stack.top(kAnsBits);
        int64_t low = 0, high = kCells; // start(low) <= top < start(high)
        while (high - low > 1) {
            int64_t middle = (low + high) / 2;
            (start(middle) <= top ? low : high) = middle;
        }
        stack.pop(start(low), start(low + 1) - start(low), kAnsBits);
        return low;
    }
    void push(AnsStack& stack, int64_t k) const { stack.push(start(k), start(k + 1) - start(k), kAnsBits); }
};

struct Coder {
    const BitsBackNet& net;
    Cells cells;
    std::vector<float> mu, logvar;

    // Of images [first, first + count), bytes (n, pixels).
    void encode(std::span<const uint8_t> images, int64_t first, int64_t count) {
        std::vector<float> x(size_t(net.batch * net.pixels), 0.0f);
        for (int64_t i = 0; i < count * net.pixels; i++)
            x[size_t(i)] = float(images[size_t(first * net.pixels + i)]) / 255.0f;
        net.encode(x, mu, logvar);
        check_finite(mu, "The posterior mean");
        check_finite(logvar, "The posterior variance");
    }
    PosteriorCells posterior(int64_t i) const {
        double half = 0.5 * std::clamp(double(logvar[size_t(i)]), -40.0, 40.0);
        return {cells, double(mu[size_t(i)]), exact_exp(half)};
    }
    // Latents as coding will find them, for fitting.
    std::vector<float> draw(int64_t first) const {
        std::vector<float> z = mu;
        for (size_t i = 0; i < z.size(); i++)
            z[i] += std::exp(0.5f * std::clamp(logvar[i], -40.0f, 40.0f)) *
                    random_normal(0, Stream::sample, 0, uint32_t(first), uint32_t(i));
        return z;
    }
    std::vector<float> means(std::span<const int64_t> z) const {
        std::vector<float> points(size_t(net.batch * net.latent), 0.0f);
        for (size_t i = 0; i < z.size(); i++)
            points[i] = float(cells.centres[size_t(z[i])]);
        std::vector<float> result = net.decode(points);
        check_finite(result, "The mean");
        return result;
    }
};

PixelModel fit_pixels(Coder& coder, std::span<const uint8_t> images, int64_t n) {
    const BitsBackNet& net = coder.net;
    std::vector<Seen> seen(kMeanClasses);
    std::vector<int> places(kMeanClasses * 256, -1);
    for (int64_t first = 0; first < n; first += net.batch) {
        int64_t count = std::min(net.batch, n - first);
        coder.encode(images, first, count);
        std::vector<float> means = net.decode(coder.draw(first));
        check_finite(means, "The mean");
        for (int64_t i = 0; i < count * net.pixels; i++) {
            size_t group = mean_class(means[size_t(i)]);
            int m = mean_byte(means[size_t(i)]);
            int& place = places[group * 256 + size_t(m)];
            if (place < 0) {
                place = int(seen[group].means.size());
                seen[group].means.push_back(m);
                seen[group].counts.emplace_back(256, 0u);
            }
            seen[group].counts[size_t(place)][images[size_t(first * net.pixels + i)]]++;
        }
    }
    double spikes = double(std::count_if(images.begin(), images.end(), [](uint8_t x) { return x == 0 || x == 255; }));
    double share = spikes / double(images.size());
    PixelModel model;
    PixelModel::Row neighbour{0, 0, kScales / 2};
    for (size_t group = 0; group < kMeanClasses; group++) {
        double centre = class_centre(group);
        neighbour = model.rows[group] = fit_row(seen[group], {share * (1 - centre), share * centre}, neighbour);
    }
    return model;
}

} // namespace

size_t mean_class(float mean) {
    float m = std::clamp(mean, 0.0f, 1.0f);
    bool upper = m >= 0.5f;
    double rest = upper ? 1 - m : m; // exact
    size_t level = 0;
    while (level < kMeanClasses / 2 - 1 && rest >= kClassEnds[level])
        level++;
    return upper ? kMeanClasses - 1 - level : level;
}

FrequencyTable pixel_table(const PixelModel& model, size_t group, int m) {
    const PixelModel::Row& row = model.rows[group];
    std::vector<double> p = byte_logistic(m, row.scale);
    double zero = row.zero / 65536.0, full = row.full / 65536.0;
    for (double& value : p)
        value *= 1 - zero - full;
    p[0] += zero;
    p[255] += full;
    return make_table(p);
}

BitsBackCode bits_back_encode(const BitsBackNet& net, std::span<const uint8_t> images) {
    require(net.pixels > 0 && net.latent > 0 && net.batch > 0 && images.size() % size_t(net.pixels) == 0, images.size(),
            " bytes are no images of ", net.pixels);
    int64_t n = int64_t(images.size()) / net.pixels;
    Coder coder{net, {}, {}, {}};
    BitsBackCode code;
    code.pixel_model = fit_pixels(coder, images, n);
    PixelTables tables{code.pixel_model};
    AnsStack stack = AnsStack::with_random_bits(0);
    for (int64_t first = 0; first < n; first += net.batch) {
        int64_t count = std::min(net.batch, n - first);
        coder.encode(images, first, count);
        std::vector<int64_t> z;
        for (int64_t i = 0; i < count * net.latent; i++)
            z.push_back(coder.posterior(i).pop(stack));
        std::vector<float> means = coder.means(z);
        for (int64_t i = 0; i < count * net.pixels; i++)
            push_symbol(stack, tables.of(means[size_t(i)]), images[size_t(first * net.pixels + i)]);
        for (int64_t k : z)
            stack.push(uint32_t(k), 1, kCellBits);
    }
    code.words = stack.words();
    code.invented_bits = stack.invented_bits();
    return code;
}

std::vector<uint8_t> bits_back_decode(const BitsBackNet& net, const PixelModel& pixel_model,
                                      std::vector<uint32_t> words, int64_t count, const std::string& name) {
    Coder coder{net, {}, {}, {}};
    PixelTables tables{pixel_model};
    AnsStack stack(std::move(words), name);
    std::vector<uint8_t> images(size_t(count * net.pixels));
    for (int64_t first = (count - 1) / net.batch * net.batch; first >= 0; first -= net.batch) {
        int64_t here = std::min(net.batch, count - first);
        std::vector<int64_t> z(size_t(here * net.latent));
        for (size_t i = z.size(); i-- > 0;) {
            z[i] = stack.top(kCellBits);
            stack.pop(uint32_t(z[i]), 1, kCellBits);
        }
        std::vector<float> means = coder.means(z);
        for (int64_t i = here * net.pixels; i-- > 0;)
            images[size_t(first * net.pixels + i)] = uint8_t(pop_symbol(stack, tables.of(means[size_t(i)])));
        coder.encode(images, first, here);
        for (int64_t i = here * net.latent; i-- > 0;)
            coder.posterior(i).push(stack, z[size_t(i)]);
    }
    return images;
}

std::vector<uint8_t> to_bytes(const PixelModel& model) {
    std::vector<uint8_t> bytes;
    for (const PixelModel::Row& row : model.rows)
        for (uint16_t value : {row.zero, row.full, row.scale}) {
            bytes.push_back(uint8_t(value & 255));
            bytes.push_back(uint8_t(value >> 8));
        }
    return bytes;
}

PixelModel pixel_model_from(std::span<const uint8_t> bytes, const std::string& name) {
    require_data(bytes.size() == kMeanClasses * 6, name, ": ", bytes.size(), " bytes are no model of pixels");
    PixelModel model;
    size_t at = 0;
    for (PixelModel::Row& row : model.rows) {
        for (uint16_t* value : {&row.zero, &row.full, &row.scale}) {
            *value = uint16_t(bytes[at] | bytes[at + 1] << 8);
            at += 2;
        }
        require_data(row.zero + row.full < 65536 && row.scale < kScales, name, ": the model of pixels is damaged");
    }
    return model;
}

} // namespace vkvae
