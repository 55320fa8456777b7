// safetensors reader: the header is parsed as a stream of JSON events by a state machine that knows the five places a
// value can be in, so nesting, duplicates and counts are bounded before anything is stored.
#include "io/safetensors.hpp"

#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace vkvae {

static_assert(std::endian::native == std::endian::little, "tensor data are little-endian and used as they lie");

namespace {

using Json = nlohmann::json;

struct RawTensor {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::uint64_t> offsets; // begin, end
    bool has_dtype = false, has_shape = false, has_offsets = false;
};

struct Header {
    std::map<std::string, std::string> metadata;
    std::map<std::string, RawTensor> tensors;
};

// {"__metadata__": {key: string, ...}, name: {"dtype": string, "shape": [n, ...], "data_offsets": [begin, end]}, ...}
class HeaderReader final : public Json::json_sax_t {
  public:
    HeaderReader(Header& header, const std::string& file) : header_(header), file_(file) {}

    bool null() override { return unexpected("null"); }
    bool boolean(bool) override { return unexpected("a boolean"); }
    bool number_float(Json::number_float_t, const std::string& text) override {
        return unexpected("the number " + text);
    }
    bool binary(Json::binary_t&) override { return unexpected("binary data"); }
    bool number_integer(Json::number_integer_t value) override {
        return unexpected("the number " + std::to_string(value)); // negative: the others arrive as unsigned
    }

    bool number_unsigned(Json::number_unsigned_t value) override {
        if (place_ == Place::shape) {
            require_data(tensor_->shape.size() < kMaxSafetensorsRank, file_, ": tensor '", name_, "' has more than ",
                         kMaxSafetensorsRank, " dimensions");
            require_data(value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()), file_,
                         ": tensor '", name_, "' has a dimension of ", value);
            tensor_->shape.push_back(static_cast<std::int64_t>(value));
            return true;
        }
        if (place_ != Place::offsets)
            return unexpected("the number " + std::to_string(value));
        require_data(tensor_->offsets.size() < 2, file_, ": tensor '", name_, "' has more than two data_offsets");
        tensor_->offsets.push_back(value);
        return true;
    }

    bool string(std::string& value) override {
        if (place_ == Place::metadata) {
            if (key_ != kSafetensorsChecksums)
                metadata_bytes_ += key_.size() + value.size();
            require_data(metadata_bytes_ <= kMaxSafetensorsMetadata, file_, ": more than ", kMaxSafetensorsMetadata,
                         " bytes of metadata");
            require_data(header_.metadata.emplace(key_, std::move(value)).second, file_, ": metadata '", key_,
                         "' appears twice");
            return true;
        }
        if (place_ != Place::tensor || key_ != "dtype")
            return unexpected("a string");
        tensor_->dtype = std::move(value);
        return true;
    }

    bool start_object(std::size_t) override {
        if (place_ == Place::outside)
            place_ = Place::root;
        else if (place_ == Place::root && name_ == "__metadata__")
            place_ = Place::metadata;
        else if (place_ == Place::root)
            place_ = Place::tensor;
        else
            return unexpected("an object");
        return true;
    }

    bool key(std::string& key) override {
        if (place_ == Place::root)
            begin_entry(key);
        else if (place_ == Place::tensor)
            begin_field(key);
        key_ = std::move(key);
        return true;
    }

    bool end_object() override {
        if (place_ == Place::tensor)
            require_data(tensor_->has_dtype && tensor_->has_shape && tensor_->offsets.size() == 2, file_, ": tensor '",
                         name_, "' needs a dtype, a shape and two data_offsets");
        place_ = place_ == Place::root ? Place::outside : Place::root;
        return true;
    }

    bool start_array(std::size_t) override {
        if (place_ != Place::tensor || (key_ != "shape" && key_ != "data_offsets"))
            return unexpected("an array");
        place_ = key_ == "shape" ? Place::shape : Place::offsets;
        return true;
    }

    bool end_array() override {
        place_ = Place::tensor;
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
        fail(Status::data, file_, ": the header is not valid JSON at byte ", position);
    }

