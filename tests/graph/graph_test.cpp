// The contract of Graph: shapes are checked at once and said in full; gradients go where they belong.
#include "io/temp_folder.hpp"
#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

TEST_CASE("shapes are counted and printed") {
    CHECK(element_count({}) == 1);
    CHECK(element_count({3, 5, 7}) == 105);
    CHECK(to_text({128, 784}) == "(128, 784)");
    CHECK(byte_count({3, 5}, DType::u8) == 15);
    CHECK(byte_count({3, 5}, DType::u32) == 60);
}

TEST_CASE("sizes that are not positive, or that 32 bits cannot index, are refused") {
    Graph g;
    for (Shape shape : {Shape{0}, Shape{3, -1}, Shape{int64_t(1) << 31}, Shape{1 << 16, 1 << 16}})
        CHECK_THROWS_WITH_AS(g.input(shape, "too much"), doctest::Contains("too much"), Error);
    CHECK_THROWS_WITH_AS(g.input({1 << 16, 1 << 16}, "x"), doctest::Contains("(65536, 65536)"), Error);
}

TEST_CASE("axes count from either end") {
    Graph g;
    Tensor x = g.input({2, 3, 5}, "x");
    CHECK(g.dim(x, 0) == 2);
    CHECK(g.dim(x, -1) == 5);
    CHECK_THROWS_WITH_AS(g.dim(x, 3), doctest::Contains("(2, 3, 5)"), Error);
    CHECK_THROWS_AS(g.dim(x, -4), Error);
}

TEST_CASE("a view stays inside its tensor") {
    Graph g;
    Tensor x = g.input({8}, "x");
    CHECK(g.info(g.view(g.view(x, {6}, 8), {2}, 16)).offset == 24);
    CHECK_THROWS_WITH_AS(g.view(x, {3}, 24), doctest::Contains("(3)"), Error);
}

TEST_CASE("backward starts from one element, or from a seed of the same shape") {
    Graph g;
    Tensor x = g.input({3, 4}, "x"), seed = g.input({4, 3}, "seed");
    Tensor y = scale(g, x, 2), wrt[] = {x};
    CHECK_THROWS_WITH_AS(g.backward(y, wrt), doctest::Contains("(3, 4)"), Error);
    CHECK_THROWS_WITH_AS(g.backward(y, wrt, {}, seed), doctest::Contains("(4, 3)"), Error);
}

TEST_CASE("an operation without a gradient on the way is an error that names it; beside the way it is not") {
    Graph g;
    Tensor x = g.input({4}, "x"), wrt[] = {x};
    Tensor norm = sum_of_squares(g, x);
    CHECK_THROWS_WITH_AS(g.backward(norm, wrt), doctest::Contains("sum_of_squares"), Error);
    CHECK_NOTHROW(g.backward(sum(g, x), wrt));
}

TEST_CASE("what does not depend on a tensor has a zero gradient, wherever it is wanted") {
    Graph g;
    Tensor x = g.input({4}, "x"), other = g.input({2, 3}, "other"), place = g.input({2, 3}, "place");
    Tensor wrt[] = {x, other}, into[] = {Tensor{}, place};
    Tensor y = sum(g, mul(g, x, x));
    std::vector<Tensor> d = g.backward(y, wrt, into);
    CHECK(g.shape(d[1]) == Shape{2, 3});
    g.keep(d[0]);
    Plan plan(test_device(), g, plan_options());
    plan.write(x, std::vector<float>{1, 2, 3, 4});
    plan.write(place, std::vector<float>(6, 7));
    plan.run();
    CHECK(plan.read(d[0]) == std::vector<float>{2, 4, 6, 8});
    CHECK(plan.read(place) == std::vector<float>(6, 0));
}

TEST_CASE("gradients written into slices of one buffer are those that stand alone") {
    const uint64_t at[] = {0, 256, 768}; // bytes; multiples of every alignment that Vulkan allows
    std::vector<std::vector<uint32_t>> alone;
    for (bool placed : {false, true}) {
        Graph g;
        Tensor a = g.input({5, 7}, "a"), b = g.input({7, 16}, "b"), c = g.input({16}, "c");
        Tensor flat = g.input({256}, "gradients"), wrt[] = {a, b, c};
        std::vector<Tensor> into;
        for (size_t i = 0; placed && i < 3; i++)
            into.push_back(g.view(flat, g.shape(wrt[i]), at[i]));
        std::vector<Tensor> d = g.backward(sum(g, linear(g, a, b, c, Activation::tanh)), wrt, into);
        for (Tensor t : d)
            g.keep(t);
        Plan plan(test_device(), g, plan_options());
        for (Tensor t : wrt)
            plan.write(t, std::span<const float>(make_values({g.shape(t)}, t.id)));
        plan.run();
        for (size_t i = 0; i < d.size(); i++) {
            std::vector<uint32_t> bits = bits_of(plan.read(d[i]));
            if (!placed)
                alone.push_back(bits);
            CHECK(bits == alone[i]);
        }
    }
}

TEST_CASE("one gradient for two tensors goes to both places") {
    Graph g;
    Tensor a = g.input({4}, "a"), b = g.input({4}, "b"), da = g.input({4}, "da"), db = g.input({4}, "db");
    Tensor y = scale(g, add(g, a, b), 3), wrt[] = {a, b}, into[] = {da, db};
    g.backward(sum(g, mul(g, y, y)), wrt, into); // both are 18 (a + b)
    Plan plan(test_device(), g, plan_options());
    plan.write(a, std::vector<float>{1, 2, 3, 4});
    plan.run();
    CHECK(plan.read(da) == std::vector<float>{18, 36, 54, 72});
    CHECK(plan.read(db) == plan.read(da));
}

TEST_CASE("a plan refuses a graph that reads what nothing computes, and names the tensor") {
    Graph g;
    Tensor never = g.tensor({4}, "never computed");
    g.keep(scale(g, never, 2));
    CHECK_THROWS_WITH_AS(Plan(test_device(), g), doctest::Contains("never computed"), Error);
}

TEST_CASE("gradients by one tensor do not depend on which others are asked for") {
    std::vector<std::vector<uint32_t>> seen;
    for (bool all : {true, false}) {
        Graph g;
        Tensor x = g.input({5, 7}, "x"), w = g.input({7, 3}, "w"), b = g.input({3}, "b");
        Tensor loss = sum(g, linear(g, x, w, b, Activation::sigmoid));
        std::vector<Tensor> wrt = all ? std::vector<Tensor>{x, w, b} : std::vector<Tensor>{w};
        Tensor dw = g.backward(loss, wrt)[all ? 1 : 0];
        g.keep(dw);
        Plan plan(test_device(), g, plan_options());
        for (Tensor t : {x, w, b})
            plan.write(t, std::span<const float>(make_values({g.shape(t)}, t.id)));
        plan.run();
        seen.push_back(bits_of(plan.read(dw)));
    }
    CHECK(seen[0] == seen[1]);
}
