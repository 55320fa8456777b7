// The contract of load_dataset: what each source gives for each request, and what each mistake is told.
#include "dataset/dataset.hpp"
#include "dataset/hash.hpp"
#include "dataset/image.hpp"
#include "dataset/npy.hpp"
#include "dataset/sources.hpp"
#include "dataset/stb.hpp"
#include "io/temp_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

namespace fs = std::filesystem;
using namespace vkvae;
using namespace vkvae::test;

namespace {

Outcome load_outcome(const DatasetRequest& request) {
    return outcome_of([&] { load_dataset(request); });
}

void write_flat_png(const fs::path& path, int width, int height, int channels, std::uint8_t value) {
    fs::create_directories(path.parent_path());
    const std::size_t size = static_cast<std::size_t>(width * height * channels);
    write_png(path, width, height, channels, std::vector<std::uint8_t>(size, value));
}

std::string numbered(std::string name, int i) {
    return (name += std::to_string(i)) += ".png";
}

void write_npy_bytes(const fs::path& path, const std::string& type, const std::string& shape, const std::string& data) {
    std::string dictionary = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }\n";
    std::string text = "\x93NUMPY";
    text += {'\x01', '\x00', static_cast<char>(dictionary.size()), '\0'};
    write_file_atomic(path, text + dictionary + data);
}

int pixel(const Dataset& dataset, std::size_t i) {
    return std::to_integer<int>(dataset.pixels.at(i));
}

float value(const Dataset& dataset, std::size_t i) {
    float number = 0;
    std::memcpy(&number, dataset.pixels.data() + 4 * i, 4);
    return number;
}

} // namespace

TEST_CASE("labels choose samples before the limit counts them, with all that belongs to a sample") {
    const Dataset all = load_dataset({.source = "sprites:60"});
    const Dataset some = load_dataset({.source = "sprites:60", .with_labels = {"square", "2"}});
    const Dataset same = load_dataset({.source = "sprites:60", .without_labels = {"ellipse"}});
    REQUIRE(all.class_names == std::vector<std::string>{"square", "ellipse", "heart"});
    std::vector<std::size_t> kept;
    for (std::size_t i = 0; i < 60; ++i)
        if (all.labels[i] != 1)
            kept.push_back(i);
    REQUIRE(some.count == static_cast<std::int64_t>(kept.size()));
    CHECK(some.fingerprint == same.fingerprint);
    CHECK(some.fingerprint != all.fingerprint);
    const std::size_t size = item_bytes(all);
    for (std::size_t i = 0; i < kept.size(); ++i) {
        CHECK(some.labels[i] == all.labels[kept[i]]);
        CHECK(some.factors[i * 6 + 3] == all.factors[kept[i] * 6 + 3]);
        CHECK(std::memcmp(&some.pixels[i * size], &all.pixels[kept[i] * size], size) == 0);
    }
    const Dataset few = load_dataset({.source = "sprites:60", .limit = 5, .with_labels = {"heart"}});
    CHECK(few.count == 5);
    CHECK(std::set<std::uint8_t>(few.labels.begin(), few.labels.end()) == std::set<std::uint8_t>{2});
    CHECK(load_dataset({.source = "sprites:60", .with_labels = {"0", "1"}, .without_labels = {"0"}}).count ==
          load_dataset({.source = "sprites:60", .with_labels = {"1"}}).count);
    CHECK(load_outcome({.source = "sprites:60", .with_labels = {"circle"}}).status == Status::usage);
    CHECK(load_outcome({.source = "sprites:60", .with_labels = {"-1"}}).says("no label '-1'"));
    CHECK(load_outcome({.source = "sprites:60", .with_labels = {"7"}}).says("no sample of the train split"));
    CHECK(load_dataset({.source = "sprites:60", .with_labels = {"7"}, .optional = true}).count == 0);
    const TempFolder folder;
    write_npy_bytes(folder.path / "x.npy", "|u1", "3, 2, 2", std::string(12, '\x42'));
    CHECK(load_outcome({.source = (folder.path / "x.npy").string(), .without_labels = {"1"}}).says("x has no labels"));
    Dataset dropped = all;
    drop_labels(dropped, {"ellipse"});
    CHECK(dropped.pixels == some.pixels);
    CHECK(outcome_of([&] { drop_labels(dropped, {"square", "heart"}); }).says("no sample is left"));
}

