// The contract of mixed precision: kernels read f16 and bf16 exactly, compute in f32, and round what they store once.
#include "gpu/sample_plan.hpp"
#include "graph/precision.hpp"
#include "io/float16.hpp"
#include "op_check.hpp"

#include <limits>

using namespace vkvae;
using namespace vkvae::test;

namespace {

constexpr DType kTypes[] = {DType::f16, DType::bf16};

float rounded(float value, DType type) {
    return type == DType::f16 ? from_f16(to_f16(value)) : from_bf16(to_bf16(value));
}

using Build = std::function<Tensor(Graph&, std::span<const Tensor>)>;

struct Case {
    std::string name;
    std::vector<Shape> inputs;
    Build build;
};

// y and the gradients of sum(y seed) for all inputs, the first `narrow` of which are of `type`.
struct Results {
    std::vector<std::vector<float>> all;
    Plan::Footprint memory;
    std::vector<float> inner; // the tensor named "inner", if there is one
};
Results run(const Case& c, size_t narrow, DType type, DType precision, DType values_as,
            Device& device = test_device()) {
    Graph g;
    std::vector<Tensor> inputs, gradients;
    for (size_t i = 0; i < c.inputs.size(); i++)
        inputs.push_back(g.input(c.inputs[i], concat_text("input ", i), i < narrow ? type : DType::f32));
    for (const Shape& shape : c.inputs)
        gradients.push_back(g.input(shape, "gradient"));
    Tensor y = c.build(g, inputs), seed = g.input(g.shape(y), "seed");
    g.keep(y);
    g.backward(y, inputs, gradients, seed);
    PlanOptions options = plan_options(1, false);
    options.precision = precision;
    Plan plan(device, g, options);
    for (size_t i = 0; i < inputs.size(); i++) {
        std::vector<float> values = make_values({c.inputs[i]}, uint32_t(i));
        for (float& value : values)
            value = i < narrow && is_16_bit(values_as) ? rounded(value, values_as) : value;
        plan.write(inputs[i], std::span<const float>(values));
    }
    plan.write(seed, std::span<const float>(make_values({g.shape(y)}, 99)));
    plan.run();
    Results r;
    r.memory = plan.memory();
    r.all.push_back(plan.read(y));
    for (Tensor gradient : gradients)
        r.all.push_back(plan.read(gradient));
    for (uint32_t i = 0; i < g.tensors().size(); i++)
        if (g.tensors()[i].name == "inner")
            r.inner = plan.read({i});
    return r;
}

Case linear_case(int64_t rows, int64_t in, int64_t out) {
    return {concat_text("linear ", rows, "x", in, "x", out),
            {{rows, in}, {in, out}, {out}},
            [](Graph& g, std::span<const Tensor> t) { return linear(g, t[0], t[1], t[2], Activation::tanh); }};
}
Case matmul_case(int64_t m, int64_t k, int64_t n, bool ta, bool tb) {
    return {concat_text("matmul ", m, "x", k, "x", n, ta ? " t" : " n", tb ? "t" : "n"),
            {ta ? Shape{k, m} : Shape{m, k}, tb ? Shape{n, k} : Shape{k, n}},
            [=](Graph& g, std::span<const Tensor> t) { return matmul(g, t[0], t[1], ta, tb); }};
}
Case conv_case(Shape x, Shape w, Conv2d options, bool transposed) {
    return {concat_text(transposed ? "transposed " : "", "conv ", to_text(x), " ", to_text(w)),
            {x, w, {w[transposed ? 2 : 3]}},
            [=](Graph& g, std::span<const Tensor> t) {
                return transposed ? conv_transpose2d(g, t[0], t[1], t[2], options, 0, Activation::silu)
                                  : conv2d(g, t[0], t[1], t[2], options, Activation::silu);
            }};
}

// act(conv(act(group_norm(conv(x))) + h)): products, norms and steps that read what others have stored.
Case chain(int64_t channels, Activation activation) {
    Conv2d same = Conv2d::same_sides(1, 1);
    return {concat_text("chain of ", channels, " ", activation_name(activation)),
            {{2, 5, 6, channels}, {3, 3, channels, channels}, {channels}, {channels}, {channels},
             {3, 3, channels, channels}, {channels}},
            [=](Graph& g, std::span<const Tensor> t) {
                Tensor h = conv2d(g, t[0], t[1], t[2], same, activation);
                g.rename(h, "inner");
                Tensor n = activate(g, group_norm(g, h, t[3], t[4], 4), activation);
                Tensor y = add(g, conv2d(g, n, t[5], t[6], same), h);
                return conv2d(g, activate(g, y, activation), t[5], t[6], same);
            }};
}

void check_reads(const Case& c, size_t narrow, Device& device = test_device()) {
    for (DType type : kTypes) {
        INFO(c.name, " of ", std::string(type_name(type)));
        Results exact = run(c, narrow, DType::f32, DType::f32, type, device);
        Results got = run(c, narrow, type, DType::f32, type, device);
        for (size_t i = 0; i < exact.all.size(); i++)
            check_close(concat_text("result ", i), got.all[i], to_double(exact.all[i]), 1e-6, 1e-12);
    }
}

} // namespace

