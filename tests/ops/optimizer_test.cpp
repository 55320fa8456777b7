// The contract of ops/optimizer: PyTorch's SGD, Adam and AdamW over several steps, clipping, and the emergency stop.
#include "io/float16.hpp"
#include "op_check.hpp"

#include <limits>

using namespace vkvae;
using namespace vkvae::test;

namespace {

struct Training {
    Graph graph;
    Tensor weights, gradients, halted, first, second;
    explicit Training(int64_t count) {
        weights = graph.input({count}, "weights");
        gradients = graph.input({count}, "gradients");
        halted = graph.input({1}, "halted", DType::u32);
        first = graph.input({count}, "first moment");
        second = graph.input({count}, "second moment");
    }
    OptimizerState state() const { return {weights, gradients, halted}; }
};

StepParams step_params(uint32_t step, float lr, float clip_norm = 0) {
    return {.step = step, .lr = lr, .bias1 = float(1 - std::pow(0.9, step + 1)),
            .bias2 = float(1 - std::pow(0.999, step + 1)), .clip_norm = clip_norm};
}

// Five steps with new gradients each, against `reference_step`; returns the largest relative error of a weight.
double worst_of_five_steps(Training& t, int64_t count, float clip_norm,
                           const std::function<void(Values&, const Values&, size_t)>& reference_step) {
    Plan plan(test_device(), t.graph, plan_options());
    std::vector<float> start = make_values({{count}}, 0);
    Values w = to_double(start);
    plan.write(t.weights, std::span<const float>(start));
    for (uint32_t step = 0; step < 5; step++) {
        std::vector<float> gradient = make_values({{count}}, 1 + step);
        plan.write(t.gradients, std::span<const float>(gradient));
        plan.run(step_params(step, 0.01f, clip_norm));
        std::vector<Values> clipped = {to_double(gradient)};
        if (clip_norm > 0)
            reference::clip_global_norm(clipped, double(clip_norm));
        reference_step(w, clipped[0], step + 1);
    }
    std::vector<float> got = plan.read(t.weights);
    double worst = 0;
    for (size_t i = 0; i < got.size(); i++)
        worst = std::max(worst, std::abs(got[i] - w[i]) / (std::abs(w[i]) + 0.1));
    return worst;
}

} // namespace

TEST_CASE("sgd with momentum, decay and clipping follows the reference") {
    for (int64_t count : {1, 1031, 70001})
        for (float clip : {0.0f, 0.5f, 1e6f}) {
            CAPTURE(count);
            CAPTURE(clip);
            Training t(count);
            sgd(t.graph, t.state(), t.first, 0.9f, 0.01f);
            Values velocity(size_t(count), 0.0);
            CHECK(worst_of_five_steps(t, count, clip, [&](Values& w, const Values& dw, size_t) {
                      reference::sgd_step(w, dw, velocity, double(0.01f), double(0.9f), double(0.01f));
                  }) <= 1e-6);
        }
}

TEST_CASE("adam and adamw follow the reference") {
    for (int64_t count : {1, 4, 1031, 1032, 70001}) // some drivers take whole vec4s where they can
        for (bool decoupled : {false, true})
            for (float clip : {0.0f, 0.5f}) {
                CAPTURE(count);
                CAPTURE(decoupled);
                CAPTURE(clip);
                Training t(count);
                adam(t.graph, t.state(), t.first, t.second, {.weight_decay = 0.1f, .decoupled_decay = decoupled});
                Values m(size_t(count), 0.0), v(size_t(count), 0.0);
                reference::AdamOptions o = {.learning_rate = double(0.01f), .weight_decay = double(0.1f),
                                            .decay = decoupled ? reference::WeightDecay::decoupled
                                                               : reference::WeightDecay::l2};
                CHECK(worst_of_five_steps(t, count, clip, [&](Values& w, const Values& dw, size_t step) {
                          reference::adam_step(w, dw, m, v, step, o);
                      }) <= 1e-5);
            }
}

TEST_CASE("a gradient that is not finite stops all updates for good") {
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
        for (bool use_adam : {false, true}) {
            CAPTURE(bad);
            CAPTURE(use_adam);
            Training t(65);
            if (use_adam)
                adam(t.graph, t.state(), t.first, t.second, {});
            else
                sgd(t.graph, t.state(), t.first, 0.9f, 0);
            Plan plan(test_device(), t.graph, plan_options());
            plan.write(t.weights, std::vector<float>(65, 1));
            std::vector<float> gradient(65, 0.5f);
            plan.write(t.gradients, std::span<const float>(gradient));
            plan.run(step_params(0, 0.1f));
            std::vector<float> weights = plan.read(t.weights), moment = plan.read(t.first);
            CHECK(weights[64] < 1);

            gradient[17] = bad; // 1e30 squared is infinite
            plan.write(t.gradients, std::span<const float>(gradient));
            plan.run(step_params(1, 0.1f));
            gradient[17] = 0.5f;
            plan.write(t.gradients, std::span<const float>(gradient));
            plan.run(step_params(2, 0.1f));
            CHECK(plan.read(t.weights) == weights);
            CHECK(plan.read(t.first) == moment);
            uint32_t halted = 0;
            plan.read(t.halted, std::as_writable_bytes(std::span(&halted, 1)));
            CHECK(halted == 1);
        }
    }
}

TEST_CASE("a loss that is not finite stops all updates, even where its gradient is finite") {
    Training t(3);
    OptimizerState state = t.state();
    state.loss = t.graph.input({1}, "loss");
    sgd(t.graph, state, t.first, 0, 0);
    Plan plan(test_device(), t.graph, plan_options());
    plan.write(t.gradients, std::vector<float>(3, 1));
    for (float loss : {1.0f, std::numeric_limits<float>::infinity(), 1.0f}) {
        plan.write(state.loss, std::vector<float>{loss});
        plan.run(step_params(0, 0.5f));
    }
    CHECK(plan.read(t.weights) == std::vector<float>(3, -0.5f)); // one step and no more
}

