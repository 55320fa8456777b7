// The contract of products on matrix units: those of numbers that are f16, or f32 with the values of f16, are the f32
// products but for the order of additions, at any shape, with all that products do before they store.
//
// Where a device has no matrices that suit, lavapipe before Mesa 26 for one, these tests say so and pass.
#include "gpu/sample_plan.hpp"
#include "io/float16.hpp"
#include "op_check.hpp"
#include "ops/gemm.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

std::vector<CoopmatTile> tiles() {
    std::vector<CoopmatTile> found = coopmat_candidates(test_device().caps(), 4096, 4096, false);
    if (found.empty())
        MESSAGE("no cooperative matrices on ", test_device().caps().name, ": skipped");
    return found;
}

// What a CPU compiles soonest; with prefetch, as the test of every tile is for the others.
CoopmatTile smallest(const std::vector<CoopmatTile>& all) {
    auto key = [](const CoopmatTile& t) { return std::tuple(t.m * t.n * t.k, !t.prefetch); };
    return *std::min_element(all.begin(), all.end(), [&](auto& x, auto& y) { return key(x) < key(y); });
}

// A device whose products of f16 all take this tile.
std::unique_ptr<Device> device_with(const CoopmatTile& tile) {
    auto all = coopmat_tiles();
    size_t number = gemm_tiles().size() + size_t(std::find(all.begin(), all.end(), tile) - all.begin()) + 1;
    Environment force("VKVAE_GEMM_TILE", std::to_string(number).c_str());
    return Device::create(test_options());
}

struct Case {
    std::string name;
    std::vector<Shape> inputs;
    std::function<Tensor(Graph&, std::span<const Tensor>)> build;
    double gradient_tolerance = 1e-5; // of those whose factors are no f16, as they are rounded
};

size_t coopmat_kernels(const Caps& caps, const Graph& g) {
    Lowering lowering(caps, g);
    for (const Node& node : g.nodes()) {
        lowering.node = &node;
        if (node.lower)
            node.lower(lowering);
    }
    return size_t(std::count_if(lowering.dispatches.begin(), lowering.dispatches.end(), [](const Dispatch& d) {
        return std::string(d.shader.name).ends_with("_coopmat");
    }));
}

// y and the gradients of sum(y seed), with the inputs in `narrow` as f16. All that goes in has the values of f16.
std::vector<std::vector<float>> run(Device& device, const Case& c, std::vector<size_t> narrow, DType precision,
                                    bool with_gradients = true) {
    Graph g;
    std::vector<Tensor> inputs, gradients;
    for (size_t i = 0; i < c.inputs.size(); i++) {
        bool f16 = std::find(narrow.begin(), narrow.end(), i) != narrow.end();
        inputs.push_back(g.input(c.inputs[i], concat_text("input ", i), f16 ? DType::f16 : DType::f32));
    }
    if (with_gradients)
        for (const Shape& shape : c.inputs)
            gradients.push_back(g.input(shape, "gradient"));
    Tensor y = c.build(g, inputs), seed;
    g.keep(y);
    if (with_gradients) {
        seed = g.input(g.shape(y), "seed");
        g.backward(y, inputs, gradients, seed);
    }
    PlanOptions options = plan_options();
    options.precision = precision;
    Plan plan(device, g, options);
    auto write = [&](Tensor t, uint32_t which) {
        std::vector<float> values = make_values({g.shape(t)}, which);
        for (float& value : values)
            value = from_f16(to_f16(value));
        plan.write(t, std::span<const float>(values));
    };
    for (size_t i = 0; i < inputs.size(); i++)
        write(inputs[i], uint32_t(i));
    if (with_gradients)
        write(seed, 99);
    plan.run();
    CHECK((coopmat_kernels(device.caps(), g) > 0) == !narrow.empty());
    std::vector<std::vector<float>> all = {plan.read(y)};
    for (Tensor gradient : gradients)
        all.push_back(plan.read(gradient));
    return all;
}

void check(Device& device, const Case& c, std::vector<size_t> narrow = {0, 1}, bool with_gradients = true) {
    INFO(c.name);
    std::vector<std::vector<float>> exact = run(test_device(), c, {}, DType::f32, with_gradients);
    std::vector<std::vector<float>> got = run(device, c, narrow, DType::f32, with_gradients);
    for (size_t i = 0; i < got.size(); i++) {
        double tolerance = i ? c.gradient_tolerance : 1e-5;
        check_close(concat_text("result ", i), got[i], to_double(exact[i]), tolerance, tolerance * tolerance / 10);
    }
}

