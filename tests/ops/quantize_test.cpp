// The contract of ops/quantize: nearest codes with ties, gradients straight through, codebooks that are moving
// averages, codes that start again, and what a prior over codes is made of.
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

struct Sizes {
    int64_t m, k, d;
};
const Sizes kSizes[] = {{1, 1, 1}, {33, 7, 5}, {64, 16, 8}, {257, 130, 3}};

double distance(const Values& z, size_t m, const Values& e, size_t k, size_t dim) {
    double sum = 0;
    for (size_t d = 0; d < dim; d++)
        sum += (z[m * dim + d] - e[k * dim + d]) * (z[m * dim + d] - e[k * dim + d]);
    return sum;
}

std::vector<size_t> nearest(const Values& z, const Values& e, size_t dim) {
    std::vector<size_t> codes;
    for (size_t m = 0; m < z.size() / dim; m++) {
        size_t best = 0;
        for (size_t k = 1; k < e.size() / dim; k++)
            if (distance(z, m, e, k, dim) < distance(z, m, e, best, dim))
                best = k;
        codes.push_back(best);
    }
    return codes;
}

// Rows of e.
Values rows_of(const Values& e, const std::vector<size_t>& codes, size_t dim) {
    Values rows;
    for (size_t code : codes)
        rows.insert(rows.end(), e.begin() + int64_t(code * dim), e.begin() + int64_t((code + 1) * dim));
    return rows;
}

std::vector<uint32_t> read_codes(Plan& plan, Tensor codes, size_t count) {
    std::vector<uint32_t> values(count);
    plan.read(codes, std::as_writable_bytes(std::span(values)));
    return values;
}

} // namespace

TEST_CASE("the nearest code is that of the double reference") {
    for (const Sizes& s : kSizes) {
        CAPTURE(s.k);
        Graph g;
        Tensor z = g.input({s.m, s.d}, "z"), e = g.input({s.k, s.d}, "e");
        Tensor codes = nearest_code(g, z, e);
        g.keep(codes);
        Plan plan(test_device(), g, plan_options());
        std::vector<float> z_values = make_values({{s.m, s.d}}, 1), e_values = make_values({{s.k, s.d}}, 2);
        plan.write(z, std::span<const float>(z_values));
        plan.write(e, std::span<const float>(e_values));
        plan.run();
        Values zd = to_double(z_values), ed = to_double(e_values);
        std::vector<size_t> expected = nearest(zd, ed, size_t(s.d));
        std::vector<uint32_t> got = read_codes(plan, codes, size_t(s.m));
        for (size_t m = 0; m < got.size(); m++) {
            REQUIRE(got[m] < uint32_t(s.k));
            double least = distance(zd, m, ed, expected[m], size_t(s.d));
            CHECK(distance(zd, m, ed, got[m], size_t(s.d)) <= least + 1e-6); // two may be as near as f32 can tell
        }
    }
}

TEST_CASE("of equally near codes the lowest is taken") {
    Graph g;
    Tensor z = g.input({3, 2}, "z"), e = g.input({6, 2}, "e");
    Tensor codes = nearest_code(g, z, e);
    g.keep(codes);
    Plan plan(test_device(), g, plan_options());
    plan.write(z, std::vector<float>{1, 2, 0, 0, -3, 5});
    // Rows 2 and 4 are the same; 1 and 3 are as far from (0, 0) as each other, and farther from all else.
    plan.write(e, std::vector<float>{9, 9, 1, 0, 1, 2, -1, 0, 1, 2, -3, 4});
    plan.run();
    CHECK(read_codes(plan, codes, 3) == std::vector<uint32_t>{2, 1, 5});
    plan.write(e, std::vector<float>(12, 0.5f));
    plan.run();
    CHECK(read_codes(plan, codes, 3) == std::vector<uint32_t>{0, 0, 0});
}

