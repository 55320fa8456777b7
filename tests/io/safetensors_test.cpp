// The contract of io/safetensors: what we write is read back exactly, and nothing that lies about itself is read.
#include "io/safetensors.hpp"
#include "io/temp_folder.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace fs = std::filesystem;
using namespace vkvae;
using namespace vkvae::test;

namespace {

std::vector<std::byte> file_of(const std::string& header, const std::string& data) {
    std::string text(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(text.data(), &length, 8);
    return to_bytes(text + header + data);
}

Outcome parse_outcome(const std::string& header, const std::string& data = "") {
    return outcome_of([&] { parse_safetensors(file_of(header, data), "model"); });
}

bool refused(const std::string& header, const std::string& data, std::string_view reason) {
    const Outcome outcome = parse_outcome(header, data);
    if (outcome.status == Status::data && outcome.says(reason) && outcome.message.starts_with("model"))
        return true;
    MESSAGE("got: ", outcome.message);
    return false;
}

// Not "{" + text + "}" in place: GCC 12 at -O3 warns of that (its bug 105651).
std::string braces(const std::string& text) {
    std::string out = "{";
    out += text;
    out += '}';
    return out;
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& range) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + range + "]}";
}

std::vector<std::byte> small_file(const TempFolder& folder) {
    const std::vector<float> weight = {1, 2, 3, 4, 5, 6};
    const std::vector<std::byte> mask(3, std::byte{1});
    const TensorEntry entries[] = {{"mask", "BOOL", {3}, mask},
                                   {"fc.weight", "F32", {2, 3}, std::as_bytes(std::span(weight))}};
    write_safetensors(folder.path / "small", {{"format", "pt"}}, entries);
    return read_file(folder.path / "small", 1 << 20);
}

} // namespace

TEST_CASE("written tensors and metadata are read back") {
    const TempFolder folder;
    const std::vector<float> weight = {1.5f, -2.0f, 3.25f, 0.0f, INFINITY, 1e-40f};
    const std::vector<double> wide = {0.1};
    const std::vector<std::byte> mask(3, std::byte{1});
    const TensorEntry entries[] = {{"z.mask", "BOOL", {3}, mask},
                                   {"a.weight", "F32", {2, 3}, std::as_bytes(std::span(weight))},
                                   {"scalar", "F64", {}, std::as_bytes(std::span(wide))},
                                   {"none", "F16", {0, 7}, {}}};
    const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"note", "\"quotes\", \n and \xc3\xa9"}};
    write_safetensors(folder.path / "m", metadata, entries);
    const SafetensorsFile file = read_safetensors(folder.path / "m");
    CHECK(file.metadata == metadata);
    REQUIRE(file.tensors.size() == 4);
    REQUIRE(file.find("a.weight") != nullptr);
    CHECK(file.find("a.weight")->shape == std::vector<std::int64_t>{2, 3});
    CHECK(to_f32(*file.find("a.weight")) == weight);
    CHECK(to_f32(*file.find("scalar")) == std::vector<float>{0.1f});
    CHECK(file.find("scalar")->shape.empty());
    CHECK(file.find("z.mask")->data.size() == 3);
    CHECK(to_f32(*file.find("none")).empty());
    CHECK(file.find("a.weigh") == nullptr);
    CHECK(outcome_of([&] { to_f32(*file.find("z.mask")); }).says("BOOL"));
}

TEST_CASE("the same content gives the same bytes in whatever order, aligned to eight") {
    const TempFolder folder;
    const std::vector<float> w = {1, 2};
    const std::vector<double> d = {3};
    const std::vector<std::byte> u(3);
    const TensorEntry a{"a", "U8", {3}, u}, b{"b", "F32", {2}, std::as_bytes(std::span(w))},
        c{"c", "F64", {1}, std::as_bytes(std::span(d))};
    write_safetensors(folder.path / "1", {{"k", "v"}}, std::vector<TensorEntry>{a, b, c});
    write_safetensors(folder.path / "2", {{"k", "v"}}, std::vector<TensorEntry>{c, b, a});
    const std::vector<std::byte> one = read_file(folder.path / "1", 1 << 20);
    CHECK(one == read_file(folder.path / "2", 1 << 20));
    const SafetensorsFile file = parse_safetensors(one, "1");
    for (const TensorEntry& entry : file.tensors)
        CHECK((entry.data.data() - file.bytes.data()) % static_cast<std::ptrdiff_t>(dtype_bytes(entry.dtype)) == 0);
    CHECK((file.find("c")->data.data() - file.bytes.data()) % 8 == 0);
}