TEST_CASE("hash_bytes is XXH64") {
    CHECK(hash_text("") == 0xef46db3751d8e999u);
    CHECK(hash_text("a") == 0xd24ec4f1a98c6e5bu);
    CHECK(hash_text("abc") == 0x44bc2cf5ad770999u);
    CHECK(hash_text("Nobody inspects the spammish repetition") == 0xfbcea83c8a378bf1u);
}

TEST_CASE("a request that contradicts itself is a usage error") {
    CHECK(load_outcome({.source = "sprites:4", .split = "valid"}).status == Status::usage);
    CHECK(load_outcome({.source = "sprites:4", .height = 32}).status == Status::usage);
    CHECK(load_outcome({.source = "sprites:4", .limit = -1}).status == Status::usage);
    CHECK(load_outcome({.source = "sprites:4", .height = 100'000, .width = 100'000}).status == Status::usage);
    for (const char* source : {"sprites:0", "sprites:", "sprites:-3", "sprites:4x", "sprites:99999999999999999999"})
        CHECK(load_outcome({.source = source}).says("N in sprites:N"));
}

TEST_CASE("a source that does not exist or is of no known kind is a data error that lists the kinds") {
    const TempFolder folder;
    CHECK(load_outcome({.source = "no/such/place"}).says("no such file or folder"));
    write_file_atomic(folder.path / "notes.txt", "hello");
    const Outcome outcome = load_outcome({.source = path_text(folder.path / "notes.txt")});
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("a .npy file"));
}

TEST_CASE("sprites are the same on every machine") {
    const Dataset train = load_dataset({.source = "sprites:256"});
    CHECK(train.count == 256);
    CHECK(train.height == 64);
    CHECK(train.width == 64);
    CHECK(train.channels == 3);
    CHECK(train.type == PixelType::u8);
    CHECK(train.fingerprint == 0xfe437d963ce7d21cu);
    CHECK(load_dataset({.source = "sprites:256", .seed = 1}).fingerprint == train.fingerprint); // a run's, not theirs
    // A larger set begins with the smaller one.
    const Dataset more = load_dataset({.source = "sprites:300", .limit = 256});
    CHECK(more.fingerprint == train.fingerprint);
}

TEST_CASE("sprites know their factors") {
    const Dataset train = load_dataset({.source = "sprites:2000"});
    const std::vector<float> sizes = {3, 6, 40, 32, 32, 6};
    REQUIRE(train.factor_names.size() == sizes.size());
    REQUIRE(train.factors.size() == 2000 * sizes.size());
    for (std::size_t f = 0; f < sizes.size(); ++f) {
        std::set<float> seen;
        for (std::size_t i = f; i < train.factors.size(); i += sizes.size())
            seen.insert(train.factors[i]);
        CHECK(static_cast<float>(seen.size()) == sizes[f]); // all values occur
        CHECK(*seen.rbegin() == sizes[f] - 1);
    }
    CHECK(train.class_names == std::vector<std::string>{"square", "ellipse", "heart"});
    for (std::size_t i = 0; i < train.labels.size(); ++i)
        CHECK(static_cast<float>(train.labels[i]) == train.factors[i * sizes.size()]);
}