TEST_CASE("the gradient goes straight through to z") {
    for (const Sizes& s : kSizes) {
        size_t dim = size_t(s.d);
        std::vector<OpInput> inputs = {{{s.m, s.d}}, {{s.k, s.d}, false}};
        Values z0 = to_double(make_values(inputs[0], 0)), e0 = to_double(make_values(inputs[1], 1));
        Values q0 = rows_of(e0, nearest(z0, e0, dim), dim);
        check({.name = concat_text("straight through, K ", s.k),
               .inputs = inputs,
               .build = [](Graph& g, std::span<const Tensor> in) { return quantize(g, in[0], in.subspan(1), {}).z; },
               .formula = [=](const std::vector<Values>& in) { // z + sg(q - z)
                   return reference::add(in[0], reference::sub(q0, z0));
               },
               .tolerance = 1e-6});
    }
}

TEST_CASE("the error pulls z to its code and the code to its z") {
    for (const Sizes& s : kSizes) {
        size_t dim = size_t(s.d);
        std::vector<OpInput> inputs = {{{s.m, s.d}}, {{s.k, s.d}}};
        Values z0 = to_double(make_values(inputs[0], 0)), e0 = to_double(make_values(inputs[1], 1));
        std::vector<size_t> codes = nearest(z0, e0, dim);
        check({.name = concat_text("quantisation error, K ", s.k),
               .inputs = inputs,
               .build =
                   [](Graph& g, std::span<const Tensor> in) {
                       return quantize(g, in[0], in.subspan(1), {.commitment = 1, .trains_codebooks = true}).error;
                   },
               .formula =
                   [=](const std::vector<Values>& in) { // with the codes as they are
                       Values rest = reference::sub(in[0], rows_of(in[1], codes, dim));
                       return reference::reduce(reference::mul(rest, rest), size_t(s.m), dim, 1,
                                                reference::Reduction::sum);
                   }});
    }
}

TEST_CASE("commitment and residual codebooks give the gradients of the formulas") {
    for (const Sizes& s : kSizes)
        for (bool trains : {false, true}) {
            CAPTURE(s.k);
            CAPTURE(trains);
            constexpr size_t kLevels = 3;
            constexpr float kCommitment = 0.3f;
            size_t m = size_t(s.m), dim = size_t(s.d);
            Graph g;
            std::vector<Tensor> wrt = {g.input({s.m, s.d}, "z")};
            for (size_t l = 0; l < kLevels; l++)
                wrt.push_back(g.input({s.k, s.d}, "e"));
            Quantized q = quantize(g, wrt[0], std::span(wrt).subspan(1), {kCommitment, trains});
            Tensor weights = g.input({s.m}, "weights"), dq = g.input({s.m, s.d}, "dq");
            Tensor loss = add(g, sum(g, mul(g, q.z, dq)), sum(g, mul(g, q.error, weights)));
            std::vector<Tensor> gradients = g.backward(loss, wrt);
            for (const std::vector<Tensor>& kept : {gradients, std::vector<Tensor>{q.z, q.error}})
                for (Tensor t : kept)
                    g.keep(t);
            Plan plan(test_device(), g, plan_options());
            std::vector<Values> values;
            std::vector<Tensor> written = wrt;
            written.insert(written.end(), {weights, dq});
            for (size_t i = 0; i < written.size(); i++) {
                std::vector<float> v = make_values({g.shape(written[i])}, uint32_t(i));
                plan.write(written[i], std::span<const float>(v));
                values.push_back(to_double(v));
            }
            plan.run();

            Values rest = values[0], total(rest.size()), error(m), dz = values[kLevels + 2];
            std::vector<Values> de(kLevels, Values(values[1].size()));
            for (size_t l = 0; l < kLevels; l++) {
                std::vector<size_t> codes = nearest(rest, values[1 + l], dim);
                Values taken = rows_of(values[1 + l], codes, dim);
                rest = reference::sub(rest, taken);
                total = reference::add(total, taken);
                for (size_t i = 0; i < rest.size(); i++) {
                    double pull = 2 * values[kLevels + 1][i / dim] * rest[i];
                    error[i / dim] += rest[i] * rest[i];
                    dz[i] += double(kCommitment) * pull;
                    de[l][codes[i / dim] * dim + i % dim] -= trains ? pull : 0;
                }
            }
            check_close("z", plan.read(q.z), total, 1e-6, 1e-12);
            check_close("error", plan.read(q.error), error, 1e-5, 1e-11);
            check_close("dz", plan.read(gradients[0]), dz, 1e-5, 1e-11);
            for (size_t l = 0; l < kLevels; l++) {
                if (trains)
                    check_close("de", plan.read(gradients[1 + l]), de[l], 1e-5, 1e-11);
                else
                    CHECK(g.info(gradients[1 + l]).constant == 0.0f);
            }
        }
}

