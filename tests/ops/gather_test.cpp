// The contract of ops/gather: batches from bytes or floats by index, binarised with reproducible draws; the ring.
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

constexpr int64_t kCount = 13, kSlots = 3, kBatch = 5;

std::vector<uint32_t> some_indices() {
    std::vector<uint32_t> indices;
    for (uint32_t i = 0; i < kSlots * kBatch; i++)
        indices.push_back(i * 7 % kCount);
    indices[0] = indices[1] = kCount - 1; // the last row, twice
    return indices;
}

std::vector<uint8_t> some_bytes(int64_t width) {
    std::vector<uint8_t> bytes(size_t(kCount * width));
    for (size_t i = 0; i < bytes.size(); i++)
        bytes[i] = uint8_t(i * 89 + i / 3);
    return bytes;
}

struct Gathered {
    Graph graph;
    Tensor data, indices, x;
    Gathered(DType type, int64_t width, Binarize binarize) {
        data = graph.input({kCount, width}, "data", type);
        indices = graph.input({kSlots, kBatch}, "indices", DType::u32);
        x = gather(graph, data, indices, binarize);
        graph.keep(x);
    }
};

} // namespace

TEST_CASE("gather takes the rows of the step's slot, bytes as value / 255") {
    for (int64_t width : {1, 3, 4, 785}) {
        CAPTURE(width);
        Gathered g(DType::u8, width, Binarize::none);
        Plan plan(test_device(), g.graph, plan_options(kSlots));
        std::vector<uint8_t> bytes = some_bytes(width);
        std::vector<uint32_t> indices = some_indices();
        plan.write(g.data, std::as_bytes(std::span(bytes)));
        plan.write(g.indices, std::as_bytes(std::span(indices)));
        for (size_t steps = 1; steps <= size_t(kSlots); steps++) { // the last one's batch stays
            std::vector<StepParams> params(steps);
            plan.submit(params);
            std::vector<float> x = plan.read(g.x);
            size_t wrong = 0;
            for (size_t i = 0; i < x.size(); i++) {
                size_t row = indices[(steps - 1) * size_t(kBatch) + i / size_t(width)];
                float expected = float(bytes[row * size_t(width) + i % size_t(width)]) / 255.0f;
                wrong += std::abs(x[i] - expected) > 1e-7f; // division is not exact in Vulkan
            }
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("gather copies floats bit by bit") {
    for (int64_t width : {7, 8}) {
        CAPTURE(width);
        Gathered g(DType::f32, width, Binarize::none);
        Plan plan(test_device(), g.graph, plan_options(kSlots));
        std::vector<float> data = make_values({{kCount, width}}, 1);
        std::vector<uint32_t> indices = some_indices();
        plan.write(g.data, std::span<const float>(data));
        plan.write(g.indices, std::as_bytes(std::span(indices)));
        plan.run();
        std::vector<float> x = plan.read(g.x);
        for (size_t i = 0; i < x.size(); i++)
            CHECK(bits_of(x[i]) == bits_of(data[indices[i / size_t(width)] * size_t(width) + i % size_t(width)]));
    }
}

TEST_CASE("dynamic binarisation draws what the CPU twin draws, anew at every step") {
    for (int64_t width : {784, 785}) {
        CAPTURE(width);
        Gathered g(DType::u8, width, Binarize::dynamic);
        Plan plan(test_device(), g.graph, plan_options(kSlots));
        std::vector<uint8_t> bytes = some_bytes(width);
        std::vector<uint32_t> indices = some_indices();
        plan.write(g.data, std::as_bytes(std::span(bytes)));
        plan.write(g.indices, std::as_bytes(std::span(indices)));
        std::vector<float> before;
        for (uint32_t step : {0u, 1u, 4000000000u}) {
            StepParams params = {.step = step, .element_base = 77, .sample = 2};
            params.set_seed(0x123456789abcdef0);
            plan.run(params);
            std::vector<float> x = plan.read(g.x);
            size_t wrong = 0;
            for (uint32_t i = 0; i < x.size(); i++) {
                float value = float(bytes[indices[i / uint32_t(width)] * size_t(width) + i % uint32_t(width)]) / 255.0f;
                float u = random_uniform(0x123456789abcdef0, Stream::binarize, step, 2, 77 + i);
                bool tie = std::abs(u - value) < 1e-6f; // the one place where the inexact division could decide
                wrong += !tie && x[i] != (u < value ? 1.0f : 0.0f);
            }
            CHECK(wrong == 0);
            CHECK(x != before);
            before = x;
        }
    }
}

TEST_CASE("gather refuses data and indices of the wrong kind") {
    Graph g;
    Tensor data = g.input({4, 3}, "data"), words = g.input({4, 3}, "words", DType::u32);
    CHECK_THROWS_WITH_AS(gather(g, data, data), doctest::Contains("u32"), Error);
    CHECK_THROWS_WITH_AS(gather(g, words, words), doctest::Contains("u8 or f32"), Error);
}

TEST_CASE("ring_store writes each step's values to its slot and nothing else") {
    Graph g;
    Tensor x = g.input({2}, "x"), ring = g.input({3, 5}, "ring");
    ring_store(g, {{scale_by_beta(g, x)}}, ring, 2);
    Plan plan(test_device(), g, plan_options(3));
    plan.write(x, std::vector<float>{1, 10});
    plan.write(ring, std::vector<float>(15, -1));
    std::vector<StepParams> params(3);
    for (size_t i = 0; i < params.size(); i++)
        params[i].beta = float(i + 1);
    plan.submit(params);
    CHECK(plan.read(ring) == std::vector<float>{-1, -1, 1, 10, -1, -1, -1, 2, 20, -1, -1, -1, 3, 30, -1});
    CHECK_THROWS_WITH_AS(ring_store(g, {{x}}, ring, 4), doctest::Contains("(3, 5)"), Error);
}

TEST_CASE("ring_store takes up to six tensors, one after the other") {
    for (size_t count = 1; count <= 6; count++) {
        CAPTURE(count);
        Graph g;
        std::vector<Tensor> sources;
        std::vector<float> expected = {-1};
        for (size_t i = 0; i < count; i++)
            sources.push_back(g.input({int64_t(i % 3 + 1)}, concat_text("x", i)));
        Tensor ring = g.input({1, 20}, "ring");
        ring_store(g, sources, ring, 1);
        Plan plan(test_device(), g, plan_options());
        plan.write(ring, std::vector<float>(20, -1));
        for (size_t i = 0; i < count; i++) {
            std::vector<float> values;
            for (size_t k = 0; k <= i % 3; k++)
                values.push_back(float(10 * i + k));
            expected.insert(expected.end(), values.begin(), values.end());
            plan.write(sources[i], std::span<const float>(values));
        }
        expected.resize(20, -1);
        plan.run();
        CHECK(plan.read(ring) == expected);
    }
    Graph g;
    std::vector<Tensor> seven(7, g.input({1}, "x"));
    Tensor ring = g.input({1, 20}, "ring");
    CHECK_THROWS_WITH_AS(ring_store(g, seven, ring, 0), doctest::Contains("7 tensors"), Error);
    CHECK_THROWS_AS(ring_store(g, {}, ring, 0), Error);
}
