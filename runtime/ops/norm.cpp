// Group and layer normalisation: x (N, S, C), channels in G groups; layer_norm is one group over (rows, 1, C).
//
//   xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps) over the S C/G elements of a group;  y = xhat gamma + beta
//   with e = dy gamma:  dx = rstd (e - mean(e) - xhat mean(e xhat));  dgamma = sum dy xhat,  dbeta = sum dy
//
// Two passes over the pictures each way: one for sums, one for the result, which ends with the steps that the node has
// taken. Kernels: shaders/norm/. The variance is made of differences to a value of the same chunk of positions, and
// chunks are merged after Chan et al. 1983, so that a large mean does not eat it.
#include "ops/gemm.hpp"
#include "vkvae/ops.hpp"

#include <algorithm>

namespace vkvae {
namespace {

struct NormShape {
    uint32_t n, s, c, groups;
    uint32_t elements() const { return s * (c / groups); } // of a group
    uint32_t width() const { return c % 4 == 0 ? 4 : 1; }  // neighbouring channels of one work item
};

// The S positions in chunks, one for each work item.
struct Chunks {
    uint32_t count, length;
    Chunks(const NormShape& s, uint32_t positions) : count((s.s + positions - 1) / positions), length(positions) {}
};
constexpr uint32_t kLength = 64;

// For kernels that leave a partial result for each chunk.
Chunks chunks_for_sums(const NormShape& s) { return {s, std::max(kLength, s.s / 1024)}; }

// For kernels that leave all elements: enough work items to fill the device, and no more, as each starts with fetching
// what belongs to its channels.
Chunks chunks_for_elements(const Caps& caps, const NormShape& s) {
    uint64_t wanted = caps.is_cpu() ? 1 << 10 : 1 << 17, items = uint64_t(s.n) * s.s * (s.c / s.width());
    return {s, uint32_t(std::clamp<uint64_t>(items / wanted, 1, kLength))};
}

// Work items that share the reduction of `terms` for each of `rows` results.
uint32_t lanes_for(const Caps& caps, uint64_t rows, uint32_t terms) {
    uint64_t wanted = caps.is_cpu() ? 1 << 6 : 1 << 14;
    uint32_t lanes = 1;
    while (lanes < 64 && rows * lanes < wanted && terms >= 8 * lanes)
        lanes *= 2;
    return lanes;
}

// A kernel of common/norm.glsl; the first `pictures` buffers are of x's shape and read.
void walk(Lowering& l, std::string shader, const NormShape& s, Chunks chunks, uint32_t pictures,
          std::vector<uint32_t> constants, std::vector<Tensor> buffers) {
    bool texels = s.width() == 4 && prefers_texels(l.caps);
    shader += texels ? "_texels" : s.width() == 4 ? "_quads" : "";
    struct Push {
        uint32_t count;
        NormShape shape;
        Chunks chunks;
    } push = {s.n * chunks.count * (s.c / s.width()), s, chunks};
    l.each(shader.c_str(), push.count, std::move(constants), std::move(buffers), push,
           std::vector<uint32_t>(texels ? pictures : 0, 4));
}

// The same for a kernel that ends with the node's steps and stores y: bindings 0 and 1, then those of
// common/epilogue.glsl with gamma for the bias, then `last`.
void walk_with_steps(Lowering& l, const char* shader, const NormShape& s, std::vector<Tensor> first, uint32_t pictures,
                     Tensor gamma, Tensor last, Tensor y) {
    walk(l, shader, s, chunks_for_elements(l.caps, s), pictures, {0, 0, 0, 0, 0, 0}, std::move(first));
    Dispatch& d = l.dispatches.back();
    if (!d.texels.empty())
        d.texels.resize(2);
    add_epilogue(l, {}, gamma, y, s.c, d);
    d.buffers.push_back(last);
}

// mean and rstd of every (n, group): (N, G, 2)
void lower_statistics(Lowering& l, Tensor x, Tensor stats, NormShape s, float eps) {
    if (s.s == 1 || s.groups == 1) { // a group is one piece of memory, and where channels begin does not matter
        uint32_t elements = s.elements(), width = elements % 4 == 0 ? 4 : 1;
        while (width < 32 && elements % (2 * width) == 0 && elements / (2 * width) >= kLength)
            width *= 2;
        s = {s.n * s.groups, elements / width, width, 1};
    }
    Chunks chunks = chunks_for_sums(s);
    uint32_t rows = s.n * s.groups;
    Tensor partial = l.scratch({s.n, chunks.count, 2, s.c}, "norm partial");
    walk(l, "norm_partial", s, chunks, 1, {types_constant(l, {x})}, {x, partial});
    read_bits(l, l.dispatches.back());
    uint32_t lanes = lanes_for(l.caps, rows, chunks.count);
    struct Push {
        uint32_t count;
        NormShape shape;
        Chunks chunks;
        float eps;
    } push = {rows * lanes, s, chunks, eps};
    l.each("norm_statistics", push.count, {lanes}, {partial, stats}, push);
}

struct Gradients {
    Tensor dx, dgamma, dbeta; // those that are wanted; dgamma and dbeta together
};

void lower_gradient(Lowering& l, Tensor x, Tensor gamma, Tensor stats, Tensor dy, const Gradients& to,
                    const NormShape& s) {
    Chunks chunks = chunks_for_sums(s);
    uint32_t rows = s.n;
    Tensor sums = l.scratch({s.n, chunks.count, 2, s.c}, "norm sums");
    walk(l, "norm_sums", s, chunks, 2, {types_constant(l, {x, dy})}, {x, dy, stats, sums});
    read_bits(l, l.dispatches.back());
    auto add_up = [&](uint32_t outer, uint32_t axis) {
        Tensor total = l.scratch({outer, 2, s.c}, "norm sums");
        lower_reduce(l, sums, total, ReduceOp::sum, outer, axis, uint64_t(2) * s.c, 1);
        sums = total;
    };
    if (chunks.count > 1)
        add_up(s.n, chunks.count);
    if (to.dx) {
        Tensor means = l.scratch({s.n, s.groups, 4}, "norm means");
        uint32_t lanes = lanes_for(l.caps, uint64_t(s.n) * s.groups, s.c / s.groups);
        struct Push {
            uint32_t count, positions, channels, groups;
        } push = {s.n * s.groups * lanes, s.s, s.c, s.groups};
        l.each("norm_means", push.count, {lanes}, {sums, gamma, stats, means}, push);
        walk_with_steps(l, "norm_gradient", s, {x, dy}, 2, gamma, means, to.dx);
    }
    if (to.dgamma) {
        if (rows > 512) { // more than one work item should add in a row
            add_up(1, rows);
            rows = 1;
        }
        struct Push {
            uint32_t count, rows;
        } push = {s.c, rows};
        l.each("norm_parameters", push.count, {}, {sums, to.dgamma, to.dbeta}, push);
    }
}

void add_gradients(Adjoint& d, Tensor x, Tensor gamma, Tensor stats, const NormShape& s) {
    Graph& g = d.graph;
    Tensor dy = d.dy[0];
    Gradients to;
    std::vector<Tensor> out;
    if (d.wanted[0])
        out.push_back(to.dx = g.tensor(g.shape(x), "norm gradient"));
    if (d.wanted[1] || d.wanted[2]) {
        out.push_back(to.dgamma = g.tensor({s.c}, "gamma gradient"));
        out.push_back(to.dbeta = g.tensor({s.c}, "beta gradient"));
    }
    g.add({.op = "norm_gradient",
           .in = {x, gamma, stats, dy},
           .out = out,
           .lower = [=](Lowering& l) { lower_gradient(l, x, gamma, stats, dy, to, s); },
           .adjoint = {},
           .takes_steps = bool(to.dx),
           .takes_16_bit = true,
           .wide = {gamma, stats, to.dgamma, to.dbeta}});
    d.dx = {to.dx, to.dgamma, to.dbeta};
}

Tensor norm(Graph& g, const char* op, Tensor x, Tensor gamma, Tensor beta, const NormShape& s, float eps) {
    require(g.shape(gamma) == Shape{s.c} && g.shape(beta) == Shape{s.c}, op, " of ", to_text(g.shape(x)),
            ": gamma and beta must be (", s.c, "), got ", to_text(g.shape(gamma)), " and ", to_text(g.shape(beta)));
    Tensor y = g.tensor(g.shape(x), op), stats = g.tensor({s.n, s.groups, 2}, "norm statistics");
    g.add({.op = op,
           .in = {x, gamma, beta},
           .out = {y, stats},
           .lower =
               [=](Lowering& l) {
                   lower_statistics(l, x, stats, s, eps);
                   walk_with_steps(l, "norm_apply", s, {x, stats}, 1, gamma, beta, y);
               },
           .adjoint = [=](Adjoint& d) { add_gradients(d, x, gamma, stats, s); },
           .takes_steps = true,
           .takes_16_bit = true,
           .wide = {gamma, beta, stats}});
    return y;
}

} // namespace

Tensor layer_norm(Graph& g, Tensor x, Tensor gamma, Tensor beta, float eps) {
    uint32_t c = uint32_t(g.dim(x, -1)), rows = uint32_t(element_count(g.shape(x)) / c);
    return norm(g, "layer_norm", x, gamma, beta, {rows, 1, c, 1}, eps);
}

Tensor group_norm(Graph& g, Tensor x, Tensor gamma, Tensor beta, int groups, float eps) {
    uint32_t n = uint32_t(g.dim(x, 0)), c = uint32_t(g.dim(x, -1));
    require(groups > 0 && c % uint32_t(groups) == 0, "group_norm: ", c, " channels do not make ", groups, " groups");
    uint32_t s = uint32_t(element_count(g.shape(x)) / n / c);
    return norm(g, "group_norm", x, gamma, beta, {n, s, c, uint32_t(groups)}, eps);
}

} // namespace vkvae