TEST_CASE("one codebook's z is its rows, bit for bit") {
    Graph g;
    Tensor z = g.input({9, 3}, "z"), e = g.input({5, 3}, "e");
    Quantized q = quantize(g, z, {{e}}, {});
    g.keep(q.z);
    g.keep(q.codes[0]);
    Plan plan(test_device(), g, plan_options());
    std::vector<float> e_values = make_values({{5, 3}}, 2);
    plan.write(z, std::span<const float>(make_values({{9, 3}}, 1)));
    plan.write(e, std::span<const float>(e_values));
    plan.run();
    std::vector<uint32_t> codes = read_codes(plan, q.codes[0], 9);
    std::vector<float> got = plan.read(q.z);
    for (size_t i = 0; i < got.size(); i++)
        CHECK(got[i] == e_values[codes[i / 3] * 3 + i % 3]);
}

namespace {

// A codebook that update_codebook moves.
struct Moving {
    Sizes s;
    Graph g;
    Tensor z, codebook, frequencies, control, codes;
    std::unique_ptr<Plan> plan;
    Moving(const Sizes& sizes, const CodebookOptions& o) : s(sizes) {
        z = g.input({s.m, s.d}, "z");
        codebook = g.input({s.k, s.d}, "codebook");
        frequencies = g.input({s.k}, "frequencies");
        control = g.input({4}, "control");
        codes = nearest_code(g, z, codebook);
        g.keep(codes);
        update_codebook(g, {codebook, frequencies, control}, z, one_hot(g, codes, s.k), o);
        plan = std::make_unique<Plan>(test_device(), g, plan_options());
        plan->write(control, std::vector<float>{1, 1, 1, 0});
        plan->write(frequencies, std::vector<float>(size_t(s.k), 1 / float(s.k)));
        plan->write(codebook, std::span<const float>(make_values({{s.k, s.d}}, 0)));
    }
    std::vector<float> next_z(uint32_t step) {
        std::vector<float> values = make_values({{s.m, s.d}}, 1 + step);
        plan->write(z, std::span<const float>(values));
        return values;
    }
};

} // namespace

TEST_CASE("an average codebook follows cluster sizes and sums that are kept as the paper says") {
    for (const Sizes& s : kSizes) {
        CAPTURE(s.k);
        constexpr float kDecay = 0.9f;
        Moving moving(s, {.decay = kDecay, .restart = 0});
        size_t k = size_t(s.k), dim = size_t(s.d);
        double positions = double(s.m), total = positions;
        // N starts at M / K each, and m such that m / N' is the codebook.
        Values n(k, positions / double(k)), sums = to_double(moving.plan->read(moving.codebook));
        for (double& value : sums)
            value *= positions / double(k); // N' = N while all are the same
        Values e;
        for (uint32_t step = 0; step < 4; step++) {
            Values z = to_double(moving.next_z(step));
            moving.plan->run({.step = step});
            std::vector<uint32_t> codes = read_codes(*moving.plan, moving.codes, size_t(s.m));
            for (double& value : n)
                value *= double(kDecay);
            for (double& value : sums)
                value *= double(kDecay);
            for (size_t i = 0; i < z.size(); i++) {
                n[codes[i / dim]] += (1 - double(kDecay)) / double(dim);
                sums[codes[i / dim] * dim + i % dim] += (1 - double(kDecay)) * z[i];
            }
            total = reference::reduce(n, 1, k, 1, reference::Reduction::sum)[0];
            e.clear();
            for (size_t i = 0; i < sums.size(); i++)
                e.push_back(sums[i] / ((n[i / dim] + 1e-5) / (total + double(k) * 1e-5) * total));
        }
        CHECK(total == doctest::Approx(positions).epsilon(1e-6));
        check_close("codebook", moving.plan->read(moving.codebook), e, 1e-5, 1e-11);
        for (double& value : n)
            value /= positions;
        check_close("frequencies", moving.plan->read(moving.frequencies), n, 1e-5, 1e-11);
    }
}

