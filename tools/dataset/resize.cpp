// Resampling with integer weights, so that pixels come out the same on every machine.
// Along an axis of n inputs and m outputs: m <= n, output o averages inputs over [o n/m, (o+1) n/m); else it
// interpolates linearly at (o + 1/2) n/m - 1/2, clamped to the edge pixels.
#include "dataset/image.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <type_traits>

namespace vkvae {

namespace {

struct Tap {
    int first = 0, count = 0; // input pixels
    std::size_t weights = 0;  // index of the first one's weight
};

struct Axis {
    std::int64_t total = 1; // every tap's weights sum to this
    std::vector<Tap> taps;  // one per output
    std::vector<std::int64_t> weights;
};

// Inputs offset .. offset + n - 1.
Axis make_axis(std::int64_t n, std::int64_t m, int offset) {
    Axis axis;
    axis.total = m <= n ? n : 2 * m;
    axis.taps.reserve(static_cast<std::size_t>(m));
    for (std::int64_t o = 0; o < m; ++o) {
        Tap tap{.first = offset, .count = 0, .weights = axis.weights.size()};
        if (m <= n) { // in units of 1/m of an input pixel
            const std::int64_t begin = o * n, end = begin + n;
            tap.first += static_cast<int>(begin / m);
            for (std::int64_t i = begin / m; i * m < end; ++i)
                axis.weights.push_back(std::min(end, (i + 1) * m) - std::max(begin, i * m));
        } else { // in units of 1/(2m)
            const std::int64_t at = std::clamp<std::int64_t>((2 * o + 1) * n - m, 0, (n - 1) * 2 * m);
            const std::int64_t i = at / (2 * m), fraction = at % (2 * m);
            tap.first += static_cast<int>(i);
            axis.weights.push_back(2 * m - fraction);
            if (fraction > 0)
                axis.weights.push_back(fraction);
        }
        tap.count = static_cast<int>(axis.weights.size() - tap.weights);
        axis.taps.push_back(tap);
    }
    return axis;
}

std::uint8_t divide(std::int64_t sum, std::int64_t total, std::uint8_t) {
    return static_cast<std::uint8_t>((sum + total / 2) / total);
}
float divide(double sum, std::int64_t total, float) {
    return static_cast<float>(sum / static_cast<double>(total));
}

// Sum is wide enough to be exact for u8 (2^8 * 2^15 * 2^15) and never rounds a weighted mean of values <= 1 above 1.
template <class Pixel, class Sum> struct Resampler {
    Axis x, y;
    std::size_t row_pitch; // input elements a row
    std::size_t channels;
    std::vector<Sum> rows[2]; // horizontally resampled input rows, by parity
    int cached[2] = {-1, -1};

    const std::vector<Sum>& row(const Pixel* in, int index) {
        const std::size_t slot = static_cast<std::size_t>(index & 1);
        if (cached[slot] == index)
            return rows[slot];
        cached[slot] = index;
        std::vector<Sum>& out = rows[slot];
        out.assign(x.taps.size() * channels, Sum{0});
        const Pixel* line = in + static_cast<std::size_t>(index) * row_pitch;
        for (std::size_t o = 0; o < x.taps.size(); ++o) {
            const Tap& tap = x.taps[o];
            const Pixel* pixel = line + static_cast<std::size_t>(tap.first) * channels;
            for (std::size_t k = 0; k < static_cast<std::size_t>(tap.count); ++k)
                for (std::size_t c = 0; c < channels; ++c)
                    out[o * channels + c] += static_cast<Sum>(x.weights[tap.weights + k]) * static_cast<Sum>(*pixel++);
        }
        return out;
    }

    void run(const Pixel* in, Pixel* out) {
        const std::size_t width = x.taps.size() * channels;
        std::vector<Sum> sums(width);
        for (const Tap& tap : y.taps) {
            std::fill(sums.begin(), sums.end(), Sum{0});
            for (int k = 0; k < tap.count; ++k) {
                const std::vector<Sum>& line = row(in, tap.first + k);
                const Sum weight = static_cast<Sum>(y.weights[tap.weights + static_cast<std::size_t>(k)]);
                for (std::size_t i = 0; i < width; ++i)
                    sums[i] += weight * line[i];
            }
            for (std::size_t i = 0; i < width; ++i)
                *out++ = divide(sums[i], x.total * y.total, Pixel{});
        }
    }
};

// The largest centred rectangle with the aspect of `to`.
Extent crop_extent(const Extent& from, const Extent& to) {
    const std::int64_t h = from.height, w = from.width, th = to.height, tw = to.width;
    if (w * th > h * tw)
        return {from.height, static_cast<int>(std::max<std::int64_t>(1, (2 * h * tw + th) / (2 * th))), from.channels};
    return {static_cast<int>(std::max<std::int64_t>(1, (2 * w * th + tw) / (2 * tw))), from.width, from.channels};
}

std::uint8_t scale(std::uint8_t value, std::uint8_t alpha) {
    return static_cast<std::uint8_t>((value * alpha + 127) / 255);
}
float scale(float value, float alpha) {
    return value * alpha;
}

// Rec. 601.
std::uint8_t luma(std::uint8_t r, std::uint8_t g, std::uint8_t b) {
    return static_cast<std::uint8_t>((299 * r + 587 * g + 114 * b + 500) / 1000);
}
float luma(float r, float g, float b) {
    return std::min(1.0f, 0.299f * r + 0.587f * g + 0.114f * b);
}

template <class Pixel> void convert_channels(const Pixel* in, std::size_t pixels, int from, Pixel* out, int to) {
    const Pixel opaque = std::is_same_v<Pixel, float> ? Pixel(1) : Pixel(255);
    for (std::size_t i = 0; i < pixels; ++i, in += from, out += to) {
        Pixel rgb[3] = {in[0], from == 1 ? in[0] : in[1], from == 1 ? in[0] : in[2]};
        if (from == 4)
            for (Pixel& value : rgb)
                value = scale(value, in[3]);
        if (to == 1) {
            out[0] = from == 1 ? in[0] : luma(rgb[0], rgb[1], rgb[2]);
            continue;
        }
        std::copy(rgb, rgb + 3, out);
        if (to == 4)
            out[3] = opaque;
    }
}

template <class Pixel, class Sum> void fit(const Pixel* in, const Extent& from, Pixel* out, const Extent& to) {
    const auto is_picture = [](int channels) { return channels == 1 || channels == 3 || channels == 4; };
    if (from.channels != to.channels && !(is_picture(from.channels) && is_picture(to.channels)))
        fail(Status::usage, "cannot turn images of ", from.channels, " channels into ", to.channels);
    const std::size_t pixels = static_cast<std::size_t>(from.height) * static_cast<std::size_t>(from.width);
    std::vector<Pixel> converted;
    if (from.channels != to.channels) {
        if (from.height == to.height && from.width == to.width)
            return convert_channels(in, pixels, from.channels, out, to.channels);
        converted.resize(pixels * static_cast<std::size_t>(to.channels));
        convert_channels(in, pixels, from.channels, converted.data(), to.channels);
        in = converted.data();
    }
    const Extent crop = crop_extent(from, to);
    const std::size_t channels = static_cast<std::size_t>(to.channels);
    Resampler<Pixel, Sum> resampler{.x = make_axis(crop.width, to.width, (from.width - crop.width) / 2),
                                    .y = make_axis(crop.height, to.height, (from.height - crop.height) / 2),
                                    .row_pitch = static_cast<std::size_t>(from.width) * channels,
                                    .channels = channels,
                                    .rows = {}};
    resampler.run(in, out);
}

} // namespace

void fit_pixels(const std::uint8_t* in, const Extent& from, std::uint8_t* out, const Extent& to) {
    fit<std::uint8_t, std::int64_t>(in, from, out, to);
}

void fit_pixels(const float* in, const Extent& from, float* out, const Extent& to) {
    fit<float, double>(in, from, out, to);
}

} // namespace vkvae
