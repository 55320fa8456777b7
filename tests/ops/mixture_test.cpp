// Densities under many Gaussians, the mean of exponentials, and what else objectives and conditions are made of.
#include "op_check.hpp"

#include <numbers>

using namespace vkvae;
using namespace vkvae::test;

namespace {

double log_normal(double z, double mu, double logvar) {
    return -0.5 * ((z - mu) * (z - mu) * std::exp(-logvar) + logvar + std::log(2 * std::numbers::pi));
}

OpCase densities(int64_t points, int64_t components, int64_t dims, bool by_dimension) {
    OpCase c;
    c.name = concat_text(points, " points, ", components, " components, ", dims, " dimensions", by_dimension ? " each" : "");
    c.inputs = {{{points, dims}}, {{components, 2 * dims}}};
    c.build = [=](Graph& g, std::span<const Tensor> in) { return gaussian_log_densities(g, in[0], in[1], by_dimension); };
    c.formula = [=](const std::vector<Values>& in) {
        Values y;
        for (int64_t m = 0; m < points; m++) {
            std::vector<Values> each(static_cast<size_t>(dims));
            for (int64_t d = 0; d < dims; d++)
                for (int64_t k = 0; k < components; k++)
                    each[size_t(d)].push_back(log_normal(in[0][size_t(m * dims + d)], in[1][size_t(k * 2 * dims + d)],
                                                         in[1][size_t(k * 2 * dims + dims + d)]));
            if (by_dimension) {
                for (const Values& row : each)
                    y.insert(y.end(), row.begin(), row.end());
                continue;
            }
            for (int64_t k = 0; k < components; k++) {
                y.push_back(0);
                for (const Values& row : each)
                    y.back() += row[size_t(k)];
            }
        }
        return y;
    };
    return c;
}

} // namespace

TEST_CASE("log-densities of points under Gaussians, whole or by dimension, and their gradients") {
    for (bool by_dimension : {false, true})
        for (auto [points, components, dims] : {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {16, 16, 8}, {131, 67, 13}}) {
            OpCase c = densities(points, components, dims, by_dimension);
            c.samples = points > 100 ? 3 : 10;
            check(c);
        }
}

TEST_CASE("log_mean_exp of rows, also of numbers whose exponentials are no floats") {
    for (auto [shape, low, high] : {std::tuple<Shape, double, double>{{1, 1}, -1, 1},
                                    {{7, 5}, -3, 3},
                                    {{3, 4, 16}, -3, 3},
                                    {{5, 1031}, -2, 2},
                                    {{4, 8}, -1001, -999},
                                    {{4, 8}, 499, 501}}) {
        OpCase c;
        c.name = concat_text("log_mean_exp ", to_text(shape), " from ", low);
        c.inputs = {{.shape = shape, .low = low, .high = high}};
        c.build = [](Graph& g, std::span<const Tensor> in) { return log_mean_exp(g, in[0]); };
        size_t columns = size_t(shape.back());
        c.formula = [=](const std::vector<Values>& in) {
            Values y;
            for (size_t row = 0; row < in[0].size(); row += columns) {
                double largest = *std::max_element(in[0].begin() + int64_t(row), in[0].begin() + int64_t(row + columns));
                double total = 0;
                for (size_t i = 0; i < columns; i++)
                    total += std::exp(in[0][row + i] - largest);
                y.push_back(largest + std::log(total / double(columns)));
            }
            return y;
        };
        c.gradient_tolerance = std::abs(low) > 100 ? 3e-3 : 1e-4; // of differences of numbers near a thousand
        check(c);
    }
}

TEST_CASE("repeat_rows writes each row several times, and adds up their gradients") {
    for (std::array<int64_t, 3> sizes : {std::array<int64_t, 3>{1, 1, 3}, {5, 7, 2}, {16, 8, 5}}) {
        int64_t rows = sizes[0], columns = sizes[1], times = sizes[2]; // clang 14 captures no structured bindings
        OpCase c;
        c.name = concat_text("repeat ", rows, " x ", columns, " by ", times);
        c.inputs = {{{rows, columns}}};
        c.build = [=](Graph& g, std::span<const Tensor> in) { return repeat_rows(g, in[0], times); };
        c.formula = [=](const std::vector<Values>& in) {
            Values y;
            for (int64_t i = 0; i < rows * times; i++) {
                auto row = in[0].begin() + i / times * columns;
                y.insert(y.end(), row, row + columns);
            }
            return y;
        };
        check(c);
    }
}

TEST_CASE("distance_to_capacity is the distance from the step's capacity") {
    OpCase c;
    c.name = "distance_to_capacity";
    c.inputs = {{.shape = {13}, .low = -1, .high = 1, .away_from_zero = 0.5}};
    c.step.capacity = 0.25f;
    c.build = [](Graph& g, std::span<const Tensor> in) { return distance_to_capacity(g, in[0]); };
    c.formula = [](const std::vector<Values>& in) {
        Values y;
        for (double x : in[0])
            y.push_back(std::abs(x - 0.25));
        return y;
    };
    check(c);
}

TEST_CASE("corruption masks, peppers or shakes as much as it says, and otherwise by seed and step alone") {
    constexpr int64_t kRows = 41, kColumns = 101;
    std::vector<float> grey(kRows * kColumns, 0.5f);
    for (std::pair<Corruption, float> noise : {std::pair{Corruption::masking, 0.3f}, {Corruption::salt_and_pepper, 0.4f},
                                               {Corruption::gaussian, 0.2f}, {Corruption::masking, 0.0f},
                                               {Corruption::masking, 1.0f}}) {
        const Corruption kind = noise.first;
        const float amount = noise.second;
        Graph g;
        Tensor x = g.input({kRows, kColumns}, "x"), y = corrupt(g, x, kind, amount);
        g.keep(y);
        Plan plan(test_device(), g, plan_options());
        plan.write(x, std::span<const float>(grey));
        StepParams step;
        step.set_seed(3);
        plan.run(step);
        std::vector<float> first = plan.read(y);
        plan.run(step);
        CHECK(bits_of(first) == bits_of(plan.read(y)));
        step.step = 1;
        plan.run(step);
        if (amount > 0 && amount < 1)
            CHECK(bits_of(first) != bits_of(plan.read(y)));
        double black = 0, white = 0, sum = 0, squares = 0, n = double(first.size());
        for (float value : first) {
            black += value == 0;
            white += value == 1;
            sum += value - 0.5;
            squares += (value - 0.5) * (value - 0.5);
        }
        INFO("kind ", uint32_t(kind), " amount ", amount);
        double off = 4 * std::sqrt(0.25 / n); // four standard deviations, of a fraction at most
        if (kind == Corruption::masking)
            CHECK(std::abs(black / n - amount) <= off);
        if (kind == Corruption::salt_and_pepper) {
            CHECK(std::abs(black / n - amount / 2) <= off);
            CHECK(std::abs(white / n - amount / 2) <= off);
        }
        if (kind == Corruption::gaussian) {
            CHECK(std::abs(sum / n) <= 4 * amount / std::sqrt(n));
            CHECK(std::abs(std::sqrt(squares / n) - amount) <= 4 * amount / std::sqrt(2 * n));
        }
    }
}
