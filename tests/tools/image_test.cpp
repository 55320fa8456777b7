// The contract of dataset/image: PNG and JPEG files are decoded whole or refused, resampling is exact, grids look
// right.
#include "dataset/image.hpp"
#include "dataset/stb.hpp"
#include "io/temp_folder.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace vkvae;
using namespace vkvae::test;

namespace {

// A picture with edges, gradients and noise.
Image sample_image(int width, int height, int channels) {
    Image image{.width = width, .height = height, .channels = channels, .pixels = {}};
    unsigned state = 1;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < channels; ++c) {
                state = state * 1664525u + 1013904223u;
                image.pixels.push_back(
                    static_cast<std::uint8_t>(x * 9 + y * 5 + c * 40 + static_cast<int>(state >> 28)));
            }
    return image;
}

std::vector<std::byte> png_of(const Image& image) {
    return stb_encode_png(image.width, image.height, image.channels, image.pixels.data());
}
std::vector<std::byte> jpeg_of(const Image& image) {
    return stb_encode_jpeg(image.width, image.height, image.channels, image.pixels.data(), 90);
}

Outcome decode_outcome(const std::vector<std::byte>& file) {
    return outcome_of([&] { decode_image(file, "picture"); });
}

std::vector<std::uint8_t> fit_u8(const std::vector<std::uint8_t>& in, const Extent& from, const Extent& to) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(to.height * to.width * to.channels));
    fit_pixels(in.data(), from, out.data(), to);
    return out;
}

} // namespace

TEST_CASE("a PNG is decoded to the pixels it was written from") {
    for (const int channels : {1, 3}) {
        const Image image = sample_image(13, 7, channels);
        const Image read = decode_image(png_of(image), "picture");
        CHECK(read.width == 13);
        CHECK(read.height == 7);
        CHECK(read.channels == channels);
        CHECK(read.pixels == image.pixels);
    }
}

TEST_CASE("write_png and read_image are inverse, and wrong sizes are refused") {
    const TempFolder folder;
    const Image image = sample_image(5, 9, 3);
    write_png(folder.path / "a.png", image);
    CHECK(read_image(folder.path / "a.png").pixels == image.pixels);
    const std::vector<std::uint8_t> few(10);
    CHECK(outcome_of([&] { write_png(folder.path / "b.png", 2, 2, 3, few); }).says("need 12 bytes, got 10"));
    CHECK(outcome_of([&] { write_png(folder.path / "b.png", 2, 2, 2, few); }).says("2 channels"));
    CHECK(outcome_of([&] { write_png(folder.path / "b.png", 1 << 20, 1 << 20, 3, few); }).says("cannot write"));
    CHECK(outcome_of([&] { write_png(folder.path / "b.png", 0, 1, 1, few); }).says("cannot write"));
    CHECK(folder.entries() == 1);
}

TEST_CASE("a JPEG is decoded to nearly the pixels it was written from") {
    Image image{.width = 24, .height = 16, .channels = 3, .pixels = {}};
    for (int y = 0; y < 16; ++y)
        for (int x = 0; x < 24; ++x)
            for (int c = 0; c < 3; ++c)
                image.pixels.push_back(static_cast<std::uint8_t>(60 + 5 * x + 2 * y));
    const Image read = decode_image(jpeg_of(image), "picture");
    REQUIRE(read.pixels.size() == image.pixels.size());
    for (std::size_t i = 0; i < read.pixels.size(); ++i)
        CHECK(std::abs(int{read.pixels[i]} - int{image.pixels[i]}) <= 6);
}

TEST_CASE("alpha is composited over black unless four channels are asked for") {
    const Image image{.width = 2, .height = 1, .channels = 4, .pixels = {200, 100, 50, 0, 200, 100, 50, 128}};
    CHECK(decode_image(png_of(image), "p").pixels == std::vector<std::uint8_t>{0, 0, 0, 100, 50, 25});
    CHECK(decode_image(png_of(image), "p", 4).pixels == image.pixels);
    CHECK(decode_image(png_of(image), "p", 1).pixels == std::vector<std::uint8_t>{0, 62}); // luma of (100, 50, 25)
    const Image grey{.width = 2, .height = 1, .channels = 2, .pixels = {200, 0, 200, 128}};
    CHECK(decode_image(png_of(grey), "p").pixels == std::vector<std::uint8_t>{0, 100});
}

TEST_CASE("every truncation of a PNG and of a JPEG is refused") {
    const auto decode = [](const std::vector<std::byte>& file) { decode_image(file, "truncated"); };
    for (const int channels : {1, 3}) {
        CHECK(accepted_truncations(png_of(sample_image(9, 6, channels)), decode) == 0);
        CHECK(accepted_truncations(jpeg_of(sample_image(17, 9, channels)), decode) == 0);
    }
}

TEST_CASE("every changed byte of a PNG is refused") {
    const std::vector<std::byte> good = png_of(sample_image(9, 6, 3));
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::vector<std::byte> bad = good;
        bad[i] ^= std::byte{0x41};
        CHECK(decode_outcome(bad).status == Status::data);
    }
}

