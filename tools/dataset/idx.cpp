// IDX, the files of MNIST: 0, 0, type (8 = u8), rank, rank big-endian u32 sizes, the data; often inside gzip.
#include "dataset/sources.hpp"
#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <zlib.h>

#include <algorithm>
#include <climits>

namespace vkvae {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMaxIdxFile = std::uint64_t{4} << 30;
constexpr std::uint64_t kDeflateRatio = 1032; // no deflate stream expands further (zlib's technical notes)
constexpr std::size_t kMaxRank = 4;

// Inflates exactly as many bytes as it is asked for.
struct GzipReader {
    std::span<const std::byte> file;
    const std::string& name;
    z_stream stream{};
    bool ended = false;

    GzipReader(std::span<const std::byte> gzip, const std::string& error_name) : file(gzip), name(error_name) {
        require(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK, name, ": zlib has no memory"); // 16: gzip, not zlib
    }
    GzipReader(const GzipReader&) = delete;
    GzipReader& operator=(const GzipReader&) = delete;
    ~GzipReader() { inflateEnd(&stream); }

    // One call of inflate with at most `size` bytes of room; returns how many it produced.
    std::size_t inflate_some(std::byte* out, std::size_t size) {
        constexpr std::size_t kChunk = std::size_t{1} << 30; // zlib counts in 32 bits
        const std::size_t room = std::min(size, kChunk), input = std::min(file.size(), kChunk);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(file.data())); // zlib does not write to it
        stream.avail_in = static_cast<uInt>(input);
        stream.next_out = reinterpret_cast<Bytef*>(out);
        stream.avail_out = static_cast<uInt>(room);
        const int code = inflate(&stream, Z_NO_FLUSH);
        ended = code == Z_STREAM_END;
        require_data(code == Z_OK || code == Z_BUF_ERROR || ended, name, ": damaged gzip data");
        const std::size_t produced = room - stream.avail_out, consumed = input - stream.avail_in;
        file = file.subspan(consumed);
        require_data(ended || produced > 0 || consumed > 0, name, ": truncated gzip data");
        return produced;
    }

    void read(std::span<std::byte> out) {
        while (!out.empty()) {
            require_data(!ended, name, ": truncated: the header claims more than the gzip data hold");
            out = out.subspan(inflate_some(out.data(), out.size()));
        }
    }

    // Runs to the trailer, whose checksum zlib verifies.
    void finish() {
        std::byte extra{};
        while (!ended)
            require_data(inflate_some(&extra, 1) == 0, name, ": more data than its header claims");
        require_data(file.empty(), name, ": ", file.size(), " bytes behind the gzip data");
    }
};

std::size_t idx_rank(std::span<const std::byte> magic, const std::string& name) {
    const auto at = [&](std::size_t i) { return std::to_integer<unsigned>(magic[i]); };
    require_data(at(0) == 0 && at(1) == 0, name, ": not an IDX file");
    require_data(at(2) == 8, name, ": IDX element type ", at(2), ", only 8 (unsigned bytes) is supported");
    require_data(at(3) >= 1 && at(3) <= kMaxRank, name, ": IDX array of ", at(3), " dimensions");
    return at(3);
}

// Reads the sizes; returns the bytes of data, at most `limit`.
std::size_t idx_shape(std::span<const std::byte> sizes, std::uint64_t limit, const std::string& name,
                      std::vector<std::int64_t>& shape) {
    for (std::size_t i = 0; i < sizes.size(); i += 4) {
        std::int64_t size = 0;
        for (std::size_t k = 0; k < 4; ++k)
            size = size << 8 | std::to_integer<std::int64_t>(sizes[i + k]);
        shape.push_back(size);
    }
    std::uint64_t total = 0;
    require_data(shape_bytes(1, shape, limit, total), name,
                 ": truncated: the header claims more data than the file can hold");
    return static_cast<std::size_t>(total);
}

IdxArray parse_gzip_idx(std::span<const std::byte> file, const std::string& name) {
    GzipReader reader(file, name);
    std::byte header[4 + 4 * kMaxRank] = {};
    reader.read(std::span(header, 4));
    const std::size_t rank = idx_rank(header, name);
    reader.read(std::span(header + 4, 4 * rank));
    IdxArray array;
    array.data.resize(idx_shape(std::span(header + 4, 4 * rank), kDeflateRatio * file.size(), name, array.shape));
    reader.read(array.data);
    reader.finish();
    return array;
}