TEST_CASE("no sprite touches the border and none is empty") {
    const Dataset train = load_dataset({.source = "sprites:500"});
    for (std::size_t i = 0; i < 500; ++i) {
        int sum = 0, border = 0;
        for (std::size_t y = 0; y < 64; ++y)
            for (std::size_t x = 0; x < 64; ++x)
                for (std::size_t c = 0; c < 3; ++c) {
                    const int level = pixel(train, ((i * 64 + y) * 64 + x) * 3 + c);
                    sum += level;
                    border += y == 0 || x == 0 || y == 63 || x == 63 ? level : 0;
                }
        CHECK(border == 0);
        CHECK(sum > 10'000);
    }
}

TEST_CASE("sprites for training and for test never share a combination") {
    const Dataset train = load_dataset({.source = "sprites:4000"});
    const Dataset test = load_dataset({.source = "sprites:4000", .split = "test"});
    CHECK(test.count == 500);
    std::set<std::vector<float>> seen;
    for (std::size_t i = 0; i < 4000; ++i)
        seen.insert({train.factors.begin() + static_cast<std::ptrdiff_t>(i * 6),
                     train.factors.begin() + static_cast<std::ptrdiff_t>(i * 6 + 6)});
    CHECK(seen.size() == 4000); // and no image twice
    for (std::size_t i = 0; i < 500; ++i)
        CHECK(!seen.contains({test.factors.begin() + static_cast<std::ptrdiff_t>(i * 6),
                              test.factors.begin() + static_cast<std::ptrdiff_t>(i * 6 + 6)}));
}

TEST_CASE("any source can be had in another size and number of channels") {
    const Dataset small = load_dataset({.source = "sprites:4", .height = 32, .width = 32, .channels = 1});
    CHECK(small.height == 32);
    CHECK(small.channels == 1);
    CHECK(small.pixels.size() == 4u * 32 * 32);
    const Dataset grey = load_dataset({.source = "sprites:4", .channels = 1});
    CHECK(grey.pixels.size() == 4u * 64 * 64);
}

TEST_CASE("choose_items keeps the order, depends on the seed and never repeats") {
    CHECK(choose_items(3, 0, 1) == std::vector<std::int64_t>{0, 1, 2});
    CHECK(choose_items(3, 9, 1) == std::vector<std::int64_t>{0, 1, 2});
    const std::vector<std::int64_t> some = choose_items(1000, 100, 1);
    CHECK(some.size() == 100);
    CHECK(std::is_sorted(some.begin(), some.end()));
    CHECK(std::adjacent_find(some.begin(), some.end()) == some.end());
    CHECK(some != choose_items(1000, 100, 2));
    CHECK(some == choose_items(1000, 100, 1));
}

TEST_CASE("a folder of images gives sorted images, classes from the first folder, and a split by name") {
    const TempFolder folder;
    for (int i = 0; i < 30; ++i)
        for (const char* kind : {"cat", "ant"})
            write_flat_png(folder.path / kind / "deep" / (std::to_string(i) + ".png"), 4, 3, 3,
                           kind[0] == 'a' ? 10 : 20);
    write_file_atomic(folder.path / "labels.csv", "ignored");
    write_file_atomic(folder.path / ".hidden.png", "ignored");
    const std::string source = path_text(folder.path);
    const Dataset train = load_dataset({.source = source}), test = load_dataset({.source = source, .split = "test"});
    CHECK(train.count + test.count == 60);
    CHECK(test.count >= 1);
    CHECK(test.count <= 15);
    CHECK(train.height == 3);
    CHECK(train.width == 4);
    CHECK(train.channels == 3);
    CHECK(train.class_names == std::vector<std::string>{"ant", "cat"});
    CHECK(train.skipped.empty());
    for (std::size_t i = 0; i < train.labels.size(); ++i)
        CHECK(pixel(train, i * 36) == (train.labels[i] == 0 ? 10 : 20));
    CHECK(load_dataset({.source = source, .limit = 7}).count == 7);
    CHECK(load_dataset({.source = source}).fingerprint == train.fingerprint);
}

TEST_CASE("train and test folders are the split where both exist") {
    const TempFolder folder;
    write_flat_png(folder.path / "train" / "a" / "1.png", 2, 2, 1, 1);
    write_flat_png(folder.path / "train" / "b" / "2.png", 2, 2, 1, 2);
    write_flat_png(folder.path / "test" / "b" / "3.png", 2, 2, 1, 3);
    const std::string source = path_text(folder.path);
    const Dataset train = load_dataset({.source = source}), test = load_dataset({.source = source, .split = "test"});
    CHECK(train.count == 2);
    CHECK(train.channels == 1); // grey files stay grey
    CHECK(test.count == 1);
    CHECK(test.labels == std::vector<std::uint8_t>{1}); // class b, as in train
    CHECK(pixel(test, 0) == 3);
}

TEST_CASE("images directly in the folder have no labels") {
    const TempFolder folder;
    write_flat_png(folder.path / "1.png", 2, 2, 1, 1);
    write_flat_png(folder.path / "2.png", 2, 2, 1, 1);
    const Dataset train = load_dataset({.source = path_text(folder.path)});
    CHECK(train.labels.empty());
    CHECK(train.class_names.empty());
}

TEST_CASE("images of different sizes need the model's size") {
    const TempFolder folder;
    for (int i = 0; i < 8; ++i)
        write_flat_png(folder.path / numbered("a", i), 4, 4, 3, 50);
    for (int i = 0; i < 8; ++i)
        write_flat_png(folder.path / numbered("b", i), 9, 5, 3, 50);
    const std::string source = path_text(folder.path);
    const Outcome outcome = load_outcome({.source = source});
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("is 4 x 4"));
    CHECK(outcome.says("is 9 x 5"));
    const Dataset fitted = load_dataset({.source = source, .height = 6, .width = 6});
    CHECK(fitted.height == 6);
    for (std::size_t i = 0; i < fitted.pixels.size(); ++i)
        CHECK(pixel(fitted, i) == 50);
}