TEST_CASE("a code that is hardly chosen becomes a row of the batch that the seed and the step draw") {
    for (bool average : {true, false}) {
        CAPTURE(average);
        constexpr int64_t kCodes = 7, kDim = 5, kRows = 33;
        constexpr uint32_t kDead = 3, kFirst = 14;
        Moving moving({kRows, kCodes, kDim}, {.restart = 0.5f, .average = average, .first_draw = kFirst});
        std::vector<float> before = moving.plan->read(moving.codebook), frequencies(kCodes, 1 / float(kCodes));
        before[kDead * kDim] = 100; // nothing is near
        frequencies[kDead] = 0.01f; // of 1/7: below a half of it
        std::vector<std::vector<float>> drawn;
        for (uint32_t step : {4u, 5u}) {
            moving.plan->write(moving.codebook, std::span<const float>(before));
            moving.plan->write(moving.frequencies, std::span<const float>(frequencies));
            std::vector<float> z = moving.next_z(0);
            StepParams params = {.step = step};
            params.set_seed(77);
            moving.plan->run(params);
            uint32_t word = philox4x32({kFirst + kDead, 0, uint32_t(Stream::codebook), step}, philox_key(77))[0];
            auto row = ptrdiff_t((uint64_t(word) * kRows) >> 32) * kDim;
            std::vector<float> after = moving.plan->read(moving.codebook);
            drawn.emplace_back(after.begin() + kDead * kDim, after.begin() + (kDead + 1) * kDim);
            CHECK(drawn.back() == std::vector<float>(z.begin() + row, z.begin() + row + kDim));
            CHECK(moving.plan->read(moving.frequencies)[kDead] == doctest::Approx(1.0 / kCodes));
            bool others_stay = std::equal(after.begin(), after.begin() + kDead * kDim, before.begin());
            CHECK(others_stay != average);
        }
        CHECK(drawn[0] != drawn[1]);
    }
}

TEST_CASE("a codebook stays where the optimizer says that there is no update") {
    Moving moving({33, 7, 5}, {.decay = 0.5f, .restart = 1});
    std::vector<float> codebook = moving.plan->read(moving.codebook), frequencies(7, 0.01f); // all of them dead
    moving.plan->write(moving.frequencies, std::span<const float>(frequencies));
    moving.plan->write(moving.control, std::vector<float>{1, 0, 1, 1});
    moving.next_z(0);
    moving.plan->run();
    CHECK(bits_of(moving.plan->read(moving.codebook)) == bits_of(codebook));
    CHECK(bits_of(moving.plan->read(moving.frequencies)) == bits_of(frequencies));
}

TEST_CASE("perplexity is the exponential of the entropy") {
    for (int64_t k : {1, 7, 64, 130, 1000}) {
        OpInput counts = {{k}, false, 0, 9};
        counts.values = make_values(counts, 0);
        counts.values[size_t(k / 2)] = 0;
        counts.values[0] = 3;
        check({.name = concat_text("perplexity of ", k),
               .inputs = {counts},
               .build = [](Graph& g, std::span<const Tensor> in) { return perplexity(g, in[0]); },
               .formula = [](const std::vector<Values>& in) {
                   double total = 0, entropy = 0;
                   for (double n : in[0])
                       total += n;
                   for (double n : in[0])
                       entropy -= n > 0 ? n / total * std::log(n / total) : 0;
                   return Values{std::exp(entropy)};
               }});
    }
}