  private:
    enum class Place { outside, root, metadata, tensor, shape, offsets };

    bool unexpected(const std::string& what) const {
        fail(Status::data, file_, ": the header has ", what, " where the format has none, at '", key_, "'");
    }

    void begin_entry(const std::string& name) {
        name_ = name;
        if (name == "__metadata__") {
            require_data(!has_metadata_, file_, ": __metadata__ appears twice");
            has_metadata_ = true;
            return;
        }
        require_data(safetensors_name_ok(name), file_, ": tensor number ", header_.tensors.size() + 1,
                     " has an empty, too long or unprintable name");
        require_data(header_.tensors.size() < kMaxSafetensorsTensors, file_, ": more than ", kMaxSafetensorsTensors,
                     " tensors");
        const auto [at, fresh] = header_.tensors.try_emplace(name);
        require_data(fresh, file_, ": tensor '", name, "' appears twice");
        tensor_ = &at->second; // a map's elements do not move
    }

    void begin_field(const std::string& key) {
        bool* seen = key == "dtype"          ? &tensor_->has_dtype
                     : key == "shape"        ? &tensor_->has_shape
                     : key == "data_offsets" ? &tensor_->has_offsets
                                             : nullptr;
        require_data(seen != nullptr, file_, ": tensor '", name_, "' has an unknown field");
        require_data(!*seen, file_, ": tensor '", name_, "' has its ", key, " twice");
        *seen = true;
    }

    Header& header_;
    const std::string& file_;
    Place place_ = Place::outside;
    std::string name_, key_; // the entry and the field that the next value belongs to
    RawTensor* tensor_ = nullptr;
    bool has_metadata_ = false;
    std::uint64_t metadata_bytes_ = 0;
};

// {tensor name: "8 hex digits", ...}, a JSON text inside a metadata string.
class ChecksumReader final : public Json::json_sax_t {
  public:
    ChecksumReader(std::map<std::string, std::uint32_t>& checksums, const std::string& file)
        : checksums_(checksums), file_(file) {}

    bool null() override { return bad(); }
    bool boolean(bool) override { return bad(); }
    bool number_integer(Json::number_integer_t) override { return bad(); }
    bool number_unsigned(Json::number_unsigned_t) override { return bad(); }
    bool number_float(Json::number_float_t, const std::string&) override { return bad(); }
    bool binary(Json::binary_t&) override { return bad(); }
    bool start_array(std::size_t) override { return bad(); }
    bool end_array() override { return bad(); }
    bool end_object() override { return true; }
    bool start_object(std::size_t) override { return ++objects_ == 1 || bad(); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return bad(); }
    bool key(std::string& key) override {
        key_ = std::move(key);
        return true;
    }
    bool string(std::string& value) override {
        const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
        if (objects_ != 1 || value.size() != 8 || !std::all_of(value.begin(), value.end(), is_hex))
            return bad();
        const std::uint32_t crc = static_cast<std::uint32_t>(std::stoul(value, nullptr, 16));
        return checksums_.emplace(std::move(key_), crc).second || bad();
    }

  private:
    bool bad() const { fail(Status::data, file_, ": the metadata '", kSafetensorsChecksums, "' is malformed"); }

    std::map<std::string, std::uint32_t>& checksums_;
    const std::string& file_;
    std::string key_;
    int objects_ = 0;
};

std::uint64_t header_length(const std::vector<std::byte>& bytes, const std::string& file) {
    require_data(bytes.size() >= 8, file, ": not a safetensors file: only ", bytes.size(), " bytes");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    require_data(length <= kMaxSafetensorsHeader, file, ": not a safetensors file, or its header of ", length,
                 " bytes is larger than the limit of ", kMaxSafetensorsHeader);
    require_data(length <= bytes.size() - 8, file, ": truncated: the header has ", length, " bytes, the file ",
                 bytes.size());
    require_data(length >= 2 && bytes[8] == std::byte{'{'}, file, ": not a safetensors file: no '{' at byte 8");
    return length;
}

