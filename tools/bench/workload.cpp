// The catalogue of workloads: ceilings and single operations. Whole models are in models.cpp.
#include "bench/workload.hpp"

#include <algorithm>
#include <cmath>

#include "ops/philox.hpp"

namespace vkvae {

float noise(size_t i) { return random_uniform(0, Stream::data, 0, 0, uint32_t(i % 65536)); }

namespace {

std::vector<float> noise_values(int64_t count, float amplitude) {
    std::vector<float> values(size_t(count), 0.0f);
    for (size_t i = 0; i < values.size(); i++)
        values[i] = i < 65536 ? amplitude * (2 * noise(i) - 1) : values[i - 65536];
    return values;
}

} // namespace

Prepared prepare_graph(Device& device, const Graph& graph, DType precision, uint32_t most, float amplitude) {
    auto plan = std::make_shared<Plan>(device, graph, PlanOptions{.max_steps = most, .precision = precision});
    for (uint32_t i = 0; i < graph.tensors().size(); i++) {
        const TensorInfo& t = graph.tensors()[i];
        if (t.external && t.storage.id == i && (t.type == DType::f32 || is_16_bit(t.type)) && !t.constant)
            plan->write({i}, noise_values(element_count(t.shape), amplitude));
    }
    Prepared p;
    p.most = most;
    p.levels = double(plan->level_count());
    p.flops = product_flops(graph);
    p.run = [plan, params = std::vector<StepParams>(most)](uint32_t n) {
        plan->submit({params.data(), n});
        plan->wait();
        return plan->gpu_seconds();
    };
    return p;
}

namespace {

// The graph's last node alone, on inputs: a gradient without the forward pass that it came from.
Graph last_node(const Graph& graph) {
    Graph alone;
    for (const TensorInfo& t : graph.tensors()) // lowering goes by their numbers
        alone.input(t.shape, t.name, t.type);
    alone.add(graph.nodes().back());
    return alone;
}

Prepared prepare_last_node(Device& device, const Graph& graph) {
    Graph alone = last_node(graph);
    Prepared p = prepare_graph(device, alone);
    const Node& node = alone.nodes()[0];
    for (const std::vector<Tensor>& side : {node.in, node.out})
        for (Tensor t : side)
            p.bytes += double(alone.info(t).bytes());
    return p;
}

// ---- ceilings ------------------------------------------------------------------------------------------------------

// A graph of `count` nodes of one kernel; node i goes from x to y or back, so that each waits for the one before.
Graph chain(const char* shader, uint64_t items, int64_t length, int count) {
    Graph g;
    Tensor x = g.input({length}, "x"), y = g.input({length}, "y");
    struct Push {
        uint32_t items;
    } push = {uint32_t(items)};
    for (int i = 0; i < count; i++, std::swap(x, y))
        g.add({.op = shader,
               .in = {x},
               .out = {y},
               .lower = [=](Lowering& l) { l.each(shader, items, {}, {x, y}, push); },
               .adjoint = {}});
    return g;
}

Prepared prepare_fma(Device& device, const TrainOptions&) {
    struct Push {
        uint32_t count, rounds;
        float factor, offset;
    } push = {device.caps().is_cpu() ? 1u << 12 : 1u << 19, 64, 0.9999f, 0.0001f}; // enough to fill the largest device
    Graph g;
    Tensor y = g.input({int64_t(push.count)}, "y");
    g.add({.op = "ceiling_fma",
           .in = {},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("ceiling_fma", push.count, {}, {y}, push); },
           .adjoint = {}});
    Prepared p = prepare_graph(device, g);
    p.flops = double(push.count) * push.rounds * 12 * 16 * 2;
    return p;
}

Prepared prepare_copy(Device& device, const TrainOptions&) {
    // Far larger than the last cache; a quarter of that on a CPU, whose memory is the machine's.
    uint64_t bytes = std::min<uint64_t>({device.caps().is_cpu() ? 64u << 20 : 256u << 20,
                                         device.caps().max_storage_range / 16 * 16, device.caps().heap_bytes / 8});
    uint64_t items = bytes / 16;
    Prepared p = prepare_graph(device, chain("ceiling_copy", items, int64_t(items * 4), 1));
    p.bytes = 2.0 * double(items) * 16;
    return p;
}

Prepared prepare_dispatch(Device& device, const TrainOptions&) {
    constexpr int kDispatches = 64;
    Prepared p = prepare_graph(device, chain("empty", 1, 1, kDispatches), DType::f32, 256);
    p.executions = kDispatches;
    return p;
}

// ---- single operations ---------------------------------------------------------------------------------------------

// C (m, n) = op(a) op(b), `kind` one of nn, nt, tn.
void add_matmul(std::vector<Workload>& list, const std::string& kind, int64_t m, int64_t n, int64_t k) {
    bool ta = kind == "tn", tb = kind == "nt";
    list.push_back({.name = concat_text("matmul", kind == "nn" ? "" : "_" + kind, "/", m, "x", n, "x", k),
                    .prepare = [=](Device& device, const TrainOptions& how) {
                        Graph g;
                        Tensor a = g.input(ta ? Shape{k, m} : Shape{m, k}, "a", how.precision);
                        Tensor b = g.input(tb ? Shape{n, k} : Shape{k, n}, "b", how.precision);
                        matmul(g, a, b, ta, tb);
                        return prepare_last_node(device, g);
                    }});
}

struct ConvShape {
    int64_t kernel;
    int stride, padding;
    int64_t in, out, size, batch;
    std::string name() const {
        return concat_text("/", kernel, "x", kernel, stride > 1 ? concat_text("s", stride) : "", "_", in, "_", out,
                           "_", size, "x", size, batch > 1 ? concat_text("_b", batch) : "");
    }
};

enum class ConvPass { forward, input_gradient, weight_gradient };

void add_conv(std::vector<Workload>& list, ConvPass pass, const ConvShape& s) {
    static const char* const names[] = {"conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"};
    list.push_back({.name = names[int(pass)] + s.name(), .prepare = [=](Device& device, const TrainOptions& how) {
                        Graph g;
                        Tensor x = g.input({s.batch, s.size, s.size, s.in}, "x", how.precision);
                        Tensor w = g.input({s.kernel, s.kernel, s.in, s.out}, "w", how.precision);
                        Tensor y = conv2d(g, x, w, {}, Conv2d::same_sides(s.stride, s.padding));
                        if (pass != ConvPass::forward) {
                            Tensor dy = g.input(g.shape(y), "dy", how.precision);
                            Tensor wrt[] = {pass == ConvPass::input_gradient ? x : w};
                            g.backward(y, wrt, {}, dy);
                        }
                        return prepare_last_node(device, g);
                    }});
}

void add_norm(std::vector<Workload>& list, bool gradient, const Shape& shape, int groups) {
    std::string name = gradient ? "group_norm_gradient/" : "group_norm/";
    for (int64_t size : shape)
        name += concat_text(size, "x");
    list.push_back({.name = concat_text(name, groups), .prepare = [=](Device& device, const TrainOptions& how) {
                        Graph g;
                        Shape channels = {shape.back()};
                        Tensor x = g.input(shape, "x", how.precision), gamma = g.input(channels, "gamma");
                        Tensor beta = g.input(channels, "beta"), y = group_norm(g, x, gamma, beta, groups);
                        if (gradient) {
                            Tensor wrt[] = {x, gamma, beta};
                            g.backward(y, wrt, {}, g.input(shape, "dy", how.precision));
                        }
                        return prepare_last_node(device, g);
                    }});
}

void add_reduce(std::vector<Workload>& list, const Shape& shape, int count) {
    std::string name = "reduce/";
    for (size_t i = 0; i < shape.size(); i++)
        name += concat_text(i > 0 ? "x" : "", shape[i]);
    list.push_back({.name = name, .prepare = [=](Device& device, const TrainOptions&) {
                        Graph g;
                        sum(g, g.input(shape, "x"), 0, count);
                        return prepare_last_node(device, g);
                    },
                    .mixed = false});
}

void add_adam(std::vector<Workload>& list, int64_t count) {
    list.push_back({.name = concat_text("adam/", count), .prepare = [=](Device& device, const TrainOptions& how) {
                        Graph g;
                        Tensor w = g.input({count}, "w"), dw = g.input({count}, "dw");
                        Tensor m = g.input({count}, "m"), v = g.input({count}, "v");
                        OptimizerState state = {w, dw, g.input({1}, "halted", DType::u32)};
                        if (is_16_bit(how.precision))
                            state.narrow = g.input({count}, "narrow", how.precision);
                        adam(g, state, m, v, {});
                        Prepared p = prepare_last_node(device, g);
                        // w, m and v are read and written, dw is read, the copy in 16 bits written
                        p.bytes = (7.0 * 4 + (is_16_bit(how.precision) ? 2 : 0)) * double(count);
                        return p;
                    }});
}

} // namespace

