// safetensors writer, element types and conversion to f32.
#include "io/float16.hpp"
#include "io/checked.hpp"
#include "io/file.hpp"
#include "io/safetensors.hpp"
#include "vkvae/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace vkvae {

namespace {

using Json = nlohmann::json;

struct Dtype {
    std::string_view name;
    std::size_t bytes;
};

constexpr Dtype kDtypes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
    {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8},
};

std::string hex8(std::uint32_t value) {
    std::string text(8, '0');
    for (std::size_t i = 8; i-- > 0; value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    return text;
}

void check_entry(const TensorEntry& tensor) {
    require(safetensors_name_ok(tensor.name) && tensor.name != "__metadata__", "safetensors: '", tensor.name,
            "' cannot be a tensor's name");
    const std::size_t item = dtype_bytes(tensor.dtype);
    require(item != 0, "safetensors: tensor '", tensor.name, "' has the unknown dtype '", tensor.dtype, "'");
    require(tensor.shape.size() <= kMaxSafetensorsRank, "safetensors: tensor '", tensor.name, "' has ",
            tensor.shape.size(), " dimensions, the limit is ", kMaxSafetensorsRank);
    std::uint64_t size = 0;
    require(shape_bytes(item, tensor.shape, kMaxSafetensorsBytes, size), "safetensors: tensor '", tensor.name,
            "' has a negative dimension or is too large");
    require(tensor.data.size() == size, "safetensors: tensor '", tensor.name, "' needs ", size,
            " bytes by its shape and dtype, but has ", tensor.data.size());
}

// By element size, largest first, then by name: every tensor starts at a multiple of its element size.
std::vector<const TensorEntry*> file_order(std::span<const TensorEntry> tensors) {
    std::vector<const TensorEntry*> order;
    for (const TensorEntry& tensor : tensors)
        order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
        const std::size_t size_a = dtype_bytes(a->dtype), size_b = dtype_bytes(b->dtype);
        return size_a != size_b ? size_a > size_b : a->name < b->name;
    });
    return order;
}

std::string make_header(const std::map<std::string, std::string>& metadata,
                        const std::vector<const TensorEntry*>& order) {
    Json header = Json::object(); // a std::map: sorted by name
    Json checksums = Json::object();
    std::uint64_t at = 0;
    for (const TensorEntry* tensor : order) {
        const std::uint64_t end = at + tensor->data.size();
        Json entry = {{"dtype", tensor->dtype}, {"shape", tensor->shape}, {"data_offsets", {at, end}}};
        require(header.emplace(tensor->name, std::move(entry)).second, "safetensors: two tensors are named '",
                tensor->name, "'");
        checksums[tensor->name] = hex8(crc32c(tensor->data));
        at = end;
    }
    std::uint64_t metadata_bytes = 0;
    Json described = Json::object();
    for (const auto& [key, value] : metadata) {
        require(key != kSafetensorsChecksums, "safetensors: the metadata '", key, "' is the writer's own");
        metadata_bytes += key.size() + value.size();
        described[key] = value;
    }
    require(metadata_bytes <= kMaxSafetensorsMetadata, "safetensors: ", metadata_bytes,
            " bytes of metadata, the limit is ", kMaxSafetensorsMetadata);
    std::string text;
    try {
        described[std::string(kSafetensorsChecksums)] = checksums.dump();
        header["__metadata__"] = std::move(described);
        text = header.dump();
    } catch (const Json::exception&) {
        fail(Status::runtime, "safetensors: the metadata are not UTF-8");
    }
    text.resize((text.size() + 7) / 8 * 8, ' '); // data start at a multiple of 8
    require(text.size() <= kMaxSafetensorsHeader, "safetensors: the header would have ", text.size(),
            " bytes, the limit is ", kMaxSafetensorsHeader);
    return text;
}

// Beyond f32's range becomes infinity; C++ leaves that conversion undefined.
float double_to_float(double value) {
    constexpr double kLargest = std::numeric_limits<float>::max();
    if (std::isfinite(value) && std::abs(value) > kLargest)
        return value > 0 ? std::numeric_limits<float>::infinity() : -std::numeric_limits<float>::infinity();
    return static_cast<float>(value);
}

} // namespace

bool safetensors_name_ok(std::string_view name) {
    const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
    return !name.empty() && name.size() <= kMaxSafetensorsName && std::all_of(name.begin(), name.end(), printable);
}

std::size_t dtype_bytes(std::string_view dtype) {
    for (const Dtype& known : kDtypes)
        if (known.name == dtype)
            return known.bytes;
    return 0;
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::span<const TensorEntry> tensors) {
    require(tensors.size() <= kMaxSafetensorsTensors, "safetensors: ", tensors.size(), " tensors, the limit is ",
            kMaxSafetensorsTensors);
    std::uint64_t total = 0;
    for (const TensorEntry& tensor : tensors) {
        check_entry(tensor);
        total += tensor.data.size(); // cannot wrap: 65,536 times 64 GiB is 2^52
    }
    const std::vector<const TensorEntry*> order = file_order(tensors);
    const std::string header = make_header(metadata, order);
    require(8 + header.size() + total <= kMaxSafetensorsBytes, "safetensors: ", total,
            " bytes of tensors are too many");
    const std::uint64_t length = header.size();
    std::vector<std::span<const std::byte>> chunks;
    chunks.push_back(std::as_bytes(std::span(&length, 1)));
    chunks.push_back(std::as_bytes(std::span(header)));
    for (const TensorEntry* tensor : order)
        chunks.push_back(tensor->data);
    write_file_atomic(path, chunks);
}

std::vector<float> to_f32(const TensorEntry& tensor) {
    const std::size_t item = dtype_bytes(tensor.dtype);
    const bool half = tensor.dtype == "F16", wide = tensor.dtype == "F64";
    require_data(half || wide || tensor.dtype == "F32" || tensor.dtype == "BF16", "tensor '", tensor.name, "' holds ",
                 tensor.dtype, ", not floating point numbers we can read");
    std::vector<float> values(tensor.data.size() / item);
    if (tensor.dtype == "F32") {
        if (!values.empty()) // memcpy's pointers must not be null
            std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
        return values;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (wide) {
            double value = 0;
            std::memcpy(&value, tensor.data.data() + 8 * i, 8);
            values[i] = double_to_float(value);
            continue;
        }
        std::uint16_t bits = 0;
        std::memcpy(&bits, tensor.data.data() + 2 * i, 2);
        values[i] = half ? from_f16(bits) : from_bf16(bits);
    }
    return values;
}

} // namespace vkvae
