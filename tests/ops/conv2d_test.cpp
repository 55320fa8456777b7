// The contract of ops/conv2d: both convolutions and all their gradients, for every stride, kernel, padding and width.
#include "gpu/sample_plan.hpp"
#include "op_check.hpp"
#include "ops/winograd.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

struct ConvShape {
    int64_t n, h, w, c, o, kh, kw;
    Conv2d options;
};

OpCase conv_case(const ConvShape& s, Activation activation = Activation::none, bool bias = true) {
    const Conv2d& o = s.options;
    OpCase c;
    c.name = concat_text("conv2d ", to_text({s.n, s.h, s.w, s.c}), " kernel ", s.kh, "x", s.kw, " to ", s.o, " stride ",
                         o.stride, " pad ", o.pad_top, o.pad_left, o.pad_bottom, o.pad_right);
    c.inputs = {{{s.n, s.h, s.w, s.c}}, {{s.kh, s.kw, s.c, s.o}}};
    if (bias)
        c.inputs.push_back({{s.o}});
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        return conv2d(g, in[0], in[1], bias ? in[2] : Tensor{}, o, activation);
    };
    reference::Conv2d r = {.n = size_t(s.n), .h = size_t(s.h), .w = size_t(s.w), .cin = size_t(s.c),
                           .cout = size_t(s.o), .kh = size_t(s.kh), .kw = size_t(s.kw), .stride = size_t(o.stride),
                           .pads = {size_t(o.pad_top), size_t(o.pad_left), size_t(o.pad_bottom), size_t(o.pad_right)}};
    c.formula = [=](const std::vector<Values>& in) {
        Values y = reference::conv2d(in[0], in[1], bias ? in[2] : Values{}, r);
        if (activation == Activation::none)
            return y;
        return reference::activate(reference::Activation(uint32_t(activation) - 1), y);
    };
    c.samples = 8;
    return c;
}

OpCase transpose_case(const ConvShape& s, int output_padding, Activation activation = Activation::none) {
    const Conv2d& o = s.options;
    OpCase c;
    c.name = concat_text("conv_transpose2d ", to_text({s.n, s.h, s.w, s.c}), " kernel ", s.kh, "x", s.kw, " to ", s.o,
                         " stride ", o.stride, " pad ", o.pad_top, " output padding ", output_padding);
    c.inputs = {{{s.n, s.h, s.w, s.c}}, {{s.kh, s.kw, s.o, s.c}}, {{s.o}}};
    c.build = [=](Graph& g, std::span<const Tensor> in) {
        return conv_transpose2d(g, in[0], in[1], in[2], o, output_padding, activation);
    };
    reference::ConvTranspose2d r = {
        .n = size_t(s.n), .h = size_t(s.h), .w = size_t(s.w), .cin = size_t(s.c), .cout = size_t(s.o),
        .kh = size_t(s.kh), .kw = size_t(s.kw), .stride = size_t(o.stride), .padding = size_t(o.pad_top),
        .output_padding = size_t(output_padding)};
    c.formula = [=](const std::vector<Values>& in) {
        Values y = reference::conv_transpose2d(in[0], in[1], in[2], r);
        if (activation == Activation::none)
            return y;
        return reference::activate(reference::Activation(uint32_t(activation) - 1), y);
    };
    c.samples = 8;
    return c;
}

} // namespace

TEST_CASE("conv2d with every stride and kernel is the sum that the formula says, and so are its gradients") {
    for (int stride = 1; stride <= 3; stride++)
        for (int kernel = 1; kernel <= 5; kernel++)
            check(conv_case({2, 7, 9, 3, 7, kernel, kernel, Conv2d::same_sides(stride, kernel / 2)}));
}

TEST_CASE("conv2d takes any width of channels") {
    check(conv_case({1, 5, 6, 1, 1, 3, 3, Conv2d::same_sides(1, 1)}));
    check(conv_case({1, 6, 5, 5, 33, 3, 3, Conv2d::same_sides(2, 1)}));
    check(conv_case({3, 4, 4, 33, 5, 3, 3, Conv2d::same_sides(1, 1)}));
    check(conv_case({2, 5, 5, 7, 7, 1, 1, Conv2d::same_sides(1, 0)}, Activation::none, false));
}

TEST_CASE("conv2d in whole vec4s of channels, over several tiles") {
    check(conv_case({1, 7, 5, 8, 20, 3, 3, Conv2d::same_sides(1, 1)}));
    check(conv_case({2, 5, 6, 12, 36, 3, 3, Conv2d::same_sides(2, 1)}));
    check(conv_case({1, 5, 7, 20, 68, 2, 2, {3, 0, 0, 0, 0}})); // pixels that no window meets
    check(conv_case({3, 7, 7, 68, 12, 3, 4, {2, 2, 0, 1, 1}}));
    check(transpose_case({1, 3, 5, 36, 20, 4, 4, Conv2d::same_sides(2, 1)}, 0, Activation::silu));
    check(transpose_case({2, 3, 3, 8, 68, 3, 3, Conv2d::same_sides(2, 1)}, 1));
}