// |a| |b| |c| = (m k) (k n) (m n); a convolution does its kernel's multiply-adds at every position of its smaller side.
double product_flops(const Graph& g) {
    auto count = [&](Tensor t) { return double(element_count(g.shape(t))); };
    auto positions = [&](Tensor t) { return count(t) / double(g.dim(t, -1)); };
    double flops = 0;
    for (const Node& node : g.nodes()) {
        std::string op = node.op;
        if (op == "matmul" || op == "linear" || op == "linear_gradient")
            flops += 2 * std::sqrt(count(node.in[0]) * count(node.in[1]) * count(node.out[0]));
        else if (op == "conv2d")
            flops += 2 * positions(node.out[0]) * count(node.in[1]);
        else if (op == "conv_transpose2d" || op == "conv2d_input_gradient")
            flops += 2 * positions(node.in[0]) * count(node.in[1]);
        else if (op == "conv2d_weight_gradient")
            flops += 2 * positions(node.in[1]) * count(node.out[0]);
    }
    return flops;
}

std::vector<Workload> workloads() {
    std::vector<Workload> list = {{.name = "ceiling/fma", .prepare = prepare_fma},
                                  {.name = "ceiling/copy", .prepare = prepare_copy},
                                  {.name = "overhead/dispatch", .prepare = prepare_dispatch}};
    add_models(list);

    add_matmul(list, "nn", 1024, 1024, 1024);
    // The products of the model "mlp": forward, gradients of the inputs, gradients of the weights.
    const int64_t layers[][2] = {{784, 400}, {400, 20}, {20, 400}, {400, 784}}; // in, out
    for (const auto& [in, out] : layers)
        add_matmul(list, "nn", kBatch, out, in);
    for (const auto& [in, out] : layers)
        if (in != 784) // the data have no gradient
            add_matmul(list, "nt", kBatch, in, out);
    for (const auto& [in, out] : layers)
        add_matmul(list, "tn", in, out, kBatch);

    for (const ConvShape& s : {ConvShape{3, 1, 1, 64, 64, 128, 1}, {3, 1, 1, 64, 64, 64, 1}, {4, 2, 1, 64, 64, 128, 1}})
        add_conv(list, ConvPass::forward, s);
    // The model "conv64", which goes through the same shapes in both directions.
    const ConvShape conv64[] = {{4, 2, 1, 3, 32, 64, kBatch}, {4, 2, 1, 32, 32, 32, kBatch},
                                {4, 2, 1, 32, 64, 16, kBatch}, {4, 2, 1, 64, 64, 8, kBatch}};
    for (ConvPass pass : {ConvPass::forward, ConvPass::input_gradient, ConvPass::weight_gradient})
        for (const ConvShape& s : conv64)
            add_conv(list, pass, s);

    add_adam(list, 652824); // parameters of "mlp"
    add_reduce(list, {kBatch * 32 * 32, 32}, 1); // a bias gradient of "conv64"
    add_reduce(list, {1 << 22}, -1);
    for (bool gradient : {false, true}) // the first of "res128", at a quarter of its batch
        add_norm(list, gradient, {16, 64, 64, 64}, 32);
    return list;
}

} // namespace vkvae
