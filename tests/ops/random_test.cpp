// The contract of ops/random: every device draws, bit for bit, what runtime/ops/philox.cpp draws.
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

using Draw = float (*)(uint64_t, Stream, uint32_t, uint32_t, uint32_t);

size_t differing_bits(std::span<const float> got, Draw draw, Stream stream, uint64_t seed, const StepParams& p) {
    size_t different = 0;
    for (uint32_t i = 0; i < got.size(); i++)
        different += bits_of(got[i]) != bits_of(draw(seed, stream, p.step, p.sample, p.element_base + i));
    return different;
}

} // namespace

TEST_CASE("random tensors have the bits of the CPU twin for every seed, step, draw and position") {
    Graph g;
    Tensor u = random_uniform(g, {70001}, Stream::sample), n = random_normal(g, {7, 10007}, Stream::data);
    g.keep(u);
    g.keep(n);
    Plan plan(test_device(), g, plan_options());
    struct Key {
        uint64_t seed;
        uint32_t step, element_base, sample;
    };
    for (Key key : {Key{0, 0, 0, 0}, Key{42, 1, 0, 0}, Key{~uint64_t(0), 4000000000u, 0, 0},
                    Key{uint64_t(1) << 40, 3, 1000000, 0}, Key{42, 1, 4294960000u, 9}}) {
        StepParams params = {.step = key.step, .element_base = key.element_base, .sample = key.sample};
        params.set_seed(key.seed);
        plan.run(params);
        CHECK(differing_bits(plan.read(u), random_uniform, Stream::sample, key.seed, params) == 0);
        CHECK(differing_bits(plan.read(n), random_normal, Stream::data, key.seed, params) == 0);
    }
}

TEST_CASE("steps of one submission draw by their own StepParams") {
    Graph g;
    Tensor n = random_normal(g, {4}, Stream::sample), ring = g.input({3, 4}, "ring");
    ring_store(g, {{n}}, ring, 0);
    Plan plan(test_device(), g, plan_options(3));
    std::vector<StepParams> params(3);
    for (uint32_t i = 0; i < 3; i++) {
        params[i].step = 10 + i;
        params[i].set_seed(5);
    }
    plan.submit(params);
    std::vector<float> rows = plan.read(ring);
    for (uint32_t i = 0; i < 12; i++)
        CHECK(bits_of(rows[i]) == bits_of(random_normal(5, Stream::sample, 10 + i / 4, 0, i % 4)));
}
