// Decisions: what only the time of the whole plan can tell. Fusions and slices of sums give the same results either
// way, and of the ways the faster right one is kept.
#include "gpu/sample_plan.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

using Way = std::vector<std::string>; // names of its options

const std::vector<float> kOnes(1000, 1);

// The dispatches of y = factor x, done `times` over: with some hundred, slow on any device.
void scale_again(Lowering& l, Tensor x, Tensor y, float factor, int times) {
    struct Push {
        uint32_t count;
        float factor, offset;
    } push = {1000, factor, 0};
    for (int i = 0; i < times; i++)
        l.each("scale", 1000, {}, {x, y}, push);
}

// y = 2 x for each list of options, which are called "fast", "slow", and "wrong", which is fast as well.
struct Ways {
    Graph graph;
    std::vector<Tensor> x, y;
    explicit Ways(const std::vector<Way>& lists) {
        for (size_t i = 0; i < lists.size(); i++) {
            x.push_back(graph.input({1000}, concat_text("x", i)));
            y.push_back(graph.tensor({1000}, concat_text("y", i)));
            graph.add({.op = "twice",
                       .in = {x[i]},
                       .out = {y[i]},
                       .lower =
                           [=, this, list = lists[i]](Lowering& l) {
                               std::string way = list[l.decide("way twice", std::to_string(i), list)];
                               scale_again(l, x[i], y[i], way == "wrong" ? 2.001f : 2, way == "slow" ? 300 : 1);
                           },
                       .adjoint = {}});
            graph.keep(y[i]);
        }
    }
    TuneOptions options() const {
        return {.bind =
                    [this](Plan& p) {
                        for (Tensor t : x)
                            p.write(t, kOnes);
                    },
                .results = y};
    }
};

// y = relu(2 x) as a product that takes a step: one of both, fused and apart, is slow.
struct Fusible {
    Graph graph;
    Tensor x, y;
    explicit Fusible(bool slow_if_fused) {
        x = graph.input({1000}, "x");
        Tensor u = graph.tensor({1000}, "u");
        graph.add({.op = "product",
                   .in = {x},
                   .out = {u},
                   .lower =
                       [=, this](Lowering& l) {
                           bool fused = !l.node->steps.empty(); // of numbers above 0
                           scale_again(l, x, fused ? l.node->steps[0].result : u, 2, fused == slow_if_fused ? 300 : 1);
                       },
                   .adjoint = {},
                   .takes_steps = true});
        y = activate(graph, u, Activation::relu);
        graph.keep(y);
    }
    TuneOptions options() const {
        return {.bind = [this](Plan& p) { p.write(x, kOnes); }, .results = {y}};
    }
};

// dw = x^T dy and db, sums over so many rows that they are split, and c = a^T b beside them.
struct LongSums {
    Graph graph;
    Tensor x, w, bias, dy, a, b, c;
    std::vector<Tensor> results;
    LongSums(int64_t rows, int64_t in, int64_t out) {
        x = graph.input({rows, in}, "x");
        w = graph.input({in, out}, "w");
        bias = graph.input({out}, "bias");
        dy = graph.input({rows, out}, "dy");
        a = graph.input({rows, out}, "a");
        b = graph.input({rows, in}, "b");
        Tensor wrt[] = {w, bias};
        results = graph.backward(linear(graph, x, w, bias), wrt, {}, dy);
        results.push_back(matmul(graph, a, b, true, false));
        for (Tensor t : results)
            graph.keep(t);
    }
    void bind(Plan& plan) const {
        uint32_t which = 0;
        for (Tensor t : {x, w, bias, dy, a, b})
            plan.write(t, std::span<const float>(make_values({graph.shape(t)}, which++)));
    }
    // of the sums over rows
    Values sums(Tensor left, Tensor right) const {
        Values l = values(left), r = values(right);
        size_t rows = size_t(graph.dim(left, 0)), m = l.size() / rows, n = r.size() / rows;
        Values result(m * n);
        for (size_t k = 0; k < rows; k++)
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < n; j++)
                    result[i * n + j] += l[k * m + i] * r[k * n + j];
        return result;
    }
    std::vector<Values> expected() const {
        Values ones(size_t(graph.dim(dy, 0)), 1), d = values(dy), column_sums(size_t(graph.dim(dy, 1)));
        for (size_t i = 0; i < d.size(); i++)
            column_sums[i % column_sums.size()] += d[i];
        return {sums(x, dy), column_sums, sums(a, b)};
    }

  private:
    Values values(Tensor t) const {
        uint32_t which = 0;
        for (Tensor other : {x, w, bias, dy, a, b}) {
            if (other == t)
                break;
            which++;
        }
        return to_double(make_values({graph.shape(t)}, which));
    }
};

Tuning all_fusions(const Plan& plan, const char* option) {
    Tuning tuning;
    for (const auto& [family, decisions] : plan.decisions())
        if (family.starts_with("fuse "))
            for (const auto& [what, options] : decisions)
                tuning[family + " " + what] = option;
    return tuning;
}

} // namespace