// The tensors sorted by name; their data must tile [0, data.size()) without gaps or overlaps.
std::vector<TensorEntry> place_tensors(std::map<std::string, RawTensor>& raw, std::span<const std::byte> data,
                                       TrailingBytes trailing, const std::string& file) {
    std::vector<std::pair<const std::string, RawTensor>*> by_offset;
    for (auto& entry : raw)
        by_offset.push_back(&entry);
    std::stable_sort(by_offset.begin(), by_offset.end(),
                     [](const auto* a, const auto* b) { return a->second.offsets < b->second.offsets; });
    std::uint64_t at = 0;
    for (const auto* entry : by_offset) {
        const std::string& name = entry->first;
        const RawTensor& tensor = entry->second;
        const std::size_t item = dtype_bytes(tensor.dtype);
        require_data(item != 0, file, ": tensor '", name, "' has the unknown dtype '", tensor.dtype.substr(0, 32), "'");
        std::uint64_t size = 0;
        require_data(shape_bytes(item, tensor.shape, data.size(), size), file, ": tensor '", name,
                     "' is larger than the file");
        const std::uint64_t begin = tensor.offsets[0], end = tensor.offsets[1];
        require_data(begin == at, file, ": tensor '", name, "' begins at ", begin, ", the one before it ended at ", at);
        require_data(end >= begin && end - begin == size, file, ": tensor '", name, "' needs ", size,
                     " bytes by its shape and dtype; its data_offsets are ", begin, " and ", end);
        require_data(end <= data.size(), file, ": truncated: tensor '", name, "' ends at ", end, " of ", data.size());
        at = end;
    }
    require_data(at == data.size() || trailing == TrailingBytes::allow, file, ": ", data.size() - at,
                 " bytes behind the last tensor (--lenient-trailing ignores them)");
    std::vector<TensorEntry> tensors;
    tensors.reserve(raw.size());
    for (auto& [name, tensor] : raw) {
        const std::uint64_t begin = tensor.offsets[0], size = tensor.offsets[1] - begin;
        tensors.push_back({.name = name,
                           .dtype = std::move(tensor.dtype),
                           .shape = std::move(tensor.shape),
                           .data = data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(size))});
    }
    return tensors;
}

// Tensors without a checksum pass: another program may have added them to a file of ours.
void verify_checksums(const std::string& text, const std::vector<TensorEntry>& tensors, const std::string& file) {
    std::map<std::string, std::uint32_t> checksums;
    ChecksumReader reader(checksums, file);
    Json::sax_parse(text, &reader);
    for (const TensorEntry& tensor : tensors) {
        const auto at = checksums.find(tensor.name);
        require_data(at == checksums.end() || at->second == crc32c(tensor.data), file, ": the data of tensor '",
                     tensor.name, "' do not match their checksum: the file is damaged");
    }
}

} // namespace

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
    const auto at = std::lower_bound(tensors.begin(), tensors.end(), name,
                                     [](const TensorEntry& tensor, std::string_view key) { return tensor.name < key; });
    return at != tensors.end() && at->name == name ? &*at : nullptr;
}

SafetensorsFile parse_safetensors(std::vector<std::byte> bytes, const std::string& name_for_errors,
                                  TrailingBytes trailing) {
    const std::uint64_t length = header_length(bytes, name_for_errors);
    SafetensorsFile file;
    file.bytes = std::move(bytes);
    const char* text = reinterpret_cast<const char*>(file.bytes.data()) + 8;
    Header header;
    HeaderReader reader(header, name_for_errors);
    Json::sax_parse(text, text + length, &reader);
    file.metadata = std::move(header.metadata);
    const std::span<const std::byte> data = std::span(file.bytes).subspan(8 + static_cast<std::size_t>(length));
    file.tensors = place_tensors(header.tensors, data, trailing, name_for_errors);
    const auto checksums = file.metadata.extract(std::string(kSafetensorsChecksums));
    if (!checksums.empty())
        verify_checksums(checksums.mapped(), file.tensors, name_for_errors);
    return file;
}

SafetensorsFile read_safetensors(const std::filesystem::path& path, TrailingBytes trailing) {
    return parse_safetensors(read_file(path, kMaxSafetensorsBytes), path_text(path), trailing);
}

} // namespace vkvae