TEST_CASE("embeddings learn what their codes pass on") {
    for (const Sizes& s : kSizes)
        check({.name = concat_text("embedding, K ", s.k),
               .inputs = {{{s.k, 6}}, {{s.m, s.d}, false}, {{s.k, s.d}, false}},
               .build =
                   [](Graph& g, std::span<const Tensor> in) {
                       return embedding(g, in[0], nearest_code(g, in[1], in[2]));
                   },
               .formula = [=](const std::vector<Values>& in) {
                   return rows_of(in[0], nearest(in[1], in[2], size_t(s.d)), 6);
               }});
}

TEST_CASE("cross entropy is minus the log of the code's softmax") {
    for (const Sizes& s : kSizes)
        for (double scale : {1.0, 80.0}) { // exp(80) squared is infinite in f32
            size_t k = size_t(s.k);
            check({.name = concat_text("cross entropy, K ", s.k),
                   .inputs = {{{s.m, s.k}, true, -scale, scale}, {{s.m, s.d}, false}, {{s.k, s.d}, false}},
                   .build =
                       [](Graph& g, std::span<const Tensor> in) {
                           return cross_entropy(g, in[0], nearest_code(g, in[1], in[2]));
                       },
                   .formula =
                       [=](const std::vector<Values>& in) {
                           std::vector<size_t> codes = nearest(in[1], in[2], size_t(s.d));
                           Values nll;
                           for (size_t m = 0; m < codes.size(); m++) {
                               double largest = *std::max_element(in[0].begin() + int64_t(m * k),
                                                                  in[0].begin() + int64_t((m + 1) * k));
                               double total = 0;
                               for (size_t i = m * k; i < (m + 1) * k; i++)
                                   total += std::exp(in[0][i] - largest);
                               nll.push_back(largest + std::log(total) - in[0][m * k + codes[m]]);
                           }
                           return nll;
                       }});
        }
}

TEST_CASE("a masked weight has the taps before the middle in reading order") {
    for (bool centre : {false, true})
        for (Shape shape : {Shape{1, 1, 3, 2}, Shape{3, 3, 5, 7}, Shape{7, 3, 4, 8}})
            check({.name = concat_text("causal mask ", to_text(shape)),
                   .inputs = {{shape}},
                   .build = [=](Graph& g, std::span<const Tensor> in) { return causal_mask(g, in[0], centre); },
                   .formula =
                       [=](const std::vector<Values>& in) {
                           Values y = in[0];
                           for (int64_t row = 0; row < shape[0]; row++)
                               for (int64_t column = 0; column < shape[1]; column++) {
                                   bool middle_row = row == shape[0] / 2, middle = column == shape[1] / 2;
                                   bool seen = row < shape[0] / 2 || (middle_row && column < shape[1] / 2) ||
                                               (centre && middle_row && middle);
                                   auto begin = y.begin() + (row * shape[1] + column) * shape[2] * shape[3];
                                   if (!seen)
                                       std::fill(begin, begin + shape[2] * shape[3], 0.0);
                               }
                           return y;
                       },
                   .samples = 400});
}

TEST_CASE("what does not fit is refused with both shapes") {
    Graph g;
    Tensor z = g.input({4, 3}, "z"), e = g.input({5, 2}, "e"), codes = g.input({4}, "codes", DType::u32);
    CHECK_THROWS_WITH_AS(nearest_code(g, z, e), doctest::Contains("(4, 3) does not fit the codebook (5, 2)"), Error);
    CHECK_THROWS_WITH_AS(cross_entropy(g, e, codes), doctest::Contains("logits (5, 2) do not fit codes (4)"), Error);
    CHECK_THROWS_WITH_AS(causal_mask(g, g.input({2, 3, 1, 1}, "w"), true), doctest::Contains("odd sides"), Error);
}