TEST_CASE("changed bytes of a JPEG are refused or harmless") {
    const std::vector<std::byte> good = jpeg_of(sample_image(17, 9, 3));
    for (std::size_t i = 0; i < good.size(); ++i)
        for (const std::byte flip : {std::byte{0x01}, std::byte{0xff}}) {
            std::vector<std::byte> bad = good;
            bad[i] ^= flip;
            const Status status = decode_outcome(bad).status;
            CHECK((status == Status::ok || status == Status::data));
        }
}

TEST_CASE("a file that claims more pixels than its bytes can hold is refused before they are allocated") {
    std::vector<std::byte> png = png_of(sample_image(4, 4, 1));
    const auto set_width = [&](unsigned width) {
        png[18] = static_cast<std::byte>(width >> 8);
        png[19] = static_cast<std::byte>(width & 255);
    };
    set_width(16384);
    png[22] = std::byte{8}; // height 8 * 256 + 4
    const DecodeLimits no_crc{.check_crc = false};
    const Outcome outcome = outcome_of([&] { decode_image(png, "bomb", 0, no_crc); });
    CHECK(outcome.says("more than its"));
    set_width(16385);
    CHECK(outcome_of([&] { decode_image(png, "wide", 0, no_crc); }).status == Status::data);
    CHECK(decode_outcome(to_bytes("GIF89a")).says("not a PNG or JPEG"));
    CHECK(decode_outcome({}).says("not a PNG or JPEG"));
}

TEST_CASE("shrinking averages areas, growing interpolates, both exactly") {
    CHECK(fit_u8({0, 100, 200, 50}, {2, 2, 1}, {1, 1, 1}) == std::vector<std::uint8_t>{88}); // 87.5
    CHECK(fit_u8({0, 30, 60, 0, 30, 60, 0, 30, 60}, {3, 3, 1}, {2, 2, 1}) == std::vector<std::uint8_t>{10, 50, 10, 50});
    CHECK(fit_u8({0, 100}, {1, 2, 1}, {2, 4, 1}) == std::vector<std::uint8_t>{0, 25, 75, 100, 0, 25, 75, 100});
    const Image image = sample_image(11, 8, 3);
    CHECK(fit_u8(image.pixels, {8, 11, 3}, {8, 11, 3}) == image.pixels);
    for (const Extent to : {Extent{3, 5, 3}, Extent{16, 3, 3}, Extent{31, 40, 3}, Extent{1, 1, 3}}) {
        const std::vector<std::uint8_t> white(8 * 11 * 3, 255);
        CHECK(fit_u8(white, {8, 11, 3}, to) ==
              std::vector<std::uint8_t>(static_cast<std::size_t>(to.height * to.width * 3), 255));
        const std::vector<float> ones(8 * 11 * 3, 1.0f);
        std::vector<float> out(static_cast<std::size_t>(to.height * to.width * 3));
        fit_pixels(ones.data(), {8, 11, 3}, out.data(), to);
        CHECK(out == std::vector<float>(out.size(), 1.0f)); // never a little above 1
    }
}

TEST_CASE("another aspect crops the middle") {
    CHECK(fit_u8({1, 2, 3, 4}, {1, 4, 1}, {1, 2, 1}) == std::vector<std::uint8_t>{2, 3});
    CHECK(fit_u8({9, 1, 2, 9, 9, 3, 4, 9}, {2, 4, 1}, {2, 2, 1}) == std::vector<std::uint8_t>{1, 2, 3, 4});
    CHECK(fit_u8({9, 5, 9}, {3, 1, 1}, {1, 1, 1}) == std::vector<std::uint8_t>{5});
}

TEST_CASE("channels are converted with Rec. 601 luma") {
    CHECK(fit_u8({255, 0, 0}, {1, 1, 3}, {1, 1, 1}) == std::vector<std::uint8_t>{76});
    CHECK(fit_u8({77}, {1, 1, 1}, {1, 1, 3}) == std::vector<std::uint8_t>{77, 77, 77});
    CHECK(fit_u8({77}, {1, 1, 1}, {1, 1, 4}) == std::vector<std::uint8_t>{77, 77, 77, 255});
    CHECK(outcome_of([] { fit_u8({1, 2}, {1, 1, 2}, {1, 1, 3}); }).says("2 channels"));
}

TEST_CASE("a grid holds its images in rows between dark lines") {
    const std::vector<float> images = {0.0f, 1.0f, 0.5f};
    const Image grid = make_grid(images, 3, 1, 1, 1, 2, 1);
    CHECK(grid.width == 5);
    CHECK(grid.height == 5);
    CHECK(grid.pixels[5 + 1] == 0);
    CHECK(grid.pixels[5 + 3] == 255);
    CHECK(grid.pixels[15 + 1] == 128);
    CHECK(grid.pixels[15 + 3] == grid.pixels[0]); // no fourth image
    CHECK(make_grid(images, 3, 1, 1, 1, 8, 0).width == 3);
    const std::vector<float> wild = {-3.0f, 7.0f};
    CHECK(make_grid(wild, 2, 1, 1, 1, 2, 0).pixels == std::vector<std::uint8_t>{0, 255});
    const std::vector<float> broken = {NAN};
    CHECK(outcome_of([&] { make_grid(broken, 1, 1, 1, 1, 1); }).says("NaN"));
    CHECK(outcome_of([&] { make_grid(images, 2, 1, 1, 1, 1); }).status == Status::runtime);
    CHECK(outcome_of([&] { make_grid(images, 3, 1, 1, 1, 0); }).status == Status::runtime);
}
