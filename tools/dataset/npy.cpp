// .npy: 6 magic bytes, version, header length, a Python dictionary literal, the values.
#include "dataset/npy.hpp"

#include "dataset/sources.hpp"
#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

namespace vkvae {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMaxNpyFile = std::uint64_t{1} << 36;
constexpr std::size_t kMaxNpyHeader = std::size_t{1} << 16;
constexpr std::size_t kMaxNpyRank = 8;
constexpr std::string_view kMagic = "\x93NUMPY";

// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } and nothing else of Python.
struct DictionaryReader {
    std::string_view text;
    const std::string& name;

    bool take(char c) {
        const std::size_t skip = text.find_first_not_of(' ');
        text.remove_prefix(std::min(skip, text.size()));
        if (!text.starts_with(c))
            return false;
        text.remove_prefix(1);
        return true;
    }

    bool take_word(std::string_view word) {
        const std::size_t skip = text.find_first_not_of(' ');
        text.remove_prefix(std::min(skip, text.size()));
        if (!text.starts_with(word))
            return false;
        text.remove_prefix(word.size());
        return true;
    }

    std::string_view quoted(const char* what) {
        const char quote = take('\'') ? '\'' : take('"') ? '"' : '\0';
        const std::size_t end = quote != '\0' ? text.find(quote) : std::string_view::npos;
        require_data(end != std::string_view::npos, name, ": the header has no ", what, " where it needs one");
        const std::string_view value = text.substr(0, end);
        text.remove_prefix(end + 1);
        return value;
    }

    std::int64_t number() {
        take_word(""); // spaces
        std::int64_t value = 0;
        std::size_t digits = 0;
        for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
            require_data(digits < 18, name, ": a dimension of the header is too large");
            value = value * 10 + (text[digits] - '0');
        }
        require_data(digits > 0, name, ": the header's shape is not a tuple of sizes");
        text.remove_prefix(digits);
        take('L'); // Python 2 wrote long integers so
        return value;
    }

    std::vector<std::int64_t> tuple() {
        require_data(take('('), name, ": the header's shape is not a tuple");
        std::vector<std::int64_t> values;
        while (!take(')')) {
            require_data(values.size() < kMaxNpyRank, name, ": more than ", kMaxNpyRank, " dimensions");
            values.push_back(number());
            if (take(')'))
                break;
            require_data(take(','), name, ": the header's shape is not a tuple of sizes");
        }
        return values;
    }
};

struct NpyHeader {
    std::string_view type;
    std::vector<std::int64_t> shape;
};

NpyHeader read_dictionary(std::string_view text, const std::string& name) {
    DictionaryReader reader{text, name};
    NpyHeader header;
    bool has_type = false, has_order = false, has_shape = false, fortran = false;
    const auto once = [&](bool& seen, std::string_view key) {
        require_data(!seen, name, ": the header has '", key, "' twice");
        seen = true;
    };
    require_data(reader.take('{'), name, ": the header is not a dictionary");
    while (!reader.take('}')) {
        const std::string_view key = reader.quoted("key");
        require_data(reader.take(':'), name, ": the header is not a dictionary");
        if (key == "descr") {
            once(has_type, key);
            require_data(!reader.take('['), name,
                         ": an array of records; save the images as one uint8 or float32 array");
            header.type = reader.quoted("element type");
        } else if (key == "fortran_order") {
            once(has_order, key);
            fortran = reader.take_word("True");
            require_data(fortran || reader.take_word("False"), name, ": fortran_order is neither True nor False");
        } else if (key == "shape") {
            once(has_shape, key);
            header.shape = reader.tuple();
        } else {
            fail(Status::data, name, ": the header has an unknown key");
        }
        if (!reader.take(',')) {
            require_data(reader.take('}'), name, ": the header is not a dictionary");
            break;
        }
    }
    require_data(has_type && has_order && has_shape, name, ": the header needs descr, fortran_order and shape");
    require_data(reader.text.find_first_not_of(" \n") == std::string_view::npos, name, ": text behind the header");
    require_data(!fortran, name, ": the array is in Fortran order; save numpy.ascontiguousarray(x)");
    return header;
}

struct TypeName {
    const char* text;
    NpyType type;
    std::size_t bytes;
};
constexpr TypeName kTypes[] = { // in the order of NpyType
    {"|b1", NpyType::boolean, 1}, {"|u1", NpyType::u8, 1},  {"<f4", NpyType::f32, 4}, {"<f8", NpyType::f64, 8},
    {"|i1", NpyType::i8, 1},      {"<i2", NpyType::i16, 2}, {"<i4", NpyType::i32, 4}, {"<i8", NpyType::i64, 8},
    {"<u2", NpyType::u16, 2},     {"<u4", NpyType::u32, 4}, {"<u8", NpyType::u64, 8},
};