TEST_CASE("published files are read") {
    const fs::path folder = fs::path(VKVAE_SOURCE_DIR).parent_path() / "shared" / "data" / "taef2";
    for (const char* name : {"encoder.safetensors", "decoder.safetensors"})
        if (fs::exists(folder / name)) {
            const SafetensorsFile file = read_safetensors(folder / name);
            CHECK(file.tensors.size() > 10);
            int broken = 0;
            for (const TensorEntry& entry : file.tensors)
                for (const float value : to_f32(entry))
                    broken += std::isfinite(value) ? 0 : 1;
            CHECK(broken == 0);
        }
}

TEST_CASE("moving a file keeps its tensors") {
    const TempFolder folder;
    SafetensorsFile first = parse_safetensors(small_file(folder), "small");
    const SafetensorsFile second = std::move(first);
    CHECK(to_f32(*second.find("fc.weight")) == std::vector<float>{1, 2, 3, 4, 5, 6});
}

TEST_CASE("half, bfloat16 and double become the f32 they mean") {
    const std::vector<std::uint16_t> half = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001,
                                             0x03ff, 0x0400, 0x7c00, 0xfc00, 0x3555};
    const std::vector<float> expected = {
        0.0f, -0.0f, 1.0f, -2.0f, 65504.0f, 0x1p-24f, 1023 * 0x1p-24f, 0x1p-14f, INFINITY, -INFINITY, 0.333251953125f};
    const std::vector<float> got = to_f32({"h", "F16", {11}, std::as_bytes(std::span(half))});
    CHECK(got == expected);
    CHECK(std::signbit(got[1]));
    const std::vector<std::uint16_t> nan = {0x7e00};
    CHECK(std::isnan(to_f32({"h", "F16", {1}, std::as_bytes(std::span(nan))})[0]));
    const std::vector<std::uint16_t> brain = {0x3f80, 0xc000, 0x7f80};
    CHECK(to_f32({"b", "BF16", {3}, std::as_bytes(std::span(brain))}) == std::vector<float>{1.0f, -2.0f, INFINITY});
    const std::vector<double> wide = {0.1, -1e300, 1e-300};
    CHECK(to_f32({"d", "F64", {3}, std::as_bytes(std::span(wide))}) == std::vector<float>{0.1f, -INFINITY, 0.0f});
}

TEST_CASE("every truncation of a file is refused") {
    const TempFolder folder;
    CHECK(accepted_truncations(small_file(folder), [](const auto& bytes) { parse_safetensors(bytes, "t"); }) == 0);
}

TEST_CASE("any changed byte of the data is noticed") {
    const TempFolder folder;
    const std::vector<std::byte> good = small_file(folder);
    const SafetensorsFile file = parse_safetensors(good, "t");
    const std::size_t data = good.size() - 27;
    for (std::size_t i = data; i < good.size(); ++i) {
        std::vector<std::byte> bad = good;
        bad[i] ^= std::byte{0x10};
        const Outcome outcome = outcome_of([&] { parse_safetensors(bad, "t"); });
        CHECK(outcome.status == Status::data);
        CHECK(outcome.says("checksum"));
    }
}

TEST_CASE("any changed byte of the header is refused or harmless, never a crash") {
    const TempFolder folder;
    const std::vector<std::byte> good = small_file(folder);
    for (std::size_t i = 0; i < good.size() - 27; ++i)
        for (const std::byte flip : {std::byte{0x01}, std::byte{0x20}, std::byte{0x80}, std::byte{0xff}}) {
            std::vector<std::byte> bad = good;
            bad[i] ^= flip;
            const Outcome outcome = outcome_of([&] { parse_safetensors(bad, "t"); });
            CHECK((outcome.status == Status::ok || outcome.status == Status::data));
        }
}

