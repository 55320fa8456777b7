// The contract of ops/matmul: every transpose, size and epilogue is the product that the formula says.
#include "gpu/sample_plan.hpp"
#include "op_check.hpp"
#include "ops/gemm.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

OpCase matmul_case(int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
    OpCase c;
    c.name = concat_text("matmul ", m, "x", n, "x", k, ta ? " T" : " N", tb ? "T" : "N");
    c.inputs = {{ta ? Shape{k, m} : Shape{m, k}}, {tb ? Shape{n, k} : Shape{k, n}}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return matmul(g, in[0], in[1], ta, tb); };
    c.formula = [=](const std::vector<Values>& in) {
        Values y(size_t(m * n), 0.0);
        for (int64_t i = 0; i < m; i++)
            for (int64_t l = 0; l < k; l++)
                for (int64_t j = 0; j < n; j++)
                    y[size_t(i * n + j)] += in[0][size_t(ta ? l * m + i : i * k + l)] *
                                            in[1][size_t(tb ? j * k + l : l * n + j)];
        return y;
    };
    c.samples = 6;
    return c;
}

OpCase linear_case(Shape x, int64_t out, bool bias, Activation activation) {
    int64_t k = x.back(), rows = element_count(x) / k;
    OpCase c;
    c.name = concat_text("linear ", to_text(x), " to ", out, " ", activation_name(activation));
    c.inputs = {{x}, {{k, out}}};
    if (bias)
        c.inputs.push_back({{out}});
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        return linear(g, in[0], in[1], bias ? in[2] : Tensor{}, activation);
    };
    c.formula = [=](const std::vector<Values>& in) {
        Values y = reference::linear(in[0], in[1], bias ? in[2] : Values{}, size_t(rows), size_t(k), size_t(out));
        if (activation == Activation::none)
            return y;
        return reference::activate(reference::Activation(uint32_t(activation) - 1), y); // the same order, after none
    };
    c.samples = 6;
    return c;
}

} // namespace

TEST_CASE("matmul of any size, transposed or not, is the product, and so are its gradients") {
    for (bool ta : {false, true})
        for (bool tb : {false, true}) {
            check(matmul_case(1, 1, 1, ta, tb));
            check(matmul_case(7, 3, 5, ta, tb));
            check(matmul_case(37, 41, 43, ta, tb));
            check(matmul_case(36, 44, 52, ta, tb)); // whole vec4s along every side
            check(matmul_case(68, 132, 20, ta, tb));
            check(matmul_case(68, 40, 19, ta, tb)); // along some
            check(matmul_case(33, 70, 24, ta, tb));
        }
}

TEST_CASE("matmul goes beyond tiles, slices and 65535 rows") {
    check(matmul_case(65, 67, 130, false, false));
    check(matmul_case(5, 3, 4099, false, false)); // a long sum is split, and its parts added in a fixed order
    check(matmul_case(5, 4, 4099, true, false));
    OpCase tall = matmul_case(65537, 3, 2, false, false);
    tall.samples = 3;
    check(tall);
    OpCase wide = matmul_case(3, 65537, 2, false, true);
    wide.samples = 3;
    check(wide);
}

TEST_CASE("matmul with many rows and few columns is the product, and so are its gradients") {
    for (int64_t n : {1, 3, 4, 8})
        for (bool ta : {false, true})
            for (bool tb : {false, true})
                check(matmul_case(n % 2 ? 131 : 132, n % 2 ? 37 : 36, n, ta, tb));
    check(linear_case({77, 140}, 3, true, Activation::silu)); // its weight gradient keeps the bias's sums
    check(linear_case({1030, 200}, 4, true, Activation::tanh));
}

TEST_CASE("matmul in every tile is the product") {
    for (size_t tile = 1; tile <= gemm_tiles().size(); tile++) {
        INFO("tile ", tile);
        Environment force("VKVAE_GEMM_TILE", std::to_string(tile).c_str());
        std::unique_ptr<Device> device = Device::create(test_options());
        bool odd = tile % 2; // without prefetch; in conv2d's test with
        check(odd ? matmul_case(133, 67, 37, false, false) : matmul_case(132, 68, 36, false, false), *device);
    }
}

TEST_CASE("in every tile of some sizes, gradients of weights and biases are sums of slices") {
    for (size_t tile = 1; tile <= gemm_tiles().size(); tile++) {
        const GemmTile& t = gemm_tiles()[tile - 1];
        if (t.prefetch || (t.m * t.n != 16 * 16 && t.n != 8))
            continue;
        INFO("tile ", tile);
        Environment force("VKVAE_GEMM_TILE", std::to_string(tile).c_str());
        std::unique_ptr<Device> device = Device::create(test_options());
        OpCase split = linear_case({1030, 8}, 20, true, Activation::none);
        split.samples = 3;
        check(split, *device);
    }
}

TEST_CASE("in every tile of the kinds without panels: products, transposed or not, and gradients that are sums of slices") {
    size_t before = gemm_tiles().size() + coopmat_tiles().size(), shuffles = shuffle_tiles().size();
    const Caps& caps = test_device().caps();
    for (size_t i = 0; i < shuffles + narrow_tiles().size(); i++) {
        bool narrow = i >= shuffles, ta = i % 2, tb = i % 4 >= 2, odd = i % 3 == 0;
        if (!(narrow ? tile_fits(caps, narrow_tiles()[i - shuffles]) : tile_fits(caps, shuffle_tiles()[i])))
            continue;
        INFO("tile ", before + i + 1);
        Environment force("VKVAE_GEMM_TILE", std::to_string(before + i + 1).c_str());
        std::unique_ptr<Device> device = Device::create(test_options());
        int64_t columns = narrow ? int64_t(i % 4 + 1) : odd ? 67 : 68; // gradients are the other transposes
        check(odd ? matmul_case(133, columns, 37, ta, tb) : matmul_case(132, columns, 36, ta, tb), *device);
        if (i == 0 || i == shuffles) { // whose column sums are kept
            OpCase split = linear_case({1030, narrow ? 24 : 7}, narrow ? 3 : 20, true, Activation::none);
            split.samples = 3;
            check(split, *device);
        }
    }
}