TEST_CASE("a few bad images are skipped and listed, many stop the run") {
    const TempFolder folder;
    for (int i = 0; i < 40; ++i)
        write_flat_png(folder.path / numbered("ok", i), 2, 2, 3, 9);
    std::vector<std::byte> broken = read_file(folder.path / "ok0.png", 1 << 20);
    broken.resize(broken.size() - 3);
    const auto break_file = [&](const std::string& name) { write_file_atomic(folder.path / name, broken); };
    // Names whose hash puts them into the training split.
    std::vector<std::string> names;
    for (int i = 0; names.size() < 3; ++i)
        if (const std::string name = numbered("zz", i); hash_text(name) % 10 != 0)
            names.push_back(name);
    const std::string source = path_text(folder.path);
    const std::int64_t good = load_dataset({.source = source}).count;
    break_file(names[0]);
    const Dataset one_bad = load_dataset({.source = source});
    CHECK(one_bad.count == good);
    REQUIRE(one_bad.skipped.size() == 1);
    CHECK(one_bad.skipped[0].starts_with(names[0]));
    break_file(names[1]);
    break_file(names[2]);
    const Outcome outcome = load_outcome({.source = source});
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("3 of "));
    CHECK(outcome.says(names[0]));
}

TEST_CASE("pictures in formats we do not read are not passed over in silence") {
    const TempFolder folder;
    for (int i = 0; i < 5; ++i)
        write_file_atomic(folder.path / (std::to_string(i) + ".webp"), "RIFF....WEBP");
    const Outcome outcome = load_outcome({.source = path_text(folder.path)});
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("not a PNG or JPEG"));
}

TEST_CASE("content decides, not the file's name") {
    const TempFolder folder;
    write_flat_png(folder.path / "a.jpg", 2, 2, 3, 7);
    write_flat_png(folder.path / "noextension", 2, 2, 3, 7);
    const std::string source = path_text(folder.path);
    CHECK(load_dataset({.source = source}).count + load_dataset({.source = source, .split = "test"}).count == 2);
}

TEST_CASE("an empty folder says what was expected") {
    const TempFolder folder;
    CHECK(load_outcome({.source = path_text(folder.path)}).says("no PNG or JPEG images"));
    write_file_atomic(folder.path / "readme.txt", "x");
    CHECK(load_outcome({.source = path_text(folder.path)}).says("readme.txt"));
}