TEST_CASE("every number of slices that a sum can have gives the same result") {
    for (auto [rows, in, out] : {std::array<int64_t, 3>{3001, 33, 21}, {2048, 32, 24}}) {
        LongSums s(rows, in, out);
        std::vector<Values> expected = s.expected();
        Plan first(test_device(), s.graph, plan_options());
        size_t products = 0;
        for (const auto& [family, decisions] : first.decisions()) {
            REQUIRE(family.starts_with("slices "));
            for (const auto& [what, counts] : decisions) {
                std::string name = family + " " + what;
                products++;
                CHECK(counts.size() >= 3);
                CHECK(std::count(counts.begin(), counts.end(), "1") == 1);
                for (const std::string& count : counts) {
                    CAPTURE(name);
                    CHECK(std::count(counts.begin(), counts.end(), count) == 1);
                    Tuning tuning = {{name, count}};
                    PlanOptions options = plan_options();
                    options.tuning = &tuning;
                    Plan plan(test_device(), s.graph, options);
                    bool other = count != counts.front();
                    CHECK((plan.describe() != first.describe()) == other);
                    CHECK(plan.chosen() == (other ? tuning : Tuning{}));
                    s.bind(plan);
                    plan.run();
                    for (size_t i = 0; i < expected.size(); i++)
                        check_close("sums", plan.read(s.results[i]), expected[i], 1e-5, 1e-11);
                }
            }
        }
        CHECK(products == 2);
    }
}

TEST_CASE("fusions that are decided against are as without fusion") {
    SampleNetwork network;
    Plan fused(test_device(), network.graph, plan_options());
    Tuning off = all_fusions(fused, "off");
    REQUIRE(off.size() >= 2);
    PlanOptions options = plan_options();
    options.fuse = false;
    Plan apart(test_device(), network.graph, options);
    CHECK(all_fusions(apart, "off").empty());
    options = plan_options();
    options.tuning = &off;
    Plan decided(test_device(), network.graph, options);
    CHECK(!decided.chosen().empty());
    CHECK(decided.describe() == apart.describe());
    CHECK(decided.describe() != fused.describe());
    std::vector<std::vector<float>> got;
    for (Plan* plan : {&apart, &decided}) {
        network.write_inputs(*plan);
        plan->run({.step = 3, .seed_lo = 5});
        got.push_back(network.read_outputs(*plan));
    }
    CHECK(bits_of(got[0]) == bits_of(got[1]));

    for (const auto& [name, option] : off) { // each by itself
        Tuning one = {{name, option}};
        options.tuning = &one;
        size_t count = Plan(test_device(), network.graph, options).dispatch_count();
        CHECK(count > fused.dispatch_count());
        CHECK(count <= apart.dispatch_count());
    }
    options.tuning = &off;
    options.precision = DType::bf16; // where more stored values would be more rounding
    CHECK(all_fusions(Plan(test_device(), network.graph, options), "off").empty());
}

TEST_CASE("of two ways the faster is kept, whichever comes first") {
    for (Way ways : {Way{"slow", "fast"}, Way{"fast", "slow"}}) {
        Ways w({ways});
        TuneReport report = tune(test_device(), w.graph, w.options());
        CHECK(report.tuning == Tuning{{"way twice 0", "fast"}});
        CHECK(report.changed == (ways[0] == "slow"));
        CHECK(report.refused == 0);
        CHECK((report.after_ms < report.before_ms) == (ways[0] == "slow"));
    }
}

TEST_CASE("a wrong way is refused, however fast it is") {
    Ways w({Way{"slow", "wrong", "fast"}});
    TuneReport report = tune(test_device(), w.graph, w.options());
    CHECK(report.refused == 1);
    CHECK(report.tuning == Tuning{{"way twice 0", "fast"}});
    TuneOptions two = w.options();
    two.candidates = 2;
    CHECK(tune(test_device(), w.graph, two).tuning == Tuning{{"way twice 0", "slow"}});
}

TEST_CASE("a fusion is kept where it is faster, and only there") {
    for (bool slow_if_fused : {true, false}) {
        Fusible f(slow_if_fused);
        TuneReport report = tune(test_device(), f.graph, f.options());
        CHECK(report.tuning == Tuning{{"fuse product+activation (1000)", slow_if_fused ? "off" : "on"}});
        CHECK(report.changed == slow_if_fused);
    }
}

TEST_CASE("a family that gains nothing together can gain one by one") {
    Ways w({Way{"slow", "fast"}, Way{"fast", "slow"}, Way{"fast", "slow"}});
    TuneOptions options = w.options();
    CHECK(tune(test_device(), w.graph, options).changed == 0);
    options.one_by_one = true;
    TuneReport report = tune(test_device(), w.graph, options);
    CHECK(report.changed == 1);
    for (const auto& [name, way] : report.tuning)
        CHECK(way == "fast");
}

TEST_CASE("the host's clock decides where the device has none") {
    Environment mask("VKVAE_DISABLE", "timestamps");
    std::unique_ptr<Device> device = Device::create(test_options());
    Ways w({Way{"slow", "fast"}});
    TuneReport report = tune(*device, w.graph, w.options());
    CHECK(report.tuning == Tuning{{"way twice 0", "fast"}});
    CHECK(report.after_ms < report.before_ms);
}

TEST_CASE("nothing is tried when time is up") {
    Ways w({Way{"slow", "fast"}});
    TuneOptions options = w.options();
    options.seconds = 0;
    CHECK(tune(test_device(), w.graph, options).tuning == Tuning{{"way twice 0", "slow"}});
}

TEST_CASE("real decisions keep the results") {
    LongSums s(3001, 33, 21);
    TuneReport report = tune(test_device(), s.graph,
                             {.candidates = 8,
                              .one_by_one = true,
                              .repeats = 1,
                              .bind = [&](Plan& p) { s.bind(p); },
                              .results = s.results});
    CHECK(report.refused == 0);
    Plan plan(test_device(), s.graph, {.tuning = &report.tuning});
    CHECK(plan.chosen().size() == report.changed);
    s.bind(plan);
    plan.run();
    std::vector<Values> expected = s.expected();
    for (size_t i = 0; i < expected.size(); i++)
        check_close("sums", plan.read(s.results[i]), expected[i], 1e-5, 1e-11);
}
