// The contract of Plan: memory known beforehand, steps that can be batched, errors that name tensors, and learning.
#include "gpu/sample_plan.hpp"
#include "io/temp_folder.hpp"

#include <limits>

using namespace vkvae;
using namespace vkvae::test;

namespace {

// min over w of sum (A w - b)^2 with A (8, 3), b = A w*, from w = 0.
struct LeastSquares {
    Graph graph;
    Tensor a, b, w, dw, loss, halted, m, v, ring;
    std::vector<float> solution = {1.5f, -2, 0.75f};

    explicit LeastSquares(bool use_adam, int64_t slots = 1) {
        a = graph.input({8, 3}, "A");
        b = graph.input({8, 1}, "b");
        w = graph.input({3, 1}, "w");
        dw = graph.input({3, 1}, "dw");
        halted = graph.input({1}, "halted", DType::u32);
        m = graph.input({3, 1}, "m");
        v = graph.input({3, 1}, "v");
        ring = graph.input({slots, 1}, "losses");
        Tensor r = sub(graph, matmul(graph, a, w), b);
        loss = sum(graph, mul(graph, r, r));
        ring_store(graph, {{loss}}, ring, 0);
        Tensor wrt[] = {w}, into[] = {dw};
        graph.backward(loss, wrt, into);
        OptimizerState state = {w, dw, halted};
        if (use_adam)
            adam(graph, state, m, v, {});
        else
            sgd(graph, state, m, 0.5f, 0);
    }
    void write(Plan& plan) const {
        std::vector<float> matrix = make_values({{8, 3}}, 3), target(8);
        for (size_t i = 0; i < 8; i++)
            for (size_t k = 0; k < 3; k++)
                target[i] += matrix[3 * i + k] * solution[k];
        plan.write(a, std::span<const float>(matrix));
        plan.write(b, std::span<const float>(target));
    }
    static StepParams params(uint32_t step, float lr) {
        return {.step = step, .lr = lr, .bias1 = float(1 - std::pow(0.9, step + 1)),
                .bias2 = float(1 - std::pow(0.999, step + 1))};
    }
    void check_solved(Plan& plan) const {
        std::vector<float> got = plan.read(w);
        for (size_t i = 0; i < 3; i++)
            CHECK(std::abs(got[i] - solution[i]) < 1e-3f);
    }
};

} // namespace

TEST_CASE("sgd and adam find the least-squares solution, with nothing but tensors and ops") {
    for (bool use_adam : {false, true}) {
        CAPTURE(use_adam);
        LeastSquares task(use_adam, 50);
        Plan plan(test_device(), task.graph, plan_options(50));
        task.write(plan);
        std::vector<float> first, last;
        for (uint32_t round = 0; round < (use_adam ? 30u : 6u); round++) {
            std::vector<StepParams> params;
            for (uint32_t i = 0; i < 50; i++)
                params.push_back(LeastSquares::params(round * 50 + i, use_adam ? 0.02f : 0.05f));
            plan.submit(params);
            last = plan.read(task.ring);
            if (round == 0)
                first = last;
        }
        task.check_solved(plan);
        CHECK(first[0] > 1);
        CHECK(last[49] < 1e-6f);
    }
}

TEST_CASE("steps of one submission compute what as many submissions do, bit for bit") {
    LeastSquares task(true, 7);
    std::vector<StepParams> params;
    for (uint32_t i = 0; i < 7; i++)
        params.push_back(LeastSquares::params(i, 0.1f));
    std::vector<uint32_t> expected;
    for (size_t batch : {1, 3, 7}) {
        Plan plan(test_device(), task.graph, plan_options(7));
        task.write(plan);
        for (size_t at = 0; at < params.size(); at += batch)
            plan.submit(std::span(params).subspan(at, std::min(batch, params.size() - at)));
        std::vector<uint32_t> bits = bits_of(plan.read(task.w));
        if (expected.empty())
            expected = bits;
        CHECK(bits == expected);
    }
    Plan plan(test_device(), task.graph, plan_options(2));
    CHECK_THROWS_WITH_AS(plan.submit(params), doctest::Contains("7 steps"), Error);
    CHECK_THROWS_AS(plan.submit({}), Error);
}