TEST_CASE("there is a tile for every device, and no more than it can take") {
    Caps caps = test_device().caps();
    caps.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    for (uint32_t vendor : {0x1002u, 0x10deu, 0x8086u, 0x13b5u})
        for (auto [invocations, bytes] : {std::pair{64u, 8192u}, {128u, 16384u}, {1024u, 49152u}})
            for (uint64_t n : {1u, 20u, 400u, 4096u}) {
                caps.vendor_id = vendor;
                caps.max_invocations = invocations;
                caps.max_shared_bytes = bytes;
                std::vector<GemmTile> tiles = tile_candidates(caps, 65536, n, false);
                REQUIRE(!tiles.empty());
                for (const GemmTile& tile : tiles) {
                    CHECK(tile.items() <= invocations);
                    CHECK(tile.shared_bytes() <= bytes);
                }
                if (n <= 8)
                    CHECK(tiles.front().n <= 16); // rather than columns that nobody asked for
                for (const ShuffleTile& tile : shuffle_candidates(caps, 65536, n, false))
                    CHECK((vendor == 0x8086 && tile_fits(caps, tile)));
                for (const NarrowTile& tile : narrow_candidates(caps, 65536, n, false))
                    CHECK((n <= 4 && tile_fits(caps, tile)));
                CHECK(narrow_candidates(caps, 65536, n, false).empty() == (n > 4));
                if (n == 4096 && invocations >= 256)
                    CHECK(tiles.front().m * tiles.front().n >= 64 * 64);
            }
}

TEST_CASE("few columns and Intel's wide products go to kernels without panels, the others do not") {
    Caps caps = test_device().caps();
    caps.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    caps.subgroup = true;
    caps.max_invocations = 1024;
    caps.max_shared_bytes = 49152;
    GemmReads quads = {Read::along_k, Read::along_side}, over_rows = {Read::along_side, Read::along_side};
    auto first = [&](uint64_t n, GemmReads reads) { return gemm_candidates(caps, 65536, n, 576, reads, false)[0].suffix; };
    for (uint32_t vendor : {0x1002u, 0x10deu, 0x8086u}) {
        caps.vendor_id = vendor;
        for (uint32_t lanes : {8u, 16u, 32u}) {
            caps.subgroup_size = lanes;
            CHECK(first(3, {Read::along_k, Read::single}) == "_narrow");
            CHECK(first(8, quads) == "_tile");
            CHECK(first(512, quads) == (vendor == 0x8086 && lanes <= 16 ? "_shuffle" : "_tile"));
            CHECK(first(512, over_rows) == "_tile");
        }
    }
}

TEST_CASE("rows of more than 16 numbers, which may be of 16 bits, are stored four at a time in every tile") {
    Caps caps = test_device().caps();
    caps.subgroup = true;
    for (bool cpu : {true, false})
        for (uint32_t lanes : {4u, 8u, 16u})
            for (uint64_t m : {1u, 20u, 127u, 1000u})
                for (uint64_t n : {20u, 24u, 64u}) {
                    caps.type = cpu ? VK_PHYSICAL_DEVICE_TYPE_CPU : VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
                    caps.vendor_id = cpu ? VK_VENDOR_ID_MESA : 0x8086;
                    caps.subgroup_size = lanes;
                    for (const Gemm& gemm : gemm_candidates(caps, m, n, 64, {Read::along_k, Read::along_side}, false))
                        CHECK_MESSAGE(gemm.stores_quads, gemm.tile, " for ", m, " x ", n, " on ", lanes, " lanes");
                }
}

TEST_CASE("linear applies to the last axis, with and without bias") {
    check(linear_case({5, 7}, 3, true, Activation::none));
    check(linear_case({2, 3, 13}, 17, false, Activation::none));
    check(linear_case({1, 1}, 1, true, Activation::none));
    check(linear_case({31, 64}, 40, true, Activation::none));
    for (int64_t rows : {513, 1030, 2052}) // the gradients of weights and bias are sums in several slices
        for (int64_t out : {3, 20, 37}) {
            OpCase split = linear_case({rows, 8}, out, true, Activation::none);
            split.samples = 3;
            check(split);
        }
    OpCase tall = linear_case({65541, 2}, 3, true, Activation::none);
    tall.samples = 3;
    check(tall);
}

TEST_CASE("linear with a fused activation is the activation of linear") {
    for (Activation a : {Activation::relu, Activation::leaky_relu, Activation::elu, Activation::silu, Activation::gelu,
                         Activation::sigmoid, Activation::tanh, Activation::softplus})
        check(linear_case({5, 7}, 3, true, a));
}

TEST_CASE("linear and matmul refuse shapes that do not fit, and say them") {
    Graph g;
    Tensor a = g.input({3, 4}, "a"), b = g.input({5, 6}, "b"), bias = g.input({7}, "bias");
    CHECK_THROWS_WITH_AS(matmul(g, a, b), doctest::Contains("(3, 4)"), Error);
    CHECK_THROWS_WITH_AS(matmul(g, a, b), doctest::Contains("(5, 6)"), Error);
    CHECK_THROWS_WITH_AS(linear(g, a, b), doctest::Contains("(3, 4)"), Error);
    Tensor w = g.input({4, 6}, "w");
    CHECK_THROWS_WITH_AS(linear(g, a, w, bias), doctest::Contains("(7)"), Error);
}
