// Data sets: whatever the user points at, turned into one array of images of one size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vkvae {

enum class PixelType { u8, f32 };

struct Dataset {
    std::string name;       // "sprites" or the last part of the path
    std::int64_t count = 0; // N
    int height = 0, width = 0, channels = 0;
    bool flat = false; // numbers that are no pictures: any finite values. Of rows of D as such height 1, width D, channels 1
    PixelType type = PixelType::u8;
    std::vector<std::byte> pixels;        // (N, H, W, C), u8 0..255 or f32 in [0,1]
    std::vector<std::uint8_t> labels;     // (N), or empty
    std::vector<std::string> class_names; // indexed by labels, or empty
    std::vector<float> factors;           // (N, factor_names.size()), indices 0, 1, ...; or empty
    std::vector<std::string> factor_names;
    std::uint64_t fingerprint = 0;    // XXH64 of shape, type and pixels
    std::vector<std::string> skipped; // bad files, each with its reason
};

struct DatasetRequest {
    std::string source;                      // see load_dataset
    std::string split = "train";             // or "test"
    int height = 0, width = 0, channels = 0; // the model's input; 0: the data's own (height and width go together)
    std::int64_t limit = 0;                  // keep this many, chosen by the seed, in their order; 0: all
    std::uint64_t seed = 0;
    // Labels by name or number: only samples of these if there are any, and none of those. The limit counts what is
    // left.
    std::vector<std::string> with_labels, without_labels;
    bool optional = false; // a split that is not there gives a data set of no samples, not an error
    bool integers = false; // counts or tokens: f32 numbers as they are in the source, of any .npy type; nothing is scaled
};

// Sources, first match wins:
//   sprites, sprites:N  drawn by us: 64 x 64 x 3, labels, six known factors; N train (default 32768), N/8 test
//   genes, baskets, sentences, each perhaps with :N  small tables drawn by us, counts and tokens; N train (default 4096),
//                       N/8 test
//   FILE.npy            u8, bool, f32 or f64: (N, H, W), (N, H, W, C), (N, C, H, W), or flat (N, D). The test split is
//                       FILE_test.npy where it exists, else the last tenth. As integers: any type, (N, ...)
//   FOLDER with IDX     train-images-idx3-ubyte, t10k-images-idx3-ubyte and their labels, each perhaps with .gz
//   FOLDER of images    PNG and JPEG at any depth, sorted by path bytes; the first folder is the class. The test split
//                       is train/ and test/ where both exist, else every tenth by a hash of the relative path
// Images of another size or channel count than requested are cropped, resampled and converted (see fit_pixels).
// Flat rows of H*W*C values become (H, W, C) images when the request says so, or signals if H is 1. Bad image files are skipped and listed;
// more than 1 % of them (and more than one) is an error. The result depends on nothing but the data and the request.
// Memory: the data set once, and a file of it once more while loading.
// Error(usage) for a bad request, Error(data) for bad data, with what to do about it.
Dataset load_dataset(const DatasetRequest& request);

// Whether each sample has one of these labels. Error(usage) for words that name none, Error(data) without labels.
std::vector<bool> has_label(const Dataset& dataset, const std::vector<std::string>& labels);

// Removes the samples that have one of these labels, in place; the fingerprint stays. Errors as above, and Error(data)
// if none is left.
void drop_labels(Dataset& dataset, const std::vector<std::string>& labels);

// Whether a source is drawn, and no file or folder.
bool is_drawn(const std::string& source);

inline constexpr std::uint64_t kMaxDatasetBytes = std::uint64_t{1} << 36;
inline constexpr int kMaxDatasetSide = 8192;

} // namespace vkvae
