// One OpCase says what an operation computes; check() holds the GPU to it:
//   forward against the double reference, gradients against differences of that reference; the same bits from a second
//   run and from a plan with or without memory sharing, the same numbers without fusion; nothing written outside of
//   inputs and gradients.
#pragma once

#include "device.hpp"
#include "ops/philox.hpp"
#include "reference.hpp"
#include "vkvae/ops.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>

namespace vkvae::test {

using reference::Values;

struct OpInput {
    Shape shape;
    bool gradient = true;         // of the result for this input; false: the operation gives none
    double low = -1, high = 1;    // elements are uniform in [low, high)
    double away_from_zero = 0;    // elements nearer to 0 than this move out to it: kinks have no gradient
    std::vector<float> values = {}; // instead of random ones
};

struct OpCase {
    std::string name;
    std::vector<OpInput> inputs;
    std::function<Tensor(Graph&, std::span<const Tensor>)> build;
    std::function<Values(const std::vector<Values>&)> formula;
    // Largest error of an element, relative to the root mean square of all; f32 sums of a few hundred terms.
    double tolerance = 1e-5;
    double gradient_tolerance = 1e-4;
    double nmse = 1e-11; // mean squared error over mean square
    size_t samples = 10; // gradient entries that are differentiated numerically, for each input
    double h = 1e-3;     // step of those differences
    StepParams step = {};
};

inline uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

inline std::vector<uint32_t> bits_of(std::span<const float> values) {
    std::vector<uint32_t> bits(values.size());
    std::memcpy(bits.data(), values.data(), values.size_bytes());
    return bits;
}

inline Values to_double(std::span<const float> values) { return {values.begin(), values.end()}; }

inline std::vector<float> make_values(const OpInput& input, uint32_t which) {
    if (!input.values.empty())
        return input.values;
    std::vector<float> values(size_t(element_count(input.shape)));
    for (size_t i = 0; i < values.size(); i++) {
        double u = random_uniform(17, Stream::data, 0, which, uint32_t(i));
        double value = input.low + (input.high - input.low) * u;
        if (std::abs(value) < input.away_from_zero)
            value = value < 0 ? -input.away_from_zero : input.away_from_zero;
        values[i] = float(value);
    }
    return values;
}

inline double root_mean_square(const Values& values) {
    return std::sqrt(reference::dot(values, values) / double(std::max<size_t>(values.size(), 1)));
}

// Tensors in one buffer, with untouchable words before, between and after them.
class GuardedMemory {
  public:
    static constexpr uint32_t kGuard = 0x7fc0dead; // a NaN, so that reading it is noticed as well

    GuardedMemory(Device& device, std::span<const uint64_t> sizes) : device_(device) {
        uint64_t align = device.caps().storage_align, at = align;
        for (uint64_t size : sizes) {
            uint64_t rounded = (size + 3) / 4 * 4;
            ranges_.push_back({at, rounded});
            at = (at + rounded + 4 + align - 1) / align * align; // at least one guard word after each
        }
        buffer_ = Buffer(device, at + align, Memory::device, "guarded memory");
        device.fill(buffer_, 0, buffer_.bytes, kGuard);
    }
    const Buffer& buffer() const { return buffer_; }
    uint64_t offset(size_t index) const { return ranges_[index].offset; }
    void write(size_t index, std::span<const float> values) {
        device_.upload(buffer_, offset(index), std::as_bytes(values));
    }
    size_t words_overwritten() {
        std::vector<uint32_t> words(buffer_.bytes / 4);
        device_.download(buffer_, 0, std::as_writable_bytes(std::span(words)));
        for (const Range& range : ranges_)
            std::fill_n(words.begin() + int64_t(range.offset / 4), range.bytes / 4, kGuard);
        return size_t(std::count_if(words.begin(), words.end(), [](uint32_t word) { return word != kGuard; }));
    }

  private:
    struct Range {
        uint64_t offset, bytes;
    };
    Device& device_;
    std::vector<Range> ranges_;
    Buffer buffer_;
};

// The graph of a case: y, and the gradients of sum(y seed) in external tensors of their own.
struct OpGraph {
    Graph graph;
    std::vector<Tensor> inputs, wrt, gradients;
    Tensor y, seed;