TEST_CASE("memory is known to the byte before anything is allocated") {
    std::unique_ptr<Device> device = Device::create(test_options());
    SampleNetwork network;
    Buffer outside(*device, 2 * 9 * 9 * 3 * 4, Memory::device, "x");
    uint64_t before = device->allocated_bytes;
    Plan plan(*device, network.graph, plan_options(3));
    uint64_t with_x = plan.memory().external;
    plan.bind(network.x, outside);
    Plan::Footprint memory = plan.memory();
    CHECK(with_x - memory.external >= outside.bytes);
    CHECK(device->allocated_bytes == before);
    plan.run();
    CHECK(device->allocated_bytes == before + memory.total());
    network.write_inputs(plan); // staging, 4 MiB, belongs to the device
    CHECK(device->allocated_bytes == before + memory.total() + (4u << 20));
    CHECK(memory.unshared >= memory.arena);
    if (sharing_allowed())
        CHECK(memory.arena < memory.unshared);
    CHECK(Plan(*device, network.graph, {.alias = false}).memory().arena == memory.unshared);
}

TEST_CASE("the first tensor that is not finite is found by name") {
    Graph g;
    Tensor x = g.input({4}, "x"), y = g.input({4}, "y");
    Tensor a = scale(g, x, 2), b = mul(g, a, y), c = add(g, b, b);
    g.rename(a, "fine");
    g.rename(b, "first bad");
    g.rename(c, "second bad");
    g.keep(c);
    Plan plan(test_device(), g, {.alias = false});
    plan.write(x, std::vector<float>{1e20f, 1, 1, 1});
    plan.write(y, std::vector<float>{1, 1, 1, 1});
    plan.run();
    CHECK(plan.first_nonfinite() == "");
    plan.write(y, std::vector<float>{1e20f, 1, 1, 1});
    plan.run();
    CHECK(plan.first_nonfinite() == "first bad");
    plan.write(x, std::vector<float>{0, 0, std::numeric_limits<float>::quiet_NaN(), 0});
    plan.run();
    CHECK(plan.first_nonfinite() == "x");
    Plan shared(test_device(), g, {.alias = true});
    CHECK_THROWS_AS(shared.first_nonfinite(), Error);
}

TEST_CASE("a profile times every kernel where the device has timestamps") {
    SampleNetwork network;
    Plan plan(test_device(), network.graph, plan_options(2));
    CHECK(plan.profile().empty());
    network.write_inputs(plan);
    StepParams params[2];
    plan.run(params[0]);
    std::vector<float> expected = network.read_outputs(plan);
    plan.submit({params, 1}, true);
    std::vector<KernelTime> times = plan.profile();
    CHECK(bits_of(network.read_outputs(plan)) == bits_of(expected));
    if (test_device().caps().timestamps) {
        CHECK_THROWS_AS(plan.submit(params, true), Error);
        int calls = 0;
        for (const KernelTime& time : times) {
            calls += time.calls;
            CHECK(time.ms >= 0);
            CHECK(!time.name.empty());
        }
        CHECK(calls == int(plan.dispatch_count()));
        CHECK(plan.gpu_seconds() > 0);
        CHECK(plan.gpu_seconds() < 60);
    } else {
        CHECK(times.empty());
        CHECK(plan.gpu_seconds() == 0);
    }
    plan.run();
    CHECK(plan.profile().empty()); // it was of an earlier submission
    CHECK((plan.gpu_seconds() > 0) == test_device().caps().timestamps);
}