// Both spellings in circulation, the raw file before the compressed one. Empty when there is none.
fs::path find_idx(const fs::path& folder, const std::string& split, const std::string& kind, int rank) {
    const std::vector<std::string> prefixes =
        split == "train" ? std::vector<std::string>{"train"} : std::vector<std::string>{"t10k", "test"};
    for (const std::string& prefix : prefixes)
        for (const char* dot : {"-", "."})
            for (const char* suffix : {"", ".gz"}) {
                const std::string name = prefix + "-" + kind + dot + "idx" + std::to_string(rank) + "-ubyte" + suffix;
                std::error_code ignored;
                if (fs::is_regular_file(folder / name, ignored))
                    return folder / name;
            }
    return {};
}

IdxArray read_idx(const fs::path& path) {
    return parse_idx(read_file(path, kMaxIdxFile), path_text(path));
}

} // namespace

IdxArray parse_idx(std::vector<std::byte> bytes, const std::string& name) {
    if (bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b})
        return parse_gzip_idx(bytes, name);
    require_data(bytes.size() >= 4, name, ": truncated: ", bytes.size(), " bytes are no IDX file");
    const std::size_t begin = 4 + 4 * idx_rank(bytes, name);
    require_data(bytes.size() >= begin, name, ": truncated IDX header");
    IdxArray array;
    const std::size_t size = idx_shape(std::span(bytes).subspan(4, begin - 4), bytes.size() - begin, name, array.shape);
    require_data(bytes.size() - begin == size, name, ": ", bytes.size() - begin - size,
                 " bytes more than its header claims");
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(begin));
    array.data = std::move(bytes);
    return array;
}

bool accepts_idx(const std::string& source) {
    const fs::path folder = source_path(source);
    return !find_idx(folder, "train", "images", 3).empty() || !find_idx(folder, "test", "images", 3).empty();
}

Dataset load_idx(const DatasetRequest& request) {
    const fs::path folder = source_path(request.source);
    const fs::path path = find_idx(folder, request.split, "images", 3);
    if (path.empty() && request.optional)
        return {};
    require_data(!path.empty(), path_text(folder), ": no ", request.split == "train" ? "train" : "t10k",
                 "-images-idx3-ubyte (or .gz) for the ", request.split, " split");
    IdxArray images = read_idx(path);
    require_data(images.shape.size() == 3, path_text(path), ": ", images.shape.size(),
                 " dimensions, images have 3 (count, height, width)");
    for (const std::size_t side : {std::size_t{1}, std::size_t{2}})
        require_data(images.shape[side] >= 1 && images.shape[side] <= kMaxDatasetSide, path_text(path), ": images of ",
                     images.shape[1], " x ", images.shape[2]);
    Dataset dataset;
    const fs::path absolute = fs::absolute(folder).lexically_normal();
    dataset.name = path_text(absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename());
    dataset.count = images.shape[0];
    dataset.height = static_cast<int>(images.shape[1]);
    dataset.width = static_cast<int>(images.shape[2]);
    dataset.channels = 1;
    dataset.pixels = std::move(images.data);

    const fs::path label_path = find_idx(folder, request.split, "labels", 1);
    if (!label_path.empty()) {
        const IdxArray labels = read_idx(label_path);
        require_data(labels.shape.size() == 1 && labels.shape[0] == dataset.count, path_text(label_path),
                     ": not one label for each of the ", dataset.count, " images");
        for (const std::byte label : labels.data)
            dataset.labels.push_back(std::to_integer<std::uint8_t>(label));
        const int classes =
            labels.data.empty() ? 0 : *std::max_element(dataset.labels.begin(), dataset.labels.end()) + 1;
        for (int i = 0; i < classes; ++i)
            dataset.class_names.push_back(std::to_string(i));
    }
    keep_items(dataset, choose_items(dataset.count, request.limit, request.seed));
    return dataset;
}

} // namespace vkvae