Case matmul_case(int64_t m, int64_t k, int64_t n, bool ta, bool tb) {
    return {concat_text("matmul ", m, "x", k, "x", n, ta ? " t" : " n", tb ? "t" : "n"),
            {ta ? Shape{k, m} : Shape{m, k}, tb ? Shape{n, k} : Shape{k, n}},
            [=](Graph& g, std::span<const Tensor> t) { return matmul(g, t[0], t[1], ta, tb); }};
}
// relu: its gradient is that of f16 again. With silu the value before it is kept, and the gradient gets rounded.
Case linear_case(int64_t rows, int64_t in, int64_t out, Activation activation) {
    return {concat_text("linear ", rows, "x", in, "x", out),
            {{rows, in}, {in, out}, {out}},
            [=](Graph& g, std::span<const Tensor> t) { return linear(g, t[0], t[1], t[2], activation); },
            activation == Activation::relu ? 1e-5 : 0x1p-10};
}
Case conv_case(Shape x, Shape w, Conv2d options, bool transposed, Activation activation = Activation::relu) {
    return {concat_text(transposed ? "transposed " : "", "conv ", to_text(x), " ", to_text(w)),
            {x, w, {w[transposed ? 2 : 3]}},
            [=](Graph& g, std::span<const Tensor> t) {
                return transposed ? conv_transpose2d(g, t[0], t[1], t[2], options, 0, activation)
                                  : conv2d(g, t[0], t[1], t[2], options, activation);
            },
            activation == Activation::relu ? 1e-5 : 0x1p-10};
}
// relu(conv(x) + r)
Case residual_case(Shape x, Shape w) {
    return {concat_text("residual ", to_text(x)),
            {x, w, {w[3]}, {x[0], x[1], x[2], w[3]}},
            [=](Graph& g, std::span<const Tensor> t) {
                return activate(g, add(g, conv2d(g, t[0], t[1], t[2], Conv2d::same_sides(1, 1)), t[3]),
                                Activation::relu);
            }};
}

} // namespace

TEST_CASE("matrix units: every tile that suits the device") {
    for (const CoopmatTile& tile : tiles()) {
        INFO("tile ", tile.m, "x", tile.n, "x", tile.k, tile.prefetch ? " with prefetch" : "");
        std::unique_ptr<Device> device = device_with(tile);
        check(*device, tile.prefetch ? conv_case({2, 9, 8, 12}, {3, 3, 12, 20}, Conv2d::same_sides(2, 1), false)
                                     : matmul_case(133, 67, 37, false, false),
              {0, 1}, false);
    }
}

TEST_CASE("matrix units: all transposes, whole fours and odd numbers, each operand or both in f16") {
    std::vector<CoopmatTile> all = tiles();
    if (all.empty())
        return;
    std::unique_ptr<Device> device = device_with(smallest(all));
    for (Shape s : {Shape{36, 28, 44}, Shape{39, 13, 37}}) {
        check(*device, matmul_case(s[0], s[1], s[2], false, false)); // its gradients are products with one transposed
        check(*device, matmul_case(s[0], s[1], s[2], true, true), {0, 1}, false);
    }
    check(*device, matmul_case(70, 600, 24, false, false), {0}, false); // in slices of k
    check(*device, matmul_case(1, 1, 66, false, true), {1}, false);
}

TEST_CASE("matrix units: layers with bias, activation, kept values and a second step") {
    std::vector<CoopmatTile> all = tiles();
    if (all.empty())
        return;
    std::unique_ptr<Device> device = device_with(smallest(all));
    check(*device, linear_case(1030, 8, 20, Activation::relu)); // gradients of weights and bias in slices
    check(*device, linear_case(1029, 9, 37, Activation::silu));
    check(*device, conv_case({2, 7, 6, 8}, {3, 3, 8, 36}, Conv2d::same_sides(1, 1), false, Activation::silu));
    check(*device, conv_case({2, 7, 6, 3}, {4, 4, 3, 5}, Conv2d::same_sides(2, 1), false), {0});
    check(*device, conv_case({1, 5, 7, 20}, {2, 2, 20, 68}, {3, 0, 0, 0, 0}, false, Activation::silu)); // unmet pixels
    check(*device, conv_case({2, 5, 6, 12}, {4, 4, 24, 12}, Conv2d::same_sides(2, 1), true));
    check(*device, residual_case({2, 6, 5, 20}, {3, 3, 20, 20}));
}