TEST_CASE("convolutions from and to few channels, over many pixels") {
    for (int64_t channels : {1, 3, 4})
        for (OpCase c : {conv_case({2, 9, 9, 8, channels, 3, 3, Conv2d::same_sides(1, 1)}),
                         conv_case({1, 17, 15, channels, 12, 4, 4, Conv2d::same_sides(2, 1)}),
                         transpose_case({2, 9, 8, 12, channels, 4, 4, Conv2d::same_sides(2, 1)}, 0,
                                        Activation::sigmoid)}) {
            c.samples = 3;
            check(c);
        }
}

TEST_CASE("conv2d in every tile is the sum that the formula says") {
    for (size_t tile = 1; tile <= gemm_tiles().size(); tile++) {
        INFO("tile ", tile);
        Environment force("VKVAE_GEMM_TILE", std::to_string(tile).c_str());
        std::unique_ptr<Device> device = Device::create(test_options());
        bool odd = tile % 2 == 0; // with prefetch; in matmul's test without
        check(odd ? conv_case({2, 9, 8, 3, 18, 3, 3, Conv2d::same_sides(2, 1)})
                  : conv_case({2, 9, 8, 12, 20, 3, 3, Conv2d::same_sides(2, 1)}), *device);
    }
}

TEST_CASE("convolutions in tiles of the kinds without panels are the sums that the formula says") {
    size_t before = gemm_tiles().size() + coopmat_tiles().size(), shuffles = shuffle_tiles().size();
    const Caps& caps = test_device().caps();
    for (size_t i = 0; i < shuffles + narrow_tiles().size(); i++) {
        bool narrow = i >= shuffles;
        if (!narrow && i % 3 != 0) // the largest and the smallest will do: matmul's test has the others
            continue;
        if (!(narrow ? tile_fits(caps, narrow_tiles()[i - shuffles]) : tile_fits(caps, shuffle_tiles()[i])))
            continue;
        INFO("tile ", before + i + 1);
        Environment force("VKVAE_GEMM_TILE", std::to_string(before + i + 1).c_str());
        std::unique_ptr<Device> device = Device::create(test_options());
        if (narrow) // to few channels, or as gradients from few
            check(conv_case({2, 9, 8, i % 2 ? 8 : 3, i % 2 ? 3 : 8, 3, 3, Conv2d::same_sides(i % 2 ? 1 : 2, 1)}), *device);
        else if (i % 2)
            check(conv_case({2, 9, 8, 3, 18, 3, 3, Conv2d::same_sides(2, 1)}), *device);
        else
            check(conv_case({2, 9, 8, 12, 20, 3, 3, Conv2d::same_sides(1, 1)}), *device);
    }
}

TEST_CASE("3x3 convolutions of stride 1 by Winograd's filtering are the sum that the formula says") {
    Environment force("VKVAE_WINOGRAD", "2");
    std::unique_ptr<Device> device = Device::create(test_options());
    for (OpCase c : {conv_case({2, 7, 9, 8, 20, 3, 3, Conv2d::same_sides(1, 1)}, Activation::silu),
                     conv_case({1, 6, 8, 36, 68, 3, 3, Conv2d::same_sides(1, 1)}, Activation::none, false),
                     conv_case({3, 5, 6, 12, 5, 3, 3, Conv2d::same_sides(1, 0)}), // columns that are no fours
                     conv_case({1, 9, 11, 4, 33, 3, 3, Conv2d::same_sides(1, 2)}, Activation::relu),
                     conv_case({2, 5, 4, 3, 8, 3, 3, Conv2d::same_sides(1, 1)}), // fours for the gradient only
                     conv_case({1, 6, 7, 4, 4, 3, 3, {1, 0, 1, 2, 0}}),          // each side by itself
                     conv_case({1, 5, 6, 8, 8, 3, 3, {1, 3, 4, 0, 1}}),          // outputs that meet only padding
                     conv_case({2, 3, 3, 4, 8, 3, 3, {1, 0, 0, 0, 0}}),          // to a single pixel
                     conv_case({1, 1, 1, 8, 4, 3, 3, Conv2d::same_sides(1, 1)}),
                     transpose_case({2, 5, 7, 12, 20, 3, 3, Conv2d::same_sides(1, 1)}, 0, Activation::tanh),
                     transpose_case({1, 4, 3, 8, 7, 3, 3, Conv2d::same_sides(1, 0)}, 0)}) {
        c.samples = 5;
        check(c, *device);
    }
    Graph g;
    Tensor x = g.input({2, 7, 9, 8}, "x"), w = g.input({3, 3, 8, 20}, "w");
    Tensor wrt[] = {x};
    Tensor y = conv2d(g, x, w, {}, Conv2d::same_sides(1, 1));
    g.keep(g.backward(y, wrt, {}, g.input(g.shape(y), "dy"))[0]);
    g.keep(y);
    std::string text = Plan(*device, g, plan_options()).describe();
    if (prefers_subgroups(device->caps())) {
        CHECK(text.find("conv2d_forward winograd") != std::string::npos);
        CHECK(text.find("conv2d_input_gradient winograd") != std::string::npos);
    }
}