TEST_CASE("arrays of pictures: axes, split and types") {
    const TempFolder folder;
    const fs::path path = folder.path / "set.npy";
    const std::string source = path_text(path);
    std::string data;
    for (int i = 0; i < 20 * 6; ++i)
        data += static_cast<char>(i);
    write_npy_bytes(path, "|u1", "20, 2, 3", data);
    const Dataset train = load_dataset({.source = source}), test = load_dataset({.source = source, .split = "test"});
    CHECK(train.name == "set");
    CHECK(train.count == 18);
    CHECK(test.count == 2);
    CHECK(train.height == 2);
    CHECK(train.width == 3);
    CHECK(train.channels == 1);
    CHECK(pixel(test, 0) == 18 * 6);
    // A file for the test split beside it: then all of the first is for training.
    write_npy_bytes(folder.path / "set_test.npy", "|u1", "1, 2, 3", "abcdef");
    CHECK(load_dataset({.source = source}).count == 20);
    CHECK(pixel(load_dataset({.source = source, .split = "test"}), 0) == 'a');

    write_npy_bytes(folder.path / "chw.npy", "|u1", "2, 3, 1, 2", "rRgGbBxXyYzZ"); // (N, C, H, W)
    const Dataset chw = load_dataset({.source = path_text(folder.path / "chw.npy")});
    CHECK(chw.channels == 3);
    CHECK(chw.width == 2);
    CHECK(to_text(chw.pixels) == "rgbRGB");

    write_npy_bytes(folder.path / "bits.npy", "|b1", "2, 1, 2", std::string("\x00\x01\x01\x00", 4));
    const Dataset bits = load_dataset({.source = path_text(folder.path / "bits.npy")});
    CHECK(pixel(bits, 0) == 0);
    CHECK(pixel(bits, 1) == 255);
    write_npy_bytes(folder.path / "mask.npy", "|u1", "2, 1, 2", std::string("\x00\x01\x01\x00", 4));
    CHECK(load_outcome({.source = path_text(folder.path / "mask.npy")}).says("x * 255"));
    write_npy_bytes(folder.path / "line.npy", "|u1", "4", "abcd");
    CHECK(load_outcome({.source = path_text(folder.path / "line.npy")}).says("1 dimensions"));
    write_npy_bytes(folder.path / "none.npy", "|u1", "0, 2, 2", "");
    CHECK(load_outcome({.source = path_text(folder.path / "none.npy")}).says("is empty"));
    write_npy_bytes(folder.path / "thin.npy", "|u1", "2, 0, 2", "");
    CHECK(load_outcome({.source = path_text(folder.path / "thin.npy")}).status == Status::data);
}

TEST_CASE("float pictures must be finite and in [0,1], and the message tells how to get there") {
    const TempFolder folder;
    const fs::path path = folder.path / "f.npy";
    const std::string source = path_text(path);
    const std::int64_t shape[] = {2, 1, 2};
    write_npy(path, shape, std::vector<float>{0, 0.5f, 1, 0.25f});
    const Dataset good = load_dataset({.source = source, .split = "test"});
    CHECK(good.type == PixelType::f32);
    CHECK(value(good, 1) == 0.25f);
    write_npy(path, shape, std::vector<float>{-1, 255, 1, 0.25f});
    const Outcome outcome = load_outcome({.source = source});
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("found -1 to 255"));
    CHECK(outcome.says("x / 255"));
    write_npy(path, shape, std::vector<float>{0, NAN, 1, 0.25f});
    CHECK(load_outcome({.source = source}).says("sample 0 holds nan"));
}

TEST_CASE("rows of numbers stay flat unless the model's size makes them images") {
    const TempFolder folder;
    const fs::path path = folder.path / "rows.npy";
    const std::string source = path_text(path);
    const std::int64_t shape[] = {3, 4};
    write_npy(path, shape, std::vector<float>{-5, 2, 3, 4, 0, 1, 0, 1, 9, 9, 9, 9});
    const Dataset rows = load_dataset({.source = source});
    CHECK(rows.flat);
    CHECK(rows.count == 2);
    CHECK(rows.height == 1);
    CHECK(rows.width == 4);
    CHECK(rows.channels == 1);
    CHECK(value(rows, 0) == -5);
    CHECK(load_dataset({.source = source, .height = 1, .width = 4}).flat);
    CHECK(load_outcome({.source = source, .height = 3, .width = 3}).says("have 4"));
    CHECK(load_outcome({.source = source, .height = 2, .width = 2}).says("[0,1]"));
    write_npy(path, shape, std::vector<float>(12, 0.5f));
    const Dataset images = load_dataset({.source = source, .height = 2, .width = 2, .channels = 1});
    CHECK(!images.flat);
    CHECK(images.height == 2);
}

