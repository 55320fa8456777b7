// load_dataset: the table of sources, then what they have in common: size, channels, value checks, fingerprint.
#include "dataset/dataset.hpp"

#include "dataset/hash.hpp"
#include "dataset/image.hpp"
#include "dataset/sources.hpp"
#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>

namespace vkvae {

namespace fs = std::filesystem;

namespace {

struct Source {
    const char* description;
    bool (*accepts)(const std::string& source);
    Dataset (*load)(const DatasetRequest& request);
};

constexpr Source kSources[] = {
    {"'sprites' or 'sprites:N'", accepts_sprites, load_sprites},
    {"'genes', 'baskets' or 'sentences', perhaps with ':N'", accepts_tables, load_tables},
    {"a .npy file", accepts_npy, load_npy},
    {"a folder with MNIST-style IDX files", accepts_idx, load_idx},
    {"a folder of PNG or JPEG images", accepts_images, load_images},
};

void check_request(const DatasetRequest& request) {
    const auto check = [](bool ok, const std::string& message) {
        if (!ok)
            fail(Status::usage, message);
    };
    check(request.split == "train" || request.split == "test",
          concat_text("the split must be train or test, not '", request.split, "'"));
    check((request.height == 0) == (request.width == 0), "the model's height and width must be given together");
    check(request.height >= 0 && request.width >= 0 && request.channels >= 0, "the model's input size is negative");
    check(request.height <= kMaxDatasetSide && request.width <= kMaxDatasetSide && request.channels <= 4096,
          concat_text("the model's input of ", request.height, " x ", request.width, " x ", request.channels,
                      " is too large"));
    check(request.limit >= 0, concat_text("the limit of ", request.limit, " images is negative"));
}

const Source& find_source(const std::string& source) {
    for (const Source& candidate : kSources)
        if (candidate.accepts(source))
            return candidate;
    std::error_code ignored;
    if (!fs::exists(source_path(source), ignored))
        fail(Status::data, "there is no data set '", source, "': no such file or folder");
    std::string known;
    for (const Source& candidate : kSources)
        known += std::string(known.empty() ? "" : ", ") + candidate.description;
    fail(Status::data, "'", source, "' is not a data set we can read; it must be one of: ", known);
}

// Rows of D numbers become images when the request has D = H * W * C.
void shape_flat_rows(Dataset& dataset, const DatasetRequest& request) {
    if (request.height == 0)
        return;
    const int channels = std::max(1, request.channels);
    if (request.height == 1 && request.width == dataset.width && channels == 1)
        return;
    const std::int64_t wanted = std::int64_t{request.height} * request.width * channels;
    require_data(wanted == dataset.width, dataset.name, ": the model takes ", request.height, " x ", request.width,
                 " x ", channels, " = ", wanted, " values, the rows of the array have ", dataset.width);
    dataset.height = request.height;
    dataset.width = request.width;
    dataset.channels = channels;
    dataset.flat = request.height == 1 || request.integers; // else a picture, whose values are shades
}

// Bytes as the numbers that they are, not as shades.
void bytes_to_numbers(Dataset& dataset) {
    std::vector<std::byte> numbers(dataset.pixels.size() * sizeof(float));
    for (std::size_t i = 0; i < dataset.pixels.size(); ++i) {
        const float value = std::to_integer<int>(dataset.pixels[i]);
        std::memcpy(numbers.data() + i * sizeof(float), &value, sizeof(float));
    }
    dataset.pixels = std::move(numbers);
    dataset.type = PixelType::f32;
    dataset.flat = true;
}

void check_values(const Dataset& dataset) {
    if (dataset.type != PixelType::f32)
        return;
    const std::size_t size = item_bytes(dataset) / sizeof(float);
    const float* values = reinterpret_cast<const float*>(dataset.pixels.data());
    float least = INFINITY, most = -INFINITY;
    for (std::size_t i = 0; i < size * static_cast<std::size_t>(dataset.count); ++i) {
        require_data(std::isfinite(values[i]), dataset.name, ": sample ", i / size, " holds ", values[i],
                     " at position ", i % size, "; remove such samples or replace the value");
        least = std::min(least, values[i]);
        most = std::max(most, values[i]);
    }
    require_data(dataset.flat || (least >= 0 && most <= 1), dataset.name, ": pixels must be in [0,1], found ", least,
                 " to ", most, "; save them as uint8 0..255, or scaled: x / 255 for 0..255, (x + 1) / 2 for -1..1. ",
                 "For numbers that are no pictures save an array of shape (N, D)");
}

void convert_images(Dataset& dataset, const Extent& to) {
    const Extent from{dataset.height, dataset.width, dataset.channels};
    if (from == to)
        return;
    const std::size_t value = dataset.type == PixelType::u8 ? 1 : sizeof(float);
    std::uint64_t size = 0, total = 0;
    const bool fits =
        product_within({std::uint64_t(to.height), std::uint64_t(to.width), std::uint64_t(to.channels), value},
                       kMaxDatasetBytes, size) &&
        product_within({size, std::uint64_t(dataset.count)}, kMaxDatasetBytes, total);
    require_data(fits, dataset.name, ": ", dataset.count, " images of ", to.height, " x ", to.width, " x ", to.channels,
                 " are too many to hold in memory; set a limit or a smaller size");
    std::vector<std::byte> pixels(static_cast<std::size_t>(total));
    const std::byte* in = dataset.pixels.data();
    std::byte* out = pixels.data();
    const std::size_t step = item_bytes(dataset);
    for (std::int64_t i = 0; i < dataset.count; ++i, in += step, out += size)
        if (dataset.type == PixelType::u8)
            fit_pixels(reinterpret_cast<const std::uint8_t*>(in), from, reinterpret_cast<std::uint8_t*>(out), to);
        else
            fit_pixels(reinterpret_cast<const float*>(in), from, reinterpret_cast<float*>(out), to);
    dataset.pixels = std::move(pixels);
    dataset.height = to.height;
    dataset.width = to.width;
    dataset.channels = to.channels;
}

std::uint64_t fingerprint_of(const Dataset& dataset) {
    const std::int64_t shape[] = {dataset.count, dataset.height, dataset.width, dataset.channels,
                                  dataset.type == PixelType::u8 ? 1 : 4};
    return hash_bytes(dataset.pixels, hash_bytes(std::as_bytes(std::span(shape))));
}

} // namespace

fs::path source_path(std::string_view source) {
    return fs::path(std::u8string(source.begin(), source.end()));
}

std::size_t item_bytes(const Dataset& dataset) {
    return static_cast<std::size_t>(dataset.height) * static_cast<std::size_t>(dataset.width) *
           static_cast<std::size_t>(dataset.channels) * (dataset.type == PixelType::u8 ? 1 : sizeof(float));
}

std::vector<std::int64_t> choose_items(std::int64_t count, std::int64_t limit, std::uint64_t seed) {
    std::vector<std::int64_t> items(static_cast<std::size_t>(count));
    std::iota(items.begin(), items.end(), std::int64_t{0});
    if (limit == 0 || limit >= count)
        return items;
    // mix_bits is a bijection, so keys do not tie and the choice does not depend on the sorting algorithm.
    const std::uint64_t key = mix_bits(seed);
    const auto less = [key](std::int64_t a, std::int64_t b) {
        return mix_bits(key ^ static_cast<std::uint64_t>(a)) < mix_bits(key ^ static_cast<std::uint64_t>(b));
    };
    std::nth_element(items.begin(), items.begin() + limit, items.end(), less);
    items.resize(static_cast<std::size_t>(limit));
    std::sort(items.begin(), items.end());
    return items;
}

void keep_items(Dataset& dataset, std::span<const std::int64_t> items) {
    if (static_cast<std::int64_t>(items.size()) == dataset.count)
        return;
    const std::size_t size = item_bytes(dataset), factors = dataset.factor_names.size();
    for (std::size_t to = 0; to < items.size(); ++to) {
        const std::size_t from = static_cast<std::size_t>(items[to]); // >= to, so nothing needed is overwritten
        if (from == to)
            continue;
        std::copy_n(dataset.pixels.data() + from * size, size, dataset.pixels.data() + to * size);
        std::copy_n(dataset.factors.data() + from * factors, factors, dataset.factors.data() + to * factors);
        if (!dataset.labels.empty())
            dataset.labels[to] = dataset.labels[from];
    }
    dataset.count = static_cast<std::int64_t>(items.size());
    dataset.pixels.resize(items.size() * size);
    dataset.factors.resize(items.size() * factors);
    if (!dataset.labels.empty())
        dataset.labels.resize(items.size());
}

std::vector<bool> has_label(const Dataset& dataset, const std::vector<std::string>& labels) {
    require_data(dataset.labels.size() == static_cast<std::size_t>(dataset.count), dataset.name, " has no labels");
    std::array<bool, 256> wanted{};
    for (const std::string& label : labels) {
        const auto name = std::find(dataset.class_names.begin(), dataset.class_names.end(), label);
        std::int64_t number = name - dataset.class_names.begin();
        if (name == dataset.class_names.end()) {
            const char* end = label.data() + label.size();
            const auto [at, code] = std::from_chars(label.data(), end, number);
            if (code != std::errc() || at != end || number < 0 || number > 255)
                fail(Status::usage, dataset.name, " has no label '", label, "'");
        }
        wanted[static_cast<std::size_t>(number)] = true;
    }
    std::vector<bool> has;
    for (const std::uint8_t label : dataset.labels)
        has.push_back(wanted[label]);
    return has;
}

void drop_labels(Dataset& dataset, const std::vector<std::string>& labels) {
    const std::vector<bool> dropped = has_label(dataset, labels);
    std::vector<std::int64_t> kept;
    for (std::size_t i = 0; i < dropped.size(); ++i)
        if (!dropped[i])
            kept.push_back(static_cast<std::int64_t>(i));
    require_data(!kept.empty(), dataset.name, ": no sample is left without these labels");
    keep_items(dataset, kept);
}

namespace {

// The source's samples, of the labels asked for.
Dataset load_labelled(const DatasetRequest& request) {
    const Source& source = find_source(request.source);
    if (request.with_labels.empty() && request.without_labels.empty())
        return source.load(request);
    DatasetRequest unlimited = request;
    unlimited.limit = 0;
    Dataset dataset = source.load(unlimited);
    if (dataset.count == 0)
        return dataset;
    const std::vector<bool> in = has_label(dataset, request.with_labels),
                            out = has_label(dataset, request.without_labels);
    std::vector<std::int64_t> kept, chosen;
    for (std::int64_t i = 0; i < dataset.count; ++i)
        if ((request.with_labels.empty() || in[static_cast<std::size_t>(i)]) && !out[static_cast<std::size_t>(i)])
            kept.push_back(i);
    require_data(!kept.empty() || request.optional, dataset.name, ": no sample of the ", request.split,
                 " split has the labels asked for");
    for (const std::int64_t i : choose_items(static_cast<std::int64_t>(kept.size()), request.limit, request.seed))
        chosen.push_back(kept[static_cast<std::size_t>(i)]);
    keep_items(dataset, chosen);
    return dataset;
}

} // namespace

bool is_drawn(const std::string& source) {
    return accepts_sprites(source) || accepts_tables(source);
}

Dataset load_dataset(const DatasetRequest& request) {
    check_request(request);
    Dataset dataset = load_labelled(request);
    if (dataset.count == 0 && request.optional)
        return dataset;
    require_data(dataset.count > 0, dataset.name, ": the ", request.split, " split is empty");
    if (dataset.flat)
        shape_flat_rows(dataset, request);
    check_values(dataset);
    if (!dataset.flat)
        convert_images(dataset, {request.height > 0 ? request.height : dataset.height,
                                 request.width > 0 ? request.width : dataset.width,
                                 request.channels > 0 ? request.channels : dataset.channels});
    if (request.integers && dataset.type == PixelType::u8)
        bytes_to_numbers(dataset);
    dataset.fingerprint = fingerprint_of(dataset);
    return dataset;
}

} // namespace vkvae