TEST_CASE("files without checksums, with other metadata and unaligned data are read") {
    const std::string one("\x00\x00\x80\x3f", 4);
    const SafetensorsFile file = parse_safetensors(
        file_of("{\"__metadata__\":{\"x\":\"y\"}," + tensor("w", "F32", "1", "0,4") + "}  ", one), "odd");
    CHECK(to_f32(file.tensors[0]) == std::vector<float>{1.0f});
    CHECK(file.metadata.at("x") == "y");
    CHECK(parse_safetensors(file_of("{}", ""), "empty").tensors.empty());
}

TEST_CASE("headers that break the format are refused with the reason") {
    const std::string w = tensor("w", "F32", "1", "0,4");
    CHECK(refused("[]", "", "no '{'"));
    CHECK(refused(" {}", "", "no '{'"));
    CHECK(refused("{ ", "", "not valid JSON"));
    CHECK(refused("{}x", "", "not valid JSON"));
    CHECK(refused(braces(w + "," + w), "1234", "appears twice"));
    CHECK(refused("{\"__metadata__\":{},\"__metadata__\":{}}", "", "appears twice"));
    CHECK(refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "", "appears twice"));
    CHECK(refused("{\"__metadata__\":{\"a\":1}}", "", "number 1"));
    CHECK(refused("{\"__metadata__\":{\"a\":{}}}", "", "an object"));
    CHECK(refused("{\"__metadata__\":[]}", "", "an array"));
    CHECK(refused("{\"w\":[]}", "", "an array"));
    CHECK(refused("{\"w\":{}}", "", "needs a dtype"));
    CHECK(refused("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", "", "twice"));
    CHECK(refused("{\"w\":{\"kind\":1}}", "", "unknown field"));
    CHECK(refused("{\"w\":{\"dtype\":{\"dtype\":\"F32\"}}}", "", "an object"));
    CHECK(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[[1]]}}", "", "an array"));
    CHECK(refused(braces(tensor("w", "F32", "-1", "0,4")), "1234", "number -1"));
    CHECK(refused(braces(tensor("w", "F32", "1.0", "0,4")), "1234", "number 1.0"));
    CHECK(refused(braces(tensor("w", "F31", "1", "0,4")), "1234", "unknown dtype"));
    CHECK(refused(braces(tensor("w", "F32", "1", "0,4,4")), "1234", "more than two"));
    CHECK(refused(braces(tensor("w", "F32", "1", "4")), "1234", "two data_offsets"));
    CHECK(refused(braces(tensor("", "F32", "1", "0,4")), "1234", "name"));
    CHECK(refused(braces(tensor("w\\u0000", "F32", "1", "0,4")), "1234", "name"));
    CHECK(refused(braces(tensor("\xc3\xa9", "F32", "1", "0,4")), "1234", "name"));
    CHECK(refused(braces(tensor(std::string(513, 'n'), "F32", "1", "0,4")), "1234", "name"));
    CHECK(refused(braces(tensor("\xff", "F32", "1", "0,4")), "1234", "not valid JSON"));
    CHECK(refused(braces(tensor("w", "F32", "1,1,1,1,1,1,1,1,1", "0,4")), "1234", "dimensions"));
    CHECK(refused("{\"__metadata__\":{\"vkvae_crc32c\":\"{\\\"w\\\":1}\"}," + w + "}", "1234", "malformed"));
    CHECK(refused("{\"__metadata__\":{\"vkvae_crc32c\":\"{\\\"w\\\":\\\"00000000\\\"}\"}," + w + "}", "1234",
                  "checksum"));
    CHECK(refused(std::string(100'000, '{'), "", "JSON"));
    CHECK(refused("{\"__metadata__\":{\"a\":\"" + std::string(1 << 20, 'x') + "\"}}", "", "metadata"));
}

TEST_CASE("tensors must tile the data exactly and have the size of their shape") {
    const std::string w = tensor("w", "F32", "1", "0,4");
    CHECK(parse_outcome(braces(w), "1234").status == Status::ok);
    CHECK(parse_outcome(braces(tensor("none", "F32", "5,0,3", "0,0"))).status == Status::ok);
    CHECK(refused(braces(tensor("none", "F32", "4294967296,0,4294967296", "0,0")), "", "larger than the file"));
    CHECK(refused(braces(w), "12345", "behind the last tensor"));
    CHECK(refused(braces(w), "123", "larger than the file"));
    CHECK(refused(braces(tensor("w", "F32", "1", "1,5")), "12345", "begins at 1"));
    CHECK(refused(braces(w + "," + tensor("v", "F32", "1", "0,4")), "1234", "begins at 0"));
    CHECK(refused(braces(w + "," + tensor("v", "U8", "1", "5,6")), "123456", "begins at 5"));
    CHECK(refused(braces(tensor("w", "F32", "1", "0,3")), "123", "larger than the file"));
    CHECK(refused(braces(tensor("w", "U8", "1", "0,3")), "123", "needs 1 bytes"));
    CHECK(refused(braces(tensor("w", "U8", "0", "4,0")), "1234", "begins at 4"));
    CHECK(refused(braces(tensor("w", "F32", "4611686018427387904,4", "0,4")), "1234", "larger than the file"));
    CHECK(refused(braces(tensor("w", "F32", "4294967296,4294967296", "0,0")), "", "larger than the file"));
    CHECK(refused(braces(tensor("w", "F32", "18446744073709551615", "0,4")), "1234", "dimension of"));
    CHECK(refused(braces(tensor("w", "F32", "99999999999999999999", "0,4")), "1234", "number"));
}

TEST_CASE("trailing bytes pass only when they are allowed") {
    const std::vector<std::byte> bytes = file_of(braces(tensor("w", "F32", "1", "0,4")), "12345678");
    CHECK(parse_safetensors(bytes, "lenient", TrailingBytes::allow).tensors.size() == 1);
    CHECK(outcome_of([&] { parse_safetensors(bytes, "strict"); }).status == Status::data);
}

TEST_CASE("header lengths beyond the file or the limit are refused before anything is allocated") {
    for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{16} << 20, (std::uint64_t{16} << 20) + 1,
                                       std::uint64_t{1} << 40, std::numeric_limits<std::uint64_t>::max()}) {
        std::vector<std::byte> bytes = to_bytes("12345678{}");
        std::memcpy(bytes.data(), &length, 8);
        CHECK(outcome_of([&] { parse_safetensors(bytes, "t"); }).status == Status::data);
    }
}

TEST_CASE("the writer refuses what the reader would") {
    const TempFolder folder;
    const fs::path path = folder.path / "m";
    const std::vector<std::byte> four(4);
    const auto write = [&](const TensorEntry& entry, const std::map<std::string, std::string>& metadata = {}) {
        return outcome_of([&] { write_safetensors(path, metadata, std::span(&entry, 1)); });
    };
    CHECK(write({"w", "F32", {1}, four}).status == Status::ok);
    CHECK(write({"w", "F32", {2}, four}).says("needs 8 bytes"));
    CHECK(write({"w", "X", {1}, four}).says("unknown dtype"));
    CHECK(write({"", "F32", {1}, four}).says("name"));
    CHECK(write({"__metadata__", "F32", {1}, four}).says("name"));
    CHECK(write({"w", "F32", {-1}, four}).says("negative"));
    CHECK(write({"w", "F32", {1, 1, 1, 1, 1, 1, 1, 1, 1}, four}).says("dimensions"));
    CHECK(write({"w", "F32", {1}, four}, {{"a", "\xff"}}).says("UTF-8"));
    CHECK(write({"w", "F32", {1}, four}, {{"vkvae_crc32c", ""}}).says("writer's own"));
    const TensorEntry twice[] = {{"w", "F32", {1}, four}, {"w", "F32", {1}, four}};
    CHECK(outcome_of([&] { write_safetensors(path, {}, twice); }).says("two tensors"));
    CHECK(read_safetensors(path).tensors.size() == 1); // the good one is still there
}