TEST_CASE("signals of several channels may hold any numbers") {
    const TempFolder folder;
    const fs::path path = folder.path / "signals.npy";
    const std::int64_t shape[] = {3, 4};
    write_npy(path, shape, std::vector<float>{-5, 2, 3, 4, 0, 1, 0, 1, 9, 9, 9, 9});
    const Dataset signals = load_dataset({.source = path_text(path), .height = 1, .width = 2, .channels = 2});
    CHECK(signals.channels == 2);
    CHECK(value(signals, 0) == -5);
}

TEST_CASE("as integers, data are the numbers that they are") {
    const TempFolder folder;
    const auto load = [&](int height, int width) {
        return load_dataset(
            {.source = path_text(folder.path / "x.npy"), .height = height, .width = width, .integers = true});
    };
    const std::string bytes("\0\1\2\3\4\5\6\7", 8), wide("\0\0\1\0\2\0\3\1\4\0\5\0\6\0\7\0", 16);
    for (const char* shape : {"2, 4", "2, 2, 2", "2, 1, 2, 2"}) { // the second sample is the test split
        for (const auto& [type, data, last] : {std::tuple{"|u1", bytes, 3.0f}, {"<i2", wide, 259.0f}, {"<u2", wide, 259.0f}}) {
            write_npy_bytes(folder.path / "x.npy", type, shape, data);
            for (const Dataset& dataset : {load(1, 4), load(2, 2)}) {
                CHECK(dataset.count == 1);
                CHECK(dataset.type == PixelType::f32);
                for (std::size_t i = 0; i < 4; ++i)
                    CHECK(value(dataset, i) == (i < 3 ? static_cast<float>(i) : last));
            }
        }
    }
    CHECK(outcome_of([&] { load(1, 5); }).says("have 4"));
    CHECK(load_outcome({.source = path_text(folder.path / "x.npy")}).says("counts or tokens"));
    write_npy_bytes(folder.path / "x.npy", "|b1", "2, 1", std::string("\1\0", 2));
    CHECK(value(load(1, 1), 0) == 1);
    const Dataset pictures = load_dataset({.source = "sprites:2", .integers = true});
    const Dataset shades = load_dataset({.source = "sprites:2"});
    REQUIRE(pictures.pixels.size() == 4 * shades.pixels.size());
    std::size_t different = 0;
    for (std::size_t i = 0; i < shades.pixels.size(); ++i)
        different += value(pictures, i) != static_cast<float>(pixel(shades, i)) ? 1 : 0;
    CHECK(different == 0);
}

