// Writes the seeds of the fuzz targets: make_corpus DIR fills DIR/safetensors, DIR/npy, DIR/idx, DIR/image and
// DIR/vkz.
#include "dataset/npy.hpp"
#include "dataset/stb.hpp"
#include "io/file.hpp"
#include "io/safetensors.hpp"
#include "latent/bits_back.hpp"
#include "latent/latent_code.hpp"
#include "latent/vkz.hpp"

#include <zlib.h>

#include <cstdio>
#include <exception>

namespace fs = std::filesystem;

namespace {

void write_safetensors_seeds(const fs::path& folder) {
    const std::vector<float> values = {1, 2, 3, 4, 5, 6};
    const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
    const vkvae::TensorEntry entries[] = {{"fc.weight", "F32", {2, 3}, bytes},
                                          {"half", "F16", {4}, bytes.first(8)},
                                          {"brain", "BF16", {2, 2}, bytes.first(8)},
                                          {"wide", "F64", {}, bytes.first(8)},
                                          {"none", "U8", {0}, {}}};
    vkvae::write_safetensors(folder / "full", {{"format", "pt"}}, entries);
    vkvae::write_safetensors(folder / "empty", {}, {});
    const std::string header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} ";
    vkvae::write_file_atomic(folder / "plain",
                             std::string{static_cast<char>(header.size())} + std::string(7, '\0') + header + "abcd");
}

void write_npy_seeds(const fs::path& folder) {
    const std::int64_t shape[] = {2, 3};
    const std::vector<float> values = {1, 2, 3, 4, 5, 6};
    vkvae::write_npy(folder / "f4", shape, values);
    for (const char* type : {"|u1", "|b1", "<f8"}) {
        const std::string dictionary =
            "{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (2, 4), }\n";
        const std::string head{"\x93NUMPY\x02\0", 8};
        vkvae::write_file_atomic(folder / (type + 1), head + static_cast<char>(dictionary.size()) +
                                                          std::string(3, '\0') + dictionary +
                                                          std::string(type[1] == 'f' ? 64 : 8, '\1'));
    }
}

void write_idx_seeds(const fs::path& folder) {
    const std::string labels = std::string("\0\0\x08\x01\0\0\0\x04", 8) + "abcd";
    const std::string images = std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02", 16) + "abcdefgh";
    vkvae::write_file_atomic(folder / "labels", labels);
    vkvae::write_file_atomic(folder / "images", images);
    const fs::path zipped = folder / "images.gz";
    const gzFile file = gzopen(zipped.string().c_str(), "wb");
    gzwrite(file, images.data(), static_cast<unsigned>(images.size()));
    gzclose(file);
}

void write_image_seeds(const fs::path& folder) {
    std::vector<std::uint8_t> pixels;
    for (int i = 0; i < 20 * 18 * 4; ++i)
        pixels.push_back(static_cast<std::uint8_t>(i * 7 + i / 80 * 3));
    for (const int channels : {1, 2, 3, 4}) {
        const std::string name = std::to_string(channels);
        vkvae::write_file_atomic(folder / ("png" + name), vkvae::stb_encode_png(20, 18, channels, pixels.data()));
        for (const int quality : {30, 95}) // above 90 the chroma is not subsampled
            if (channels % 2 == 1)
                vkvae::write_file_atomic(folder / ("jpeg" + name + "q" + std::to_string(quality)),
                                         vkvae::stb_encode_jpeg(20, 18, channels, pixels.data(), quality));
    }
}

void write_vkz_seeds(const fs::path& folder) {
    vkvae::VkzFile file{.count = 3, .height = 2, .width = 5, .channels = 1, .latent = 2, .side = {40, 90}, .words = {}};
    const std::int32_t k[] = {5, -1, 0, 0, -12, 1};
    file.words = vkvae::encode_latents(k, file.side);
    vkvae::write_file_atomic(folder / "lossy", vkvae::write_vkz(file));
    file.mode = vkvae::VkzFile::Mode::lossless;
    file.side = vkvae::to_bytes(vkvae::PixelModel{});
    vkvae::write_file_atomic(folder / "lossless", vkvae::write_vkz(file));
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: make_corpus DIR\n");
        return 2;
    }
    try {
        const fs::path root = argv[1];
        for (const char* kind : {"safetensors", "npy", "idx", "image", "vkz"})
            fs::create_directories(root / kind);
        write_safetensors_seeds(root / "safetensors");
        write_npy_seeds(root / "npy");
        write_idx_seeds(root / "idx");
        write_image_seeds(root / "image");
        write_vkz_seeds(root / "vkz");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
