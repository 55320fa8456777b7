// A .npy file as a data set: which axes are what, the split, and element types brought down to u8 and f32.
#include "dataset/npy.hpp"
#include "dataset/sources.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <cstring>

namespace vkvae {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMaxFlatWidth = std::int64_t{1} << 24;
constexpr std::int64_t kMaxChannels = 4096;

// (N, C, H, W) with `item` bytes a value becomes (N, H, W, C).
std::vector<std::byte> to_channels_last(const NpyArray& array, std::size_t item) {
    const std::size_t n = std::size_t(array.shape[0]), c = std::size_t(array.shape[1]);
    const std::size_t plane = std::size_t(array.shape[2]) * std::size_t(array.shape[3]);
    std::vector<std::byte> out(array.data.size());
    const std::byte* in = array.data.data();
    for (std::size_t sample = 0; sample < n; ++sample)
        for (std::size_t channel = 0; channel < c; ++channel)
            for (std::size_t i = 0; i < plane; ++i, in += item)
                std::memcpy(out.data() + ((sample * plane + i) * c + channel) * item, in, item);
    return out;
}

// u8 and f32 stay; bool becomes 0 and 255; f64 becomes f32. Done last, on the chosen samples only.
void narrow_values(Dataset& dataset, NpyType type, const std::string& file) {
    if (type == NpyType::boolean)
        for (std::byte& value : dataset.pixels)
            value = value == std::byte{0} ? std::byte{0} : std::byte{255};
    if (type != NpyType::u8 || dataset.flat)
        return;
    // The classic mistake: a 0/1 mask saved as uint8 would train on almost black images.
    const auto brightest = std::max_element(dataset.pixels.begin(), dataset.pixels.end());
    require_data(brightest == dataset.pixels.end() || *brightest != std::byte{1}, file,
                 ": all pixels are 0 or 1 although uint8 pixels go to 255; save x * 255, or x as bool or float32");
}

std::size_t values_of(const NpyArray& array) {
    std::size_t count = 1;
    for (const std::int64_t size : array.shape)
        count *= static_cast<std::size_t>(size);
    return count;
}

std::vector<std::byte> as_floats(NpyArray array, const std::string& file) {
    const std::vector<float> values = npy_to_f32(array, file);
    array.data = {};
    const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
    return {bytes.begin(), bytes.end()};
}

void set_shape(Dataset& dataset, NpyArray& array, const std::string& file) {
    const std::vector<std::int64_t>& shape = array.shape;
    require_data(shape.size() >= 2 && shape.size() <= 4, file, ": ", shape.size(),
                 " dimensions; a data set is (N, H, W), (N, H, W, C), (N, C, H, W) or (N, D)");
    const auto is_picture = [](std::int64_t channels) { return channels == 1 || channels == 3 || channels == 4; };
    const std::size_t item = dataset.type == PixelType::u8 ? 1 : sizeof(float);
    std::int64_t h = 1, w = shape[1], c = 1;
    std::int64_t max_width = kMaxFlatWidth;
    if (shape.size() >= 3) {
        h = shape[1], w = shape[2], max_width = kMaxDatasetSide;
        if (shape.size() == 4)
            c = shape[3];
        if (shape.size() == 4 && !is_picture(shape[3]) && is_picture(shape[1])) {
            c = shape[1], h = shape[2], w = shape[3];
            array.data = to_channels_last(array, item);
        }
    }
    require_data(h >= 1 && h <= kMaxDatasetSide && w >= 1 && w <= max_width && c >= 1 && c <= kMaxChannels, file,
                 ": samples of ", h, " x ", w, " x ", c, " values are empty or too large");
    dataset.flat = shape.size() == 2;
    dataset.count = shape[0];
    dataset.height = static_cast<int>(h);
    dataset.width = static_cast<int>(w);
    dataset.channels = static_cast<int>(c);
    dataset.pixels = std::move(array.data);
}

} // namespace

bool accepts_npy(const std::string& source) {
    std::error_code ignored;
    const fs::path path = source_path(source);
    return fs::is_regular_file(path, ignored) && path.extension() == ".npy";
}

Dataset load_npy(const DatasetRequest& request) {
    const fs::path path = source_path(request.source);
    fs::path test_path = path.parent_path() / path.stem();
    test_path += "_test.npy";
    std::error_code ignored;
    const bool has_test_file = fs::is_regular_file(test_path, ignored);
    const bool is_test = request.split == "test";
    const fs::path used = is_test && has_test_file ? test_path : path;
    const std::string file = path_text(used);

    NpyArray array = read_npy(used);
    const NpyType type = array.type;
    require_data(request.integers || type <= NpyType::f64, file, ": such integers are counts or tokens, for models with a ",
                 "likelihood of those; for pictures save x.astype('uint8') for 0..255 or x.astype('float32') for 0..1");
    if (request.integers && array.shape.size() > 2) // (N, ...) in the model's order: rows
        array.shape = {array.shape[0], array.data.empty() ? 1 : std::int64_t(values_of(array)) / array.shape[0]};
    if (type == NpyType::f64 || (request.integers && type != NpyType::f32)) {
        const std::vector<std::int64_t> shape = array.shape;
        array = {.type = NpyType::f32, .shape = shape, .data = as_floats(std::move(array), file)};
    }
    Dataset dataset;
    dataset.name = path_text(path.stem());
    dataset.type = array.type == NpyType::f32 ? PixelType::f32 : PixelType::u8;
    set_shape(dataset, array, file);

    std::int64_t begin = 0, end = dataset.count;
    if (!has_test_file) { // the last tenth, and at least one sample where there are two
        const std::int64_t train =
            dataset.count - std::max<std::int64_t>(dataset.count / 10, dataset.count >= 2 ? 1 : 0);
        (is_test ? begin : end) = train;
    }
    std::vector<std::int64_t> items = choose_items(end - begin, request.limit, request.seed);
    for (std::int64_t& item : items)
        item += begin;
    keep_items(dataset, items);
    if (!request.integers)
        narrow_values(dataset, type, file);
    return dataset;
}

} // namespace vkvae