TEST_CASE("tables are what they say, the same for every seed, and their splits differ") {
    struct Known {
        const char* name;
        int width;
        float most;
        bool labels;
    };
    for (const Known& known : {Known{"genes", 48, 1000, true}, {"baskets", 60, 29, true}, {"sentences", 20, 26, false}}) {
        const std::string name = known.name;
        const Dataset train = load_dataset({.source = name + ":64"}), test = load_dataset({.source = name + ":64", .split = "test"});
        CHECK(train.count == 64);
        CHECK(test.count == 8);
        CHECK(train.width == known.width);
        CHECK(train.flat);
        CHECK(train.labels.size() == (known.labels ? 64u : 0u));
        CHECK(load_dataset({.source = name + ":64", .seed = 7}).fingerprint == train.fingerprint);
        CHECK(std::memcmp(train.pixels.data(), test.pixels.data(), test.pixels.size()) != 0);
        const Dataset more = load_dataset({.source = name});
        CHECK(more.count == 4096);
        CHECK(std::memcmp(more.pixels.data(), train.pixels.data(), train.pixels.size()) == 0);
        for (std::int64_t row = 0; row < more.count; ++row) {
            float total = 0;
            for (int i = 0; i < known.width; ++i) {
                const float x = value(more, std::size_t(row * known.width + i));
                REQUIRE((x >= 0 && x <= known.most && x == std::floor(x)));
                total += x;
            }
            if (name == "baskets")
                REQUIRE((total >= 10 && total <= 29));
        }
        CHECK(load_outcome({.source = name + ":0"}).says("must be 1 to 1000000"));
        CHECK(load_outcome({.source = name + ":x"}).says("must be 1 to 1000000"));
    }
    std::string text;
    const Dataset sentences = load_dataset({.source = "sentences"});
    for (std::size_t i = 0; i < 20; ++i)
        text += value(sentences, i) == 0 ? ' ' : static_cast<char>('a' + int(value(sentences, i)) - 1);
    CHECK(text.find(" the ") != std::string::npos);
}

TEST_CASE("doubles become floats") {
    const TempFolder folder;
    const double values[] = {0.1, 0.2, 0.3, 0.4};
    std::string data(sizeof values, '\0');
    std::memcpy(data.data(), values, sizeof values);
    write_npy_bytes(folder.path / "d.npy", "<f8", "2, 1, 2", data);
    const Dataset dataset = load_dataset({.source = path_text(folder.path / "d.npy")});
    CHECK(dataset.type == PixelType::f32);
    CHECK(value(dataset, 1) == 0.2f);
}

TEST_CASE("IDX folders: labels are optional but must fit") {
    const TempFolder folder;
    const std::string source = path_text(folder.path);
    const auto idx = [](const std::string& sizes, const std::string& data) {
        std::string text = {'\0', '\0', '\x08', static_cast<char>(sizes.size())};
        for (const char size : sizes)
            text += std::string(3, '\0') + size;
        return text + data;
    };
    write_file_atomic(folder.path / "train-images.idx3-ubyte", idx({2, 1, 2}, "abcd"));
    const Dataset plain = load_dataset({.source = source});
    CHECK(plain.count == 2);
    CHECK(plain.labels.empty());
    write_file_atomic(folder.path / "train-labels.idx1-ubyte", idx({2}, {'\x03', '\x01'}));
    const Dataset labelled = load_dataset({.source = source});
    CHECK(labelled.labels == std::vector<std::uint8_t>{3, 1});
    CHECK(labelled.class_names.size() == 4);
    CHECK(load_outcome({.source = source, .split = "test"}).says("t10k-images"));
    write_file_atomic(folder.path / "train-labels.idx1-ubyte", idx({3}, "abc"));
    CHECK(load_outcome({.source = source}).says("not one label"));
}

TEST_CASE("MNIST is what it is known to be") {
    const fs::path folder = fs::path(VKVAE_SOURCE_DIR).parent_path() / "shared" / "data" / "mnist";
    if (!fs::exists(folder))
        return;
    const Dataset train = load_dataset({.source = path_text(folder)});
    CHECK(train.name == "mnist");
    CHECK(train.count == 60'000);
    CHECK(train.height == 28);
    CHECK(train.width == 28);
    CHECK(train.class_names.size() == 10);
    CHECK(std::vector<std::uint8_t>(train.labels.begin(), train.labels.begin() + 5) ==
          std::vector<std::uint8_t>{5, 0, 4, 1, 9});
    double sum = 0;
    for (const std::byte level : train.pixels)
        sum += std::to_integer<int>(level);
    CHECK(sum / (60'000.0 * 784 * 255) == doctest::Approx(0.1307).epsilon(0.001)); // the mean everybody normalises by
    const Dataset test =
        load_dataset({.source = path_text(folder), .split = "test", .height = 32, .width = 32, .limit = 100});
    CHECK(test.count == 100);
    CHECK(test.labels.size() == 100);
    CHECK(test.pixels.size() == 100u * 32 * 32);
}