TEST_CASE("Winograd's filtering rounds twice as coarsely as the sum, no worse") {
    double errors[2] = {};
    for (int always : {0, 1}) {
        Environment force("VKVAE_WINOGRAD", always ? "2" : "1");
        std::unique_ptr<Device> device = Device::create(test_options());
        OpCase c = conv_case({1, 19, 21, 128, 32, 3, 3, Conv2d::same_sides(1, 1)});
        OpGraph g(c);
        Plan plan(*device, g.graph, plan_options());
        std::vector<Values> exact;
        for (size_t i = 0; i < c.inputs.size(); i++) {
            std::vector<float> values = make_values(c.inputs[i], uint32_t(i));
            plan.write(g.inputs[i], std::span<const float>(values));
            exact.push_back(to_double(values));
        }
        plan.run();
        std::vector<float> got = plan.read(g.y);
        Values expected = c.formula(exact), difference = expected;
        for (size_t i = 0; i < got.size(); i++)
            difference[i] -= double(got[i]);
        errors[always] = root_mean_square(difference) / root_mean_square(expected);
    }
    MESSAGE("direct ", errors[0], ", Winograd ", errors[1]);
    CHECK(errors[0] < 1e-6);
    CHECK(errors[1] < 2e-6);
    if (prefers_subgroups(test_device().caps()))
        CHECK(errors[1] != errors[0]); // it is another kernel
}

TEST_CASE("Winograd's filtering is chosen where it was measured to be faster, or where one asks for it") {
    Caps caps = test_device().caps();
    caps.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    caps.vendor_id = VK_VENDOR_ID_MESA;
    caps.max_storage_range = caps.max_texels = 1u << 27;
    caps.subgroup = true;
    caps.subgroup_size = 8;
    caps.gemm_tile = caps.winograd = 0;
    auto shape = [](uint32_t batch, uint32_t size, uint32_t c, uint32_t o) {
        return Winograd{batch, size, size, c, size, size, o, 1, 1};
    };
    auto preferred = [&](const Winograd& s, bool narrow = false) { return prefers_winograd(caps, s, narrow); };
    CHECK(preferred(shape(1, 128, 64, 64)));
    CHECK(preferred(shape(16, 32, 128, 128)));
    CHECK(!preferred(shape(1, 128, 64, 64), true));
    CHECK(!preferred(shape(16, 8, 128, 128))); // the weights cost as much as the picture
    CHECK(!preferred(shape(1, 128, 64, 8)));   // a quarter of the lanes
    CHECK(!preferred(shape(64, 9, 64, 64)));   // tiles past the picture
    CHECK(!preferred(shape(1, 128, 512, 512)));

    auto chosen = [&](const Winograd& s, const Tuning* tuning) {
        Graph none;
        Lowering l(caps, none);
        l.tuning = tuning;
        bool yes = choose_winograd(l, "conv", s, false);
        return std::pair(yes, l.decisions.size());
    };
    Tuning direct = {{"conv without winograd (1, 128, 128, 64, 64)", "yes"}};
    Tuning winograd = {{"conv by winograd (16, 8, 8, 128, 128)", "yes"}};
    CHECK(chosen(shape(1, 128, 64, 64), nullptr) == std::pair(true, size_t(1)));
    CHECK(chosen(shape(1, 128, 64, 64), &direct) == std::pair(false, size_t(1)));
    CHECK(chosen(shape(16, 8, 128, 128), nullptr) == std::pair(false, size_t(1)));
    CHECK(chosen(shape(16, 8, 128, 128), &winograd) == std::pair(true, size_t(1)));
    CHECK(chosen(shape(1, 128, 62, 64), nullptr) == std::pair(false, size_t(0))); // no whole fours
    CHECK(chosen(shape(1, 128, 64, 8), nullptr) == std::pair(false, size_t(0)));  // not worth trying
    caps.winograd = 1;
    CHECK(chosen(shape(1, 128, 64, 64), nullptr) == std::pair(false, size_t(0)));
    caps.winograd = 2;
    CHECK(chosen(shape(1, 128, 64, 8), nullptr) == std::pair(true, size_t(0)));
    CHECK(chosen(shape(1, 128, 62, 64), nullptr) == std::pair(false, size_t(0)));
    caps.winograd = 0;
    caps.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    CHECK(chosen(shape(1, 128, 64, 64), nullptr) == std::pair(false, size_t(0)));
}

