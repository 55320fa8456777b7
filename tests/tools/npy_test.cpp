// The contract of dataset/npy and of the IDX reader: arrays are read exactly or refused with the reason.
#include "dataset/npy.hpp"
#include "dataset/sources.hpp"
#include "io/temp_folder.hpp"

#include <doctest/doctest.h>
#include <zlib.h>

#include <cstring>

using namespace vkvae;
using namespace vkvae::test;

namespace {

std::vector<std::byte> npy_of(const std::string& dictionary, const std::string& data, int version = 1) {
    std::string text = "\x93NUMPY";
    text += {static_cast<char>(version), '\0', static_cast<char>(dictionary.size() & 255),
             static_cast<char>(dictionary.size() >> 8)};
    if (version > 1)
        text += {'\0', '\0'};
    return to_bytes(text + dictionary + data);
}

bool refused(const std::string& dictionary, const std::string& data, std::string_view reason) {
    const Outcome outcome = outcome_of([&] { parse_npy(npy_of(dictionary, data), "array"); });
    if (outcome.status == Status::data && outcome.says(reason) && outcome.message.starts_with("array"))
        return true;
    MESSAGE("got: ", outcome.message);
    return false;
}

std::string header(const std::string& type, const std::string& shape) {
    return "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }\n";
}

std::vector<std::byte> idx_of(const std::vector<std::uint32_t>& shape, const std::string& data) {
    std::string text = {'\0', '\0', '\x08', static_cast<char>(shape.size())};
    for (const std::uint32_t size : shape)
        for (int shift = 24; shift >= 0; shift -= 8)
            text += static_cast<char>(size >> shift & 255);
    return to_bytes(text + data);
}

std::vector<std::byte> gzip_of(const std::vector<std::byte>& bytes) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::vector<std::byte> out(bytes.size() + 1000);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

Outcome idx_outcome(const std::vector<std::byte>& bytes) {
    return outcome_of([&] { parse_idx(bytes, "idx"); });
}

} // namespace

TEST_CASE("written arrays are read back and have NumPy's layout") {
    const TempFolder folder;
    const std::vector<float> values = {1, 2, 3, 4, 5, -6};
    const std::int64_t shape[] = {2, 3};
    write_npy(folder.path / "a.npy", shape, values);
    const NpyArray array = read_npy(folder.path / "a.npy");
    CHECK(array.type == NpyType::f32);
    CHECK(array.shape == std::vector<std::int64_t>{2, 3});
    CHECK(npy_to_f32(array, "a") == values);
    const std::vector<std::byte> file = read_file(folder.path / "a.npy", 1000);
    CHECK((file.size() - 24) % 64 == 0);
    CHECK(file[file.size() - 25] == std::byte{'\n'});
    const std::int64_t vector_shape[] = {6};
    write_npy(folder.path / "b.npy", vector_shape, values);
    CHECK(read_npy(folder.path / "b.npy").shape == std::vector<std::int64_t>{6});
    write_npy(folder.path / "c.npy", {}, std::span(values).first(1));
    CHECK(read_npy(folder.path / "c.npy").shape.empty());
    CHECK(outcome_of([&] { write_npy(folder.path / "d.npy", shape, std::span(values).first(5)); }).says("5 values"));
}

TEST_CASE("the three versions, other spacing and Python 2's long integers are read") {
    for (const int version : {1, 2, 3})
        CHECK(parse_npy(npy_of(header("|u1", "2, 1"), "ab", version), "v").data == to_bytes("ab"));
    const std::string odd = "{\"shape\":(2L,),\"fortran_order\":False,\"descr\":\"|u1\"}";
    CHECK(parse_npy(npy_of(odd, "ab"), "odd").shape == std::vector<std::int64_t>{2});
}

TEST_CASE("every truncation of an array file is refused") {
    const auto parse = [](const std::vector<std::byte>& bytes) { parse_npy(bytes, "t"); };
    CHECK(accepted_truncations(npy_of(header("<f4", "2, 2"), std::string(16, 'x')), parse) == 0);
    CHECK(accepted_truncations(npy_of(header("|u1", "3"), "abc", 2), parse) == 0);
}