TEST_CASE("what a plan cannot give is refused by name") {
    Graph g;
    Tensor x = g.input({4}, "the input"), idle = g.input({4}, "unused input");
    Tensor inner = scale(g, x, 2), y = scale(g, inner, 3);
    g.rename(inner, "inner tensor");
    g.keep(y);
    Plan plan(test_device(), g, {.alias = true});
    Buffer small(test_device(), 12, Memory::device, "small");
    Buffer fits(test_device(), 1024, Memory::device, "fits");
    CHECK_THROWS_WITH_AS(plan.bind(x, small), doctest::Contains("the input"), Error);
    CHECK_THROWS_WITH_AS(plan.bind(inner, fits), doctest::Contains("inner tensor"), Error);
    CHECK_THROWS_AS(plan.bind(x, fits, 4), Error);
    CHECK_THROWS_WITH_AS(plan.write(x, std::vector<float>(5)), doctest::Contains("(4)"), Error);
    CHECK_THROWS_WITH_AS(plan.write(y, std::vector<float>(4)), doctest::Contains("not an input"), Error);
    CHECK_THROWS_WITH_AS(plan.read(inner), doctest::Contains("inner tensor"), Error);
    plan.write(idle, std::vector<float>(4)); // harmless: no kernel reads it
    plan.write(x, std::vector<float>{1, 2, 3, 4});
    plan.run();
    CHECK(plan.read(y) == std::vector<float>{6, 12, 18, 24});
    CHECK_THROWS_WITH_AS(plan.bind(x, fits), doctest::Contains("after the first run"), Error);
    CHECK(plan.done());
    CHECK(plan.describe().find("inner tensor(4)") != std::string::npos);
    CHECK(plan.dispatch_count() == 2);
    CHECK(plan.level_count() == 2);
}

TEST_CASE("a step begins beside the end of the one before where the two touch nothing of each other's") {
    auto joins = [](const Graph& g) {
        Plan plan(test_device(), g, plan_options());
        plan.run();
        return plan.describe().find("no barrier") != std::string::npos;
    };
    // Two levels: y from x, then a state from y.
    Graph two;
    Tensor begin = two.input({64}, "x"), end = two.input({1, 64}, "ring");
    ring_store(two, {{scale(two, begin, 2)}}, end, 0);
    CHECK_FALSE(joins(two)); // the next y may not overwrite what the state is made from
    // Three levels: what the last one reads is not what the first one writes.
    Graph g;
    Tensor x = g.input({64}, "x"), ring = g.input({1, 64}, "ring");
    ring_store(g, {{scale(g, scale(g, x, 2), 3)}}, ring, 0);
    CHECK(joins(g));
    Graph state; // the same, but it begins with what it ends with
    Tensor of = state.input({1, 64}, "ring");
    ring_store(state, {{scale(state, scale(state, reshape(state, of, {64}), 2), 3)}}, of, 0);
    CHECK_FALSE(joins(state));
    Plan fed_back(test_device(), g, plan_options()); // as above, but by what is bound
    Buffer memory(test_device(), 256, Memory::device, "both");
    fed_back.bind(x, memory);
    fed_back.bind(ring, memory);
    fed_back.run();
    CHECK(fed_back.describe().find("no barrier") == std::string::npos);
}

TEST_CASE("a tensor larger than kernels can see is refused before there is a plan") {
    Environment limit("VKVAE_LIMIT_STORAGE_RANGE", "65536");
    std::unique_ptr<Device> device = Device::create(test_options());
    Graph fits, large;
    fits.keep(scale(fits, fits.input({65536 / 4}, "x"), 2));
    CHECK_NOTHROW(Plan(*device, fits, plan_options()));
    large.keep(scale(large, large.input({65536 / 4 + 1}, "x too long"), 2));
    CHECK_THROWS_WITH_AS(Plan(*device, large, plan_options()), doctest::Contains("'x too long' (16385) has 65540 bytes"),
                         Error);
}

TEST_CASE("a view that the device cannot bind is refused before it runs") {
    Graph g;
    Tensor x = g.input({64}, "x"), part = g.view(x, {8}, 4, "crooked");
    g.keep(scale(g, part, 2));
    Plan plan(test_device(), g, plan_options());
    CHECK_THROWS_WITH_AS(plan.run(), doctest::Contains("crooked"), Error);
}

TEST_CASE("a constant can be read, computed with and copied") {
    Graph g;
    Tensor c = g.constant(2.5f, {3}), x = g.input({3}, "x"), y = mul(g, x, c);
    g.keep(y);
    Plan plan(test_device(), g, plan_options());
    plan.write(x, std::vector<float>{1, 2, 4});
    plan.run();
    CHECK(plan.read(y) == std::vector<float>{2.5f, 5, 10});
    CHECK(plan.read(c) == std::vector<float>(3, 2.5f));
}