TEST_CASE("matrix units: results and gradients between products in 16 bits, rounded once") {
    std::vector<CoopmatTile> all = tiles();
    if (all.empty())
        return;
    std::unique_ptr<Device> device = device_with(smallest(all));
    Case c = {"chain",
              {{2, 5, 6, 32}, {3, 3, 32, 36}, {36}, {3, 3, 36, 32}, {32}},
              [=](Graph& g, std::span<const Tensor> t) {
                  Conv2d same = Conv2d::same_sides(1, 1);
                  Tensor h = conv2d(g, t[0], t[1], t[2], same, Activation::silu);
                  return conv2d(g, h, t[3], t[4], same, Activation::relu);
              }};
    std::vector<std::vector<float>> exact = run(test_device(), c, {}, DType::f32);
    std::vector<std::vector<float>> got = run(*device, c, {0, 1, 3}, DType::f16);
    for (size_t i = 0; i < got.size(); i++)
        check_close(concat_text("result ", i), got[i], to_double(exact[i]), 8 * 0x1p-11, 0x1p-22);
}

TEST_CASE("matrix units: what is past the end of a sum does not count, whatever it is") {
    // k is 20, and the last row of A is followed by infinities.
    std::vector<CoopmatTile> all = tiles();
    if (all.empty())
        return;
    std::unique_ptr<Device> device = device_with(smallest(all));
    Graph g;
    Tensor whole = g.input({40, 24}, "whole"), a = g.view(whole, {24, 20}), b = g.input({20, 12}, "b", DType::f16);
    Tensor c = matmul(g, a, b);
    g.keep(c);
    Plan plan(*device, g, plan_options());
    std::vector<float> values(40 * 24, std::numeric_limits<float>::infinity()), factors(20 * 12, 0.5f);
    std::fill_n(values.begin(), 24 * 20, 0.25f);
    plan.write(whole, std::span<const float>(values));
    plan.write(b, std::span<const float>(factors));
    plan.run();
    for (float sum : plan.read(c))
        CHECK(sum == 2.5f);
}

TEST_CASE("matrix units can be masked, and are not asked for numbers that are not f16") {
    Caps caps = test_device().caps();
    caps.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    caps.vendor_id = 0x1002;
    caps.coopmat = caps.subgroup_size_control = true;
    caps.coopmat_shape = {16, 16, 16};
    caps.max_invocations = 1024;
    caps.max_shared_bytes = 32768;
    auto first = [&](GemmReads reads, uint64_t m, uint64_t n) {
        std::vector<Gemm> gemms = gemm_candidates(caps, m, n, 1024, reads, false);
        CHECK(std::any_of(gemms.begin(), gemms.end(), [](const Gemm& gemm) { return gemm.suffix == "_tile"; }));
        return gemms[0];
    };
    GemmReads f16 = {Read::along_k, Read::along_side, true}, f32 = {Read::along_k, Read::along_side};
    for (uint32_t lanes : {32u, 64u}) {
        caps.subgroup_size = lanes;
        for (const CoopmatTile& tile : coopmat_candidates(caps, 4096, 4096, false)) {
            CHECK(tile.shared_bytes(caps) <= caps.max_shared_bytes);
            CHECK(tile.items(caps) <= caps.max_invocations);
        }
        CHECK(first(f16, 4096, 4096).suffix == "_coopmat");
        CHECK(first(f16, 4096, 4096).tile_m == 128);
        CHECK(first(f16, 65536, 20).tile_n == 32); // rather than columns that nobody asked for
        CHECK(first(f16, 128, 400).tile_m * first(f16, 128, 400).tile_n < 128 * 128); // or idle cores
        CHECK(first(f32, 4096, 4096).suffix == "_tile");
    }
    caps.vendor_id = 0x8086;
    caps.subgroup_size = 16;
    CHECK(first(f16, 4096, 4096).suffix == "_coopmat");
    caps.subgroup_size = 8; // whose compiler spills
    CHECK(first(f16, 4096, 4096).suffix != "_coopmat");
    caps.vendor_id = 0x10de;
    caps.coopmat = false;
    CHECK(first(f16, 4096, 4096).suffix == "_tile");
    for (const char* mask : {"coopmat", "size_control"}) {
        Environment disable("VKVAE_DISABLE", mask);
        CHECK(!Device::create(test_options())->caps().coopmat);
    }
}