TEST_CASE("arrays that lie or that we do not support are refused with the reason") {
    CHECK(refused(header("<f4", "2"), "1234567", "truncated"));
    CHECK(refused(header("<f4", "2"), "123456789", "the header claims 8"));
    CHECK(refused(header(">f4", "1"), "1234", "'>f4' is not supported"));
    CHECK(refused(header(">i8", "1"), "12345678", "astype"));
    CHECK(refused(header("<i8", "1"), "1234", "truncated"));
    CHECK(refused(header("|O", "1"), "1234", "pickle"));
    CHECK(refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "1234", "records"));
    CHECK(refused("{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", "1234", "ascontiguousarray"));
    CHECK(refused("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "1234", "neither"));
    CHECK(refused("{'descr': '<f4', 'descr': '<f4'}", "", "twice"));
    CHECK(refused("{'descr': '<f4'}", "", "needs"));
    CHECK(refused("{'evil': __import__('os')}", "", "unknown key"));
    CHECK(refused("", "", "dictionary"));
    CHECK(refused(header("<f4", "1") + "x", "1234", "text behind"));
    CHECK(refused(header("<f4", "-1"), "1234", "sizes"));
    CHECK(refused(header("<f4", "1 1"), "1234", "sizes"));
    CHECK(refused(header("<f4", "99999999999999999999"), "1234", "too large"));
    CHECK(refused(header("<f4", "4611686018427387904, 4"), "1234", "too large"));
    CHECK(refused(header("<f4", "461168601842738790, 4611686018427387"), "1234", "truncated"));
    CHECK(refused(header("<f4", "1,1,1,1,1,1,1,1,1"), "1234", "dimensions"));
    CHECK(outcome_of([] { parse_npy(npy_of(header("|u1", "1"), "a", 4), "v4"); }).says("version 4"));
    CHECK(outcome_of([] { parse_npy(to_bytes("PK\x03\x04 a zip archive"), "npz"); }).says("not a .npy"));
}

TEST_CASE("values that are not finite in 32 bits are refused") {
    const double values[] = {1.0, 1e300};
    std::string data(16, '\0');
    std::memcpy(data.data(), values, 16);
    const NpyArray array = parse_npy(npy_of(header("<f8", "2"), data), "wide");
    CHECK(outcome_of([&] { npy_to_f32(array, "wide"); }).says("value 1 is 1e+300"));
    const NpyArray nan = parse_npy(npy_of(header("<f4", "1"), std::string("\x00\x00\xc0\x7f", 4)), "nan");
    CHECK(outcome_of([&] { npy_to_f32(nan, "nan"); }).says("not finite"));
}

TEST_CASE("integers of all widths and signs are the numbers that they are") {
    const std::pair<const char*, double> types[] = {{"|i1", -2},     {"<i1", -2},     {"|u1", 254},    {"<u1", 254}, {"<i2", -2},
                                                    {"<u2", 65534}, {"<i4", -2}, {"<i8", -2}};
    for (const auto& [type, value] : types) {
        const std::size_t bytes = static_cast<std::size_t>(type[2] - '0');
        const std::string data = "\xfe" + std::string(bytes - 1, '\xff') + "\x07" + std::string(bytes - 1, '\0');
        const NpyArray array = parse_npy(npy_of(header(type, "2"), data), type);
        CHECK(npy_to_f32(array, type) == std::vector<float>{static_cast<float>(value), 7});
    }
    const NpyArray wide = parse_npy(npy_of(header("<u4", "2"), std::string("\0\0\0\x01\x01\0\0\x01", 8)), "wide");
    CHECK(outcome_of([&] { npy_to_f32(wide, "wide"); }).says("value 1 is 1.67772e+07, an integer too large"));
    const NpyArray least = parse_npy(npy_of(header("<i8", "1"), std::string(7, '\0') + '\x80'), "least");
    CHECK(npy_to_f32(least, "least") == std::vector<float>{-9223372036854775808.0f});
}

TEST_CASE("IDX arrays are read raw and compressed") {
    const std::vector<std::byte> raw = idx_of({2, 1, 3}, "abcdef");
    for (const std::vector<std::byte>& file : {raw, gzip_of(raw)}) {
        const IdxArray array = parse_idx(file, "idx");
        CHECK(array.shape == std::vector<std::int64_t>{2, 1, 3});
        CHECK(array.data == to_bytes("abcdef"));
    }
}

TEST_CASE("every truncation of an IDX file, raw or compressed, is refused") {
    const auto parse = [](const std::vector<std::byte>& bytes) { parse_idx(bytes, "t"); };
    const std::vector<std::byte> raw = idx_of({2, 2, 3}, "abcdefghijkl");
    CHECK(accepted_truncations(raw, parse) == 0);
    CHECK(accepted_truncations(gzip_of(raw), parse) == 0);
}

TEST_CASE("IDX files that lie are refused before their claims are allocated") {
    CHECK(idx_outcome(idx_of({2}, "abc")).says("more than its header"));
    CHECK(idx_outcome(idx_of({0xffffffffu, 0xffffffffu, 0xffffffffu}, "abc")).says("more data than"));
    CHECK(idx_outcome(gzip_of(idx_of({0xffffffffu, 0xffffffffu, 0xffffffffu}, "abc"))).says("more data than"));
    CHECK(idx_outcome(gzip_of(idx_of({2}, "abc"))).says("more data than"));
    CHECK(idx_outcome(gzip_of(idx_of({4}, "abc"))).says("truncated"));
    std::vector<std::byte> twice = gzip_of(idx_of({3}, "abc"));
    twice.push_back(std::byte{0});
    CHECK(idx_outcome(twice).says("behind the gzip data"));
    std::vector<std::byte> damaged = gzip_of(idx_of({3}, "abc"));
    damaged[damaged.size() - 6] ^= std::byte{1}; // the trailer's checksum
    CHECK(idx_outcome(damaged).says("damaged gzip"));
    CHECK(idx_outcome(to_bytes("not an IDX file")).says("not an IDX file"));
    CHECK(idx_outcome(to_bytes(std::string("\0\0\x0d\x01\0\0\0\1abcd", 12))).says("element type 13"));
    CHECK(idx_outcome(to_bytes(std::string("\0\0\x08\x00", 4))).says("0 dimensions"));
}