    explicit OpGraph(const OpCase& c) {
        for (size_t i = 0; i < c.inputs.size(); i++) // the graph's first tensors: input i has the id i
            inputs.push_back(graph.input(c.inputs[i].shape, concat_text("input ", i)));
        for (size_t i = 0; i < c.inputs.size(); i++)
            if (c.inputs[i].gradient) {
                wrt.push_back(inputs[i]);
                gradients.push_back(graph.input(c.inputs[i].shape, concat_text("gradient ", i)));
            }
        y = c.build(graph, inputs);
        graph.keep(y);
        if (!wrt.empty()) {
            seed = graph.input(graph.shape(y), "seed");
            graph.backward(y, wrt, gradients, seed);
        }
    }
    // What is read and written from outside, in this order.
    std::vector<Tensor> external() const {
        std::vector<Tensor> all = inputs;
        all.insert(all.end(), gradients.begin(), gradients.end());
        if (seed)
            all.push_back(seed);
        return all;
    }
};

struct OpResult {
    std::vector<float> y;
    std::vector<std::vector<float>> gradients;
    std::vector<std::vector<uint32_t>> bits() const {
        std::vector<std::vector<uint32_t>> all = {bits_of(y)};
        for (const std::vector<float>& gradient : gradients)
            all.push_back(bits_of(gradient));
        return all;
    }
};

inline OpResult read_result(Plan& plan, const OpGraph& g) {
    OpResult result;
    result.y = plan.read(g.y);
    for (Tensor gradient : g.gradients)
        result.gradients.push_back(plan.read(gradient));
    return result;
}

inline void check_close(const std::string& what, std::span<const float> got, const Values& expected, double tolerance,
                        double nmse) {
    REQUIRE(got.size() == expected.size());
    double scale = root_mean_square(expected), squares = 0, worst = 0;
    size_t worst_at = 0;
    for (size_t i = 0; i < got.size(); i++) {
        double error = std::abs(double(got[i]) - expected[i]);
        squares += error * error;
        double relative = error / (std::abs(expected[i]) + scale + 1e-30);
        if (!(relative <= worst)) { // also for NaN
            worst = relative;
            worst_at = i;
        }
    }
    INFO(what, ": element ", worst_at, " is ", got[worst_at], " instead of ", expected[worst_at]);
    CHECK(worst <= tolerance);
    CHECK(squares <= nmse * double(got.size()) * scale * scale + 1e-60);
}

inline void check(const OpCase& c, Device& device = test_device()) {
    INFO("case ", c.name);
    OpGraph g(c);
    std::vector<std::vector<float>> values;
    std::vector<Values> exact;
    for (size_t i = 0; i < c.inputs.size(); i++) {
        values.push_back(make_values(c.inputs[i], uint32_t(i)));
        exact.push_back(to_double(values.back()));
    }
    std::vector<float> seed = make_values({g.graph.shape(g.y)}, 99);

    // In guarded memory, twice.
    std::vector<uint64_t> sizes;
    for (Tensor t : g.external())
        sizes.push_back(g.graph.info(t).bytes());
    GuardedMemory memory(device, sizes);
    Plan plan(device, g.graph, plan_options());
    for (size_t i = 0; i < sizes.size(); i++)
        plan.bind(g.external()[i], memory.buffer(), memory.offset(i));
    for (size_t i = 0; i < values.size(); i++)
        memory.write(i, values[i]);
    if (g.seed)
        memory.write(sizes.size() - 1, seed);
    plan.run(c.step);
    OpResult result = read_result(plan, g);
    CHECK(memory.words_overwritten() == 0);
    plan.run(c.step);
    CHECK_MESSAGE(read_result(plan, g).bits() == result.bits(), "a second run gave other bits");

    // In memory of the plan, without sharing.
    Plan apart(device, g.graph, plan_options(1, false));
    for (size_t i = 0; i < values.size(); i++)
        apart.write(g.inputs[i], std::span<const float>(values[i]));
    if (g.seed)
        apart.write(g.seed, std::span<const float>(seed));
    apart.run(c.step);
    CHECK_MESSAGE(read_result(apart, g).bits() == result.bits(), "without sharing memory the bits differ");

    // Kernel by kernel: not the same bits, as a compiler may contract across what fusion joins.
    PlanOptions unfused = plan_options();
    unfused.fuse = false;
    Plan steps_apart(device, g.graph, unfused);
    for (size_t i = 0; i < values.size(); i++)
        steps_apart.write(g.inputs[i], std::span<const float>(values[i]));
    if (g.seed)
        steps_apart.write(g.seed, std::span<const float>(seed));
    steps_apart.run(c.step);
    OpResult alone = read_result(steps_apart, g);
    check_close("without fusion", alone.y, to_double(result.y), c.tolerance, c.nmse);
    for (size_t k = 0; k < alone.gradients.size(); k++)
        check_close(concat_text("gradient ", k, " without fusion"), alone.gradients[k],
                    to_double(result.gradients[k]), c.gradient_tolerance, c.gradient_tolerance * c.gradient_tolerance);

    check_close("forward", result.y, c.formula(exact), c.tolerance, c.nmse);
    Values weights = to_double(seed);
    auto loss = [&](const std::vector<Values>& at) { return reference::dot(c.formula(at), weights); };
    for (size_t k = 0; k < g.wrt.size(); k++) {
        size_t which = g.wrt[k].id;
        const std::vector<float>& got = result.gradients[k];
        double scale = root_mean_square(to_double(got));
        size_t count = std::min(got.size(), c.samples);
        for (size_t s = 0; s < count; s++) {
            size_t at = count == got.size() ? s : s == 0 ? 0 : s == 1 ? got.size() - 1
                        : random_below(5, Stream::sample, uint32_t(which), uint32_t(s), uint32_t(got.size()));
            double expected = reference::numeric_gradient(loss, exact, which, at, c.h);
            INFO("gradient of input ", which, " at ", at, " is ", got[at], " instead of ", expected);
            CHECK(std::abs(got[at] - expected) <= c.gradient_tolerance * (scale + std::abs(expected)) + 1e-12);
        }
    }
}

} // namespace vkvae::test
