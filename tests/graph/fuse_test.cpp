// The contract of graph/fuse: which elementwise nodes move into the node that computes their input, and which may not.
#include "graph/fuse.hpp"

#include "op_check.hpp"

using namespace vkvae;
using namespace vkvae::test;

namespace {

// Nodes that stand for kernels; nothing here is run.
struct Sketch {
    Graph graph;
    Tensor product(Tensor in) { return node("product", {in}, {}, true); }
    Tensor activation(Tensor in) { return node("activation", {in}, {.kind = Step::activation}, false); }
    Tensor gradient(Tensor in, Tensor of) {
        return node("gradient", {in, of}, {.kind = Step::activation_gradient, .operand = of}, false);
    }
    Tensor sum(Tensor a, Tensor b) { return node("sum", {a, b}, {.kind = Step::add, .operand = b}, false); }
    Tensor other(Tensor in) { return node("other", {in}, {}, false); }
    Tensor node(const char* op, std::vector<Tensor> in, Step step, bool takes_steps) {
        Tensor out = graph.tensor({4, 3}, op);
        graph.add({.op = op, .in = std::move(in), .out = {out}, .lower = [](Lowering&) {}, .adjoint = {},
                   .step = step, .takes_steps = takes_steps});
        return out;
    }
    std::string fused() const {
        std::string text;
        for (const Node& node : fuse_nodes(graph)) {
            text += concat_text(text.empty() ? "" : " ", node.op);
            for (const Step& step : node.steps)
                text += concat_text(step.before ? "!" : "", step.kind == Step::add ? "+sum"
                                                            : step.kind == Step::activation ? "+activation"
                                                                                            : "+gradient");
        }
        return text;
    }
};

} // namespace

TEST_CASE("an elementwise node moves into the product before it, and a second one after it, but no third") {
    Sketch s;
    Tensor x = s.graph.input({4, 3}, "x");
    s.activation(s.activation(s.activation(s.product(x))));
    CHECK(s.fused() == "product+activation+activation activation");
}

TEST_CASE("a reshape on the way is no obstacle") {
    Sketch s;
    Tensor x = s.graph.input({4, 3}, "x");
    s.activation(reshape(s.graph, s.product(x), {3, 4}));
    CHECK(s.fused() == "product+activation reshape");
}

TEST_CASE("a value that others read as well is stored too, once") {
    Sketch s;
    Tensor x = s.graph.input({4, 3}, "x");
    Tensor u = s.product(x);
    Tensor y = s.activation(u);
    Tensor z = s.activation(y);
    s.other(u);
    s.other(z);
    CHECK(s.fused() == "product!+activation+activation other other");
    s.other(y); // now both values on the way are read
    CHECK(s.fused() == "product!+activation activation other other other");
}

TEST_CASE("what is kept or outside stays stored") {
    Sketch s;
    Tensor u = s.product(s.graph.input({4, 3}, "x"));
    s.graph.keep(u);
    s.activation(u);
    CHECK(s.fused() == "product!+activation");
}

TEST_CASE("a sum starts with either side, and goes where the other side is there already") {
    Sketch s;
    Tensor x = s.graph.input({4, 3}, "x");
    Tensor a = s.product(x), b = s.product(x);
    s.sum(a, b);
    CHECK(s.fused() == "product product+sum");
    Sketch doubled;
    Tensor c = doubled.product(doubled.graph.input({4, 3}, "x"));
    doubled.sum(c, c);
    CHECK(doubled.fused() == "product sum");
}

TEST_CASE("a step whose operand comes later stays") {
    Sketch s;
    Tensor x = s.graph.input({4, 3}, "x");
    Tensor dy = s.product(x);
    Tensor late = s.other(dy);
    s.gradient(dy, late);
    CHECK(s.fused() == "product other gradient");
    Sketch early;
    Tensor x2 = early.graph.input({4, 3}, "x");
    Tensor there = early.other(x2);
    early.gradient(early.product(x2), there);
    CHECK(early.fused() == "other product+gradient");
    Sketch moved; // what reads nothing that this step computes can be there first
    Tensor x3 = moved.graph.input({4, 3}, "x");
    Tensor u = moved.product(x3);
    moved.gradient(u, moved.other(x3));
    CHECK(moved.fused() == "other product+gradient");
}

TEST_CASE("what comes first reads and writes nothing that nodes before it have written or read") {
    Sketch s;
    Tensor x = s.graph.input({4, 3}, "x"), state = s.graph.input({4, 3}, "state");
    s.product(state);
    s.graph.add({.op = "update", .in = {x}, .out = {state}, .lower = [](Lowering&) {}, .adjoint = {}});
    s.other(state);
    s.other(x);
    CHECK(s.fused() == "other product update other");
}

TEST_CASE("a step that reads another part of the memory, or of another size, stays") {
    Sketch s;
    Tensor u = s.product(s.graph.input({4, 3}, "x"));
    s.activation(s.graph.view(u, {2, 3}, 24));
    CHECK(s.fused() == "product activation");
    Sketch whole; // a view of all of it is only another shape
    Tensor v = whole.product(whole.graph.input({4, 3}, "x"));
    whole.activation(whole.graph.view(v, {12}));
    CHECK(whole.fused() == "product+activation");
}

TEST_CASE("a step on a value that was changed in place stays after the change") {
    Sketch s;
    Tensor u = s.product(s.graph.input({4, 3}, "x"));
    s.graph.add({.op = "in_place", .in = {u}, .out = {u}, .lower = [](Lowering&) {}, .adjoint = {}});
    s.activation(u);
    CHECK(s.fused() == "product in_place activation");
}

TEST_CASE("a result in memory that is used on the way stays where it is") {
    Sketch s;
    Tensor x = s.graph.input({4, 3}, "x"), place = s.graph.input({4, 3}, "place");
    Tensor u = s.product(x);
    s.other(s.other(u));
    s.node("reader", {place, u}, {}, false); // of what the activation will overwrite
    s.graph.add({.op = "activation", .in = {u}, .out = {place}, .lower = [](Lowering&) {}, .adjoint = {},
                 .step = {.kind = Step::activation}});
    CHECK(s.fused() == "product other other reader activation");
}