TEST_CASE("conv2d pads each side by itself and takes kernels that are not square") {
    check(conv_case({2, 6, 7, 3, 7, 4, 4, {2, 1, 0, 2, 1}}));
    check(conv_case({1, 6, 7, 3, 7, 3, 3, {2, 0, 1, 1, 0}}));
    check(conv_case({1, 6, 7, 3, 7, 2, 5, {3, 0, 3, 0, 0}}));
    check(conv_case({1, 5, 3, 3, 7, 5, 3, {1, 0, 0, 0, 0}})); // to a single pixel
    check(conv_case({2, 9, 9, 3, 7, 2, 2, {3, 0, 0, 0, 0}})); // pixels that no window meets have a zero gradient
    check(conv_case({1, 1, 1, 3, 7, 5, 5, {1, 2, 2, 2, 2}})); // more padding than image
    check(conv_case({2, 1, 13, 3, 7, 1, 4, {2, 0, 1, 0, 1}})); // signals
    check(conv_case({2, 1, 16, 8, 12, 1, 3, {1, 0, 1, 0, 1}}));
}

TEST_CASE("conv2d splits the long sums of the weight gradient") {
    OpCase c = conv_case({5, 29, 31, 3, 7, 3, 3, Conv2d::same_sides(1, 1)});
    c.samples = 4;
    check(c);
}

TEST_CASE("conv2d with more than 65535 rows") {
    OpCase c = conv_case({1, 260, 257, 1, 1, 1, 1, Conv2d::same_sides(1, 0)});
    c.samples = 2;
    check(c);
}

TEST_CASE("conv2d with an activation is the activation of conv2d") {
    for (Activation a : {Activation::relu, Activation::silu, Activation::tanh})
        check(conv_case({1, 5, 5, 3, 7, 3, 3, Conv2d::same_sides(2, 1)}, a));
}

TEST_CASE("conv_transpose2d with every stride and output padding is the formula, and so are its gradients") {
    for (int stride = 1; stride <= 3; stride++)
        for (int output_padding = 0; output_padding < stride; output_padding++)
            for (int kernel : {1, 3, 4})
                check(transpose_case({2, 4, 3, 5, 3, kernel, kernel, Conv2d::same_sides(stride, kernel / 3)},
                                     output_padding));
}

TEST_CASE("conv_transpose2d takes any width of channels, and an activation") {
    check(transpose_case({1, 3, 3, 1, 1, 4, 4, Conv2d::same_sides(2, 1)}, 0));
    check(transpose_case({2, 1, 5, 3, 7, 1, 4, Conv2d::same_sides(2, 0)}, 0)); // signals
    check(transpose_case({2, 1, 8, 8, 12, 1, 3, Conv2d::same_sides(3, 0)}, 0));
    check(transpose_case({1, 3, 5, 33, 7, 2, 3, Conv2d::same_sides(2, 0)}, 1));
    check(transpose_case({2, 3, 3, 5, 33, 5, 5, Conv2d::same_sides(1, 2)}, 0));
    check(transpose_case({1, 3, 3, 5, 3, 3, 3, Conv2d::same_sides(2, 1)}, 1, Activation::sigmoid));
    check(transpose_case({1, 3, 3, 5, 3, 3, 3, Conv2d::same_sides(2, 1)}, 1, Activation::gelu));
}

TEST_CASE("convolutions refuse shapes that do not fit, and say them") {
    Graph g;
    Tensor x = g.input({2, 4, 4, 3}, "x"), w = g.input({3, 3, 5, 7}, "w"), big = g.input({9, 9, 3, 7}, "big");
    CHECK_THROWS_WITH_AS(conv2d(g, x, w, {}, {}), doctest::Contains("(2, 4, 4, 3)"), Error);
    CHECK_THROWS_WITH_AS(conv2d(g, x, w, {}, {}), doctest::Contains("(3, 3, 5, 7)"), Error);
    CHECK_THROWS_WITH_AS(conv2d(g, x, big, {}, {}), doctest::Contains("9x9"), Error);
    CHECK_THROWS_AS(conv_transpose2d(g, x, w, {}, {}), Error);
    Tensor fits = g.input({3, 3, 5, 3}, "fits");
    CHECK_THROWS_WITH_AS(conv_transpose2d(g, x, fits, {}, {}, 1), doctest::Contains("output_padding 1"), Error);
}