TEST_CASE("f16 and bf16 of the host: every f16 comes back, ties go to even, the rest to the nearest") {
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float half = from_f16(uint16_t(bits)), brain = from_bf16(uint16_t(bits));
        if (std::isnan(half))
            CHECK(std::isnan(from_f16(to_f16(half))));
        else
            CHECK(to_f16(half) == bits);
        if (std::isnan(brain))
            CHECK(std::isnan(from_bf16(to_bf16(brain))));
        else
            CHECK(to_bf16(brain) == bits);
        float next = from_f16(uint16_t(bits + 1));
        if (bits < 0x7bff) {
            float middle = 0.5f * (half + next);
            CHECK(to_f16(middle) == (bits % 2 == 0 ? bits : bits + 1));
            CHECK(to_f16(std::nextafter(middle, 0.0f)) == bits);
            CHECK(to_f16(std::nextafter(middle, 1e9f)) == bits + 1);
        }
    }
    CHECK(to_f16(65519.0f) == 0x7bff);
    CHECK(to_f16(65520.0f) == 0x7c00);
    CHECK(to_f16(-1e30f) == 0xfc00);
    CHECK(to_bf16(1.00390625f) == 0x3f80); // half-way, to even
    CHECK(to_bf16(1.01171875f) == 0x3f82);
    CHECK(to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
}

TEST_CASE("products and norms read f16 and bf16 exactly") {
    for (bool ta : {false, true})
        for (bool tb : {false, true}) {
            check_reads(matmul_case(36, 28, 44, ta, tb), 2); // whole fours
            check_reads(matmul_case(7, 13, 5, ta, tb), 2);   // others, some of them half words
            if (ta == tb)
                check_reads(matmul_case(70, 600, 24, ta, tb), 2); // in slices of k, on many devices
            else
                check_reads(matmul_case(33, 20, 68, ta, tb), 1); // one of them f32
        }
    check_reads(linear_case(9, 28, 20), 2);
    check_reads(linear_case(1, 1, 1), 2);
    check_reads(conv_case({2, 7, 6, 8}, {3, 3, 8, 20}, Conv2d::same_sides(1, 1), false), 2);
    check_reads(conv_case({2, 7, 6, 3}, {4, 4, 3, 5}, Conv2d::same_sides(2, 1), false), 2);
    check_reads(conv_case({2, 5, 6, 12}, {4, 4, 24, 12}, Conv2d::same_sides(2, 1), true), 2);
    check_reads(conv_case({2, 5, 4, 5}, {4, 4, 3, 5}, Conv2d::same_sides(2, 1), true), 2);
    for (int64_t channels : {8, 32})
        check_reads({"group_norm", {{3, 5, 4, channels}, {channels}, {channels}},
                     [](Graph& g, std::span<const Tensor> t) { return group_norm(g, t[0], t[1], t[2], 4); }},
                    1);
}

TEST_CASE("Winograd's filtering reads f16 and bf16 exactly, and stores them") {
    Environment force("VKVAE_WINOGRAD", "2");
    std::unique_ptr<Device> device = Device::create(test_options());
    check_reads(conv_case({2, 7, 6, 8}, {3, 3, 8, 20}, Conv2d::same_sides(1, 1), false), 2, *device);
    check_reads(conv_case({1, 5, 6, 12}, {3, 3, 12, 5}, Conv2d::same_sides(1, 1), false), 2, *device); // half words
    check_reads(conv_case({2, 5, 6, 12}, {3, 3, 24, 12}, Conv2d::same_sides(1, 0), true), 2, *device);
    Case c = chain(20, Activation::silu);
    Results exact = run(c, 0, DType::f32, DType::f32, DType::f32, *device);
    for (DType type : kTypes) {
        Results got = run(c, 0, DType::f32, type, DType::f32, *device);
        double unit = type == DType::f16 ? 0x1p-11 : 0x1p-8;
        for (size_t i = 0; i < exact.all.size(); i++)
            check_close(concat_text("result ", i), got.all[i], to_double(exact.all[i]), 12 * unit, 16 * unit * unit);
    }
}

