// The contract of graph/tune: a choice never changes results, a wrong kernel is refused, and what was found is kept.
// Decisions are in decide_test.cpp.
#include <filesystem>
#include <fstream>

#include "gpu/sample_plan.hpp"
#include "io/temp_folder.hpp"
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

struct Products {
    Graph graph;
    Tensor a, b, w, y;
    Products() {
        a = graph.input({300, 70}, "a");
        b = graph.input({70, 130}, "b");
        w = graph.input({130, 5}, "w");
        y = matmul(graph, matmul(graph, a, b), w);
        graph.keep(y);
    }
    void bind(Plan& plan) const {
        uint32_t seed = 0;
        for (Tensor t : {a, b, w})
            plan.write(t, std::span<const float>(make_values({graph.shape(t)}, seed++)));
    }
    TuneOptions options() const {
        return {.candidates = 8, .repeats = 1, .bind = [this](Plan& p) { bind(p); }, .results = {y}};
    }
};

// Two kernels for y = 2 x, of which the second is wrong.
struct WrongKernel {
    Graph graph;
    Tensor x, y;
    WrongKernel() {
        x = graph.input({1000}, "x");
        y = graph.tensor({1000}, "y");
        graph.add({.op = "twice",
                   .in = {x},
                   .out = {y},
                   .lower =
                       [this](Lowering& l) {
                           struct Push {
                               uint32_t count;
                               float factor, offset;
                           } push = {1000, l.choose("twice 1000", {"right", "wrong"}) == 0 ? 2.0f : 2.001f, 0};
                           l.each("scale", 1000, {}, {x, y}, push);
                       },
                   .adjoint = {}});
        graph.keep(y);
    }
};

} // namespace

TEST_CASE("every kernel that a product can have gives the same result") {
    Products p;
    Plan plan(test_device(), p.graph, plan_options());
    p.bind(plan);
    plan.run();
    std::vector<float> expected = plan.read(p.y);
    for (size_t i = 0; i < 3; i++) {
        Tuning tuning;
        for (const auto& [product, kernels] : plan.choices()) {
            CHECK(kernels.size() > 1);
            tuning[product] = kernels[std::min(i, kernels.size() - 1)];
        }
        Plan tuned(test_device(), p.graph, {.tuning = &tuning});
        if (i > 0 && !tuning.empty() && test_device().caps().is_cpu()) // GPUs' may differ in what it does not show
            CHECK(tuned.describe() != plan.describe());
        p.bind(tuned);
        tuned.run();
        check_close("product", tuned.read(p.y), to_double(expected), 1e-6, 1e-12);
    }
}

TEST_CASE("tune chooses among what there is: kernels where the device has timestamps, decisions anywhere") {
    Products p;
    Plan plan(test_device(), p.graph, plan_options());
    TuneReport report = tune(test_device(), p.graph, p.options());
    CHECK(report.refused == 0);
    Choices all = plan.choices();
    for (const auto& [family, decisions] : plan.decisions())
        for (const auto& [what, options] : decisions)
            all[family + " " + what] = options;
    CHECK(report.tuning.size() == all.size());
    size_t changed = 0;
    for (const auto& [name, choice] : report.tuning) {
        REQUIRE(all.count(name) == 1);
        CHECK(std::count(all[name].begin(), all[name].end(), choice) == 1);
        changed += choice != all[name].front();
        CHECK((test_device().caps().timestamps || plan.choices().count(name) == 0 || choice == all[name].front()));
    }
    CHECK(changed == report.changed);
    CHECK((changed > 0) == (report.after_ms < report.before_ms));
}

TEST_CASE("tune refuses a kernel whose results are others") {
    if (!test_device().caps().timestamps)
        return;
    WrongKernel w;
    TuneReport report = tune(test_device(), w.graph,
                             {.bind = [&](Plan& p) { p.write(w.x, std::vector<float>(1000, 1)); }, .results = {w.y}});
    CHECK(report.refused == 1);
    CHECK(report.tuning == Tuning{{"twice 1000", "right"}});
}

TEST_CASE("a tuning with unknown products or kernels is as none") {
    WrongKernel w;
    Tuning tuning = {{"twice 1000", "of another version"}, {"three times", "wrong"}};
    Plan plan(test_device(), w.graph, {.tuning = &tuning});
    plan.write(w.x, std::vector<float>(1000, 1));
    plan.run();
    CHECK(plan.read(w.y) == std::vector<float>(1000, 2));
}

TEST_CASE("tunings are kept beside the pipeline cache, for this driver only") {
    TempFolder folder;
    DeviceOptions options = test_options();
    options.cache_dir = folder.path.string();
    std::unique_ptr<Device> device = Device::create(options);
    CHECK(load_tuning(*device).empty());
    store_tuning(*device, {{"a 1x2x3", "64x4"}, {"b", "x"}});
    store_tuning(*device, {{"b", "y"}});
    CHECK(load_tuning(*device) == Tuning{{"a 1x2x3", "64x4"}, {"b", "y"}});
    store_tuning(*device, {}); // nothing was found: nothing is lost
    CHECK(load_tuning(*device).size() == 2);

    std::filesystem::path file;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path))
        if (entry.path().extension() == ".tuning")
            file = entry.path();
    REQUIRE(!file.empty());
    std::string line;
    std::getline(std::ifstream(file), line);
    CHECK(line == tuning_key(*device));
    std::string older = line;
    older.replace(line.find(" 3,"), 3, " 2,");
    for (std::string bad : {std::string(), std::string("another driver\na\tb\n"), line + "\nno tab\n",
                            older + "\na\tb\n"}) {
        std::ofstream(file) << bad;
        CHECK(load_tuning(*device).empty());
    }
    Tuning decided = {{"c", "z"}, {"fuse conv2d+activation (2, 5, 5, 8)", "off"}, {"slices matmul_tn 9x8x7 02", "4"}};
    store_tuning(*device, decided); // replaces what could not be read
    CHECK(load_tuning(*device) == decided);

    std::unique_ptr<Device> without = Device::create(test_options());
    store_tuning(*without, {{"c", "z"}});
    CHECK(load_tuning(*without).empty());
}