TEST_CASE("optimizers refuse state of another shape, and say both") {
    Training t(8);
    Tensor wrong = t.graph.input({9}, "wrong");
    CHECK_THROWS_WITH_AS(sgd(t.graph, t.state(), wrong, 0, 0), doctest::Contains("(9)"), Error);
    CHECK_THROWS_WITH_AS(adam(t.graph, t.state(), t.first, wrong, {}), doctest::Contains("(8)"), Error);
}

TEST_CASE("the loss scale is taken out of gradients, and the copy of 16 bits is written with the weights") {
    for (DType type : {DType::f16, DType::bf16})
        for (bool use_adam : {false, true}) {
            constexpr int64_t kCount = 1032;
            INFO(std::string(type_name(type)), use_adam ? " adam" : " sgd");
            // Once with gradients as they are, once times the scale: the same updates.
            auto run = [&](float scale) {
                Training t(kCount);
                OptimizerState state = t.state();
                state.narrow = t.graph.input({kCount}, "narrow", type);
                state.loss_scale = t.graph.input({3}, "loss scale");
                Tensor control = use_adam ? adam(t.graph, state, t.first, t.second, {})
                                          : sgd(t.graph, state, t.first, 0.9f, 0);
                t.graph.keep(control);
                Plan plan(test_device(), t.graph, plan_options());
                plan.write(t.weights, std::span<const float>(make_values({{kCount}}, 0)));
                plan.write(state.loss_scale, std::vector<float>{scale, 0, 0});
                std::vector<float> gradient = make_values({{kCount}}, 1);
                double squares = 0;
                for (float& g : gradient) {
                    squares += double(g) * g;
                    g *= scale; // a power of two: exact
                }
                plan.write(t.gradients, std::span<const float>(gradient));
                plan.run(step_params(0, 0.01f, 0.5f));
                std::vector<float> weights = plan.read(t.weights), narrow = plan.read(state.narrow);
                size_t wrong = 0;
                for (size_t i = 0; i < weights.size(); i++)
                    wrong += narrow[i] != (type == DType::f16 ? from_f16(to_f16(weights[i]))
                                                              : from_bf16(to_bf16(weights[i])));
                CHECK(wrong == 0);
                std::vector<float> told = plan.read(control);
                CHECK(told[0] == doctest::Approx(squares).epsilon(1e-5));
                CHECK(told[1] == doctest::Approx(0.5 / std::sqrt(squares) / scale).epsilon(1e-5));
                CHECK(told[2] == scale);
                CHECK(told[3] == 0);
                return weights;
            };
            std::vector<float> plain = run(1), scaled = run(4096);
            for (size_t i = 0; i < plain.size(); i++)
                REQUIRE(scaled[i] == doctest::Approx(plain[i]).epsilon(1e-6));
        }
}

TEST_CASE("gradients that overflow skip the step and halve the scale; at the smallest scale they stop training") {
    Training t(64);
    OptimizerState state = t.state();
    state.loss_scale = t.graph.input({3}, "loss scale");
    Tensor control = adam(t.graph, state, t.first, t.second, {});
    t.graph.keep(control);
    Plan plan(test_device(), t.graph, plan_options());
    std::vector<float> weights(64, 1.5f), gradient(64, 0.25f);
    auto halted = [&] {
        uint32_t value = 0;
        plan.read(t.halted, std::as_writable_bytes(std::span(&value, 1)));
        return value != 0;
    };
    plan.write(t.weights, std::span<const float>(weights));
    plan.write(state.loss_scale, std::vector<float>{0x1p-14f, 7, 2});
    gradient[5] = std::numeric_limits<float>::infinity();
    plan.write(t.gradients, std::span<const float>(gradient));
    for (float scale : {0x1p-14f, 0x1p-15f}) {
        plan.run(step_params(0, 0.1f));
        CHECK(plan.read(control)[2] == scale);
        CHECK(plan.read(control)[3] == 1);
        CHECK_FALSE(halted());
    }
    CHECK(plan.read(state.loss_scale) == std::vector<float>{0x1p-16f, 0, 4});
    CHECK(plan.read(t.weights) == weights);
    plan.run(step_params(0, 0.1f)); // smaller it does not get
    CHECK(halted());
    CHECK(plan.read(control)[3] == 0);
    CHECK(plan.read(t.weights) == weights);
    gradient[5] = 0.25f;
    plan.write(t.gradients, std::span<const float>(gradient));
    plan.run(step_params(1, 0.1f));
    CHECK(plan.read(t.weights) == weights);
    CHECK(plan.read(state.loss_scale) == std::vector<float>{0x1p-16f, 0, 4});
}

TEST_CASE("a loss scale that was good for 2000 steps is doubled, up to 2^24") {
    Training t(64);
    OptimizerState state = t.state();
    state.loss_scale = t.graph.input({3}, "loss scale");
    adam(t.graph, state, t.first, t.second, {});
    Plan plan(test_device(), t.graph, plan_options());
    plan.write(t.gradients, std::vector<float>(64, 0.25f));
    for (auto [scale, good, next, left] : {std::array<float, 4>{1024, 1999, 2048, 0}, {1024, 1998, 1024, 1999},
                                           {0x1p23f, 1999, 0x1p24f, 0}, {0x1p24f, 1999, 0x1p24f, 0}}) {
        plan.write(state.loss_scale, std::vector<float>{scale, good, 3});
        plan.run(step_params(0, 0.1f));
        CHECK(plan.read(state.loss_scale) == std::vector<float>{next, left, 3});
    }
}