NpyType npy_type(std::string_view text, const std::string& name) {
    for (const TypeName& known : kTypes)
        if (text == known.text || (known.bytes == 1 && text.size() == 3 && text[0] == '<' && text.substr(1) == known.text + 1))
            return known.type;
    if (text == "u1")
        return NpyType::u8;
    require_data(text.find('O') == std::string_view::npos, name, ": Python objects (a pickle) are never read; save an ",
                 "array of numbers");
    std::string shown(text.substr(0, 16));
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    fail(Status::data, name, ": element type '", shown,
         "' is not supported; save x.astype('uint8') for 0..255 or x.astype('float32') for 0..1");
}

std::size_t npy_type_bytes(NpyType type) {
    return kTypes[static_cast<std::size_t>(type)].bytes;
}

// A little-endian integer of `bytes` bytes.
double integer_at(const std::byte* at, std::size_t bytes, bool is_signed) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes; i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(at[i]);
    if (!is_signed)
        return static_cast<double>(value);
    const std::uint64_t sign = std::uint64_t{1} << (8 * bytes - 1);
    return static_cast<double>(static_cast<std::int64_t>((value ^ sign) - sign));
}

// Where the dictionary and the data begin.
std::pair<std::size_t, std::size_t> header_range(const std::vector<std::byte>& bytes, const std::string& name) {
    require_data(bytes.size() >= 10 && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0, name,
                 ": not a .npy file");
    const unsigned version = std::to_integer<unsigned>(bytes[6]);
    require_data(version >= 1 && version <= 3, name, ": .npy version ", version, " is unknown");
    const std::size_t begin = version == 1 ? 10 : 12;
    require_data(bytes.size() >= begin, name, ": truncated .npy header");
    std::size_t length = 0;
    for (std::size_t i = begin; i-- > 8;)
        length = length << 8 | std::to_integer<std::size_t>(bytes[i]);
    require_data(length <= kMaxNpyHeader, name, ": .npy header of ", length, " bytes");
    require_data(length <= bytes.size() - begin, name, ": truncated .npy header");
    return {begin, begin + length};
}

} // namespace

NpyArray parse_npy(std::vector<std::byte> bytes, const std::string& name) {
    const auto [begin, data] = header_range(bytes, name);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + begin, data - begin);
    NpyHeader header = read_dictionary(text, name);
    NpyArray array;
    array.type = npy_type(header.type, name);
    array.shape = std::move(header.shape);
    const std::uint64_t left = bytes.size() - data;
    std::uint64_t size = 0;
    require_data(shape_bytes(npy_type_bytes(array.type), array.shape, left, size), name,
                 ": truncated: the header claims more than the ", left, " bytes of data");
    require_data(size == left, name, ": ", left, " bytes of data, the header claims ", size);
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(data));
    array.data = std::move(bytes);
    return array;
}

NpyArray read_npy(const fs::path& path) {
    return parse_npy(read_file(path, kMaxNpyFile), path_text(path));
}

std::vector<float> npy_to_f32(const NpyArray& array, const std::string& name) {
    const std::size_t item = npy_type_bytes(array.type);
    std::vector<float> values(array.data.size() / item);
    for (std::size_t i = 0; i < values.size(); ++i) {
        double value = 0;
        if (array.type == NpyType::f64) {
            std::memcpy(&value, array.data.data() + 8 * i, 8);
        } else if (array.type == NpyType::f32) {
            float narrow = 0;
            std::memcpy(&narrow, array.data.data() + 4 * i, 4);
            value = narrow;
        } else {
            const bool is_signed = array.type >= NpyType::i8 && array.type <= NpyType::i64;
            value = integer_at(array.data.data() + item * i, item, is_signed);
            require_data(static_cast<double>(static_cast<float>(value)) == value, name, ": value ", i, " is ", value,
                         ", an integer too large for 32-bit floats");
        }
        require_data(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max()), name, ": value ", i,
                     " is ", value,
                     ", not finite in 32 bits"); // NaN fails the comparison as well
        values[i] = static_cast<float>(value);
    }
    return values;
}

void write_npy(const fs::path& path, std::span<const std::int64_t> shape, std::span<const float> values) {
    std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    std::uint64_t count = 0;
    require(shape.size() <= kMaxNpyRank, "write_npy: ", shape.size(), " dimensions");
    require(shape_bytes(1, shape, kMaxNpyFile, count), "write_npy: a negative dimension, or too large");
    for (const std::int64_t n : shape)
        dictionary += std::to_string(n) + ",";
    require(count == values.size(), "write_npy: ", values.size(), " values for a shape of ", count);
    dictionary += "), }";
    // The data start at a multiple of 64, and the header ends with a newline, by the format.
    const std::size_t begin = 10;
    dictionary.resize((begin + dictionary.size() + 1 + 63) / 64 * 64 - begin - 1, ' ');
    dictionary += '\n';
    std::string header(kMagic);
    header += {'\x01', '\x00', static_cast<char>(dictionary.size() & 255), static_cast<char>(dictionary.size() >> 8)};
    header += dictionary;
    const std::span<const std::byte> chunks[] = {std::as_bytes(std::span<const char>(header)), std::as_bytes(values)};
    write_file_atomic(path, chunks);
}

} // namespace vkvae