TEST_CASE("what lies between products and norms is stored in 16 bits, rounded once") {
    for (Activation activation : {Activation::silu, Activation::relu})
        for (int64_t channels : {20, 12}) { // rows of 12 stay f32
            if (channels == 12 && activation == Activation::relu)
                continue; // another compilation, the same steps
            Case c = chain(channels, activation);
            Results exact = run(c, 0, DType::f32, DType::f32, DType::f32);
            for (DType type : kTypes) {
                INFO(c.name, " in ", std::string(type_name(type)));
                Results got = run(c, 0, DType::f32, type, DType::f32);
                bool stored = channels > 16;
                double unit = !stored ? 1e-6 : type == DType::f16 ? 0x1p-11 : 0x1p-8;
                // A few roundings on the way to each result, not one that grows; far from exact where it is stored.
                for (size_t i = 0; i < exact.all.size(); i++)
                    check_close(concat_text("result ", i), got.all[i], to_double(exact.all[i]),
                                (activation == Activation::relu ? 40 : 12) * unit, 16 * unit * unit);
                CHECK((got.memory.unshared < exact.memory.unshared) == stored);
                REQUIRE(got.inner.size() == exact.inner.size());
                size_t differ = 0;
                for (size_t i = 0; i < got.inner.size(); i++)
                    differ += stored ? got.inner[i] != rounded(exact.inner[i], type) : got.inner[i] != exact.inner[i];
                // An f32 result that is near a tie may fall on the other side with another compilation.
                CHECK(differ <= got.inner.size() / 500);
            }
        }
}

TEST_CASE("what a step stores in another shape has the product's rows") {
    for (int64_t channels : {6, 20}) { // rows of 6 cannot be stored in fours, rows of 4 times as many could
        Conv2d same = Conv2d::same_sides(1, 1);
        Case c = {concat_text("a reshape between, ", channels),
                  {{2, 4, 4, channels}, {3, 3, channels, channels}, {16 * channels, 32}, {32, 16 * channels}},
                  [=](Graph& g, std::span<const Tensor> t) {
                      Tensor h = reshape(g, conv2d(g, t[0], t[1], {}, same), {2, 16 * channels});
                      Tensor u = linear(g, activate(g, h, Activation::tanh), t[2], {}, Activation::tanh);
                      Tensor v = reshape(g, linear(g, u, t[3], {}, Activation::silu), {2, 4, 4, channels});
                      return conv2d(g, v, t[1], {}, same);
                  }};
        Results exact = run(c, 0, DType::f32, DType::f32, DType::f32);
        for (DType type : kTypes) {
            INFO(c.name, " in ", std::string(type_name(type)));
            double unit = type == DType::f16 ? 0x1p-11 : 0x1p-8;
            Results got = run(c, 0, DType::f32, type, DType::f32);
            for (size_t i = 0; i < exact.all.size(); i++)
                check_close(concat_text("result ", i), got.all[i], to_double(exact.all[i]), 20 * unit, 25 * unit * unit);
        }
    }
}

TEST_CASE("kernels round to 16 bits as the host does, whatever the device would do by itself") {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    std::vector<float> values = {0,       -0.0f,   65504,    65519.9f,  65520,     1e30f,     -1e30f,   kInfinity,
                                 -kInfinity, 0x1p-14f, 0x1p-15f, 0x1.8p-24f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, -0x1.1p-20f,
                                 1.00048828125f, 1.00146484375f, 1.00048828126f, -1.00048828125f, 2047.5f, 2048.5f, 3.4e38f};
    for (uint32_t i = 0; values.size() < 4096; i++) {
        float u = random_uniform(3, Stream::data, 0, 0, i);
        values.push_back((2 * u - 1) * std::exp2(float(int(i % 60) - 40)));
    }
    int64_t count = int64_t(values.size());
    for (DType type : kTypes) {
        INFO(std::string(type_name(type)));
        // An update with a rate of 0 leaves the weights and copies them.
        Graph g;
        Tensor w = g.input({count}, "w"), dw = g.input({count}, "dw"), u = g.input({count}, "u");
        OptimizerState state = {w, dw, g.input({1}, "halted", DType::u32)};
        state.narrow = g.input({count}, "narrow", type);
        sgd(g, state, u, 0, 0);
        Plan plan(test_device(), g, plan_options());
        plan.write(w, std::span<const float>(values));
        plan.run({.lr = 0});
        std::vector<uint16_t> got(values.size());
        plan.read(state.narrow, std::as_writable_bytes(std::span(got)));
        for (size_t i = 0; i < values.size(); i++) {
            INFO(values[i]);
            bool finite = std::isfinite(values[i]); // 0 times infinity is no weight any more
            uint16_t expected = type == DType::f16 ? to_f16(values[i]) : to_bf16(values[i]);
            REQUIRE((!finite || got[i] == expected));
        }
    }
}

TEST_CASE("an operation that does not take 16 bits says so") {
    Graph g;
    Tensor x = g.input({4, 32}, "narrow", DType::f16);
    g.keep(softmax(g, x));
    std::string text;
    try {
        Plan plan(test_device(), g, plan_options());
    } catch (const Error& error) {
        text = error.what();
    }
    CHECK(text == "op softmax takes no f16, which 'narrow' is");
}
