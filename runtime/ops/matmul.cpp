// Matrix product and linear layer.
//
//   C = op(A) op(B)        dA = dC op(B)^T (or its transpose), dB = op(A)^T dC (or its transpose)
//   y = x w + b            dx = dy w^T,  dw = x^T dy,  db = sum over rows of dy
//
// Kernels: shaders/matmul/matmul.comp on shaders/common/gemm.glsl.
#include "ops/gemm.hpp"
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

struct MatmulShape {
    uint64_t m, n, k;
};

// C (m, n); a and b are stored transposed with ta, tb. `column_sums` (n), if given, is the sum of op(B)'s rows.
void lower_matmul(Lowering& l, Tensor a, Tensor b, Tensor bias, Tensor c, const MatmulShape& s, bool ta, bool tb,
                  Tensor column_sums = {}) {
    auto four = [](uint64_t neighbours, Read read) { return neighbours % 4 == 0 ? read : Read::single; };
    GemmReads reads = {ta ? four(s.m, Read::along_side) : four(s.k, Read::along_k),
                       tb ? four(s.k, Read::along_k) : four(s.n, Read::along_side), reads_f16(l, a, b)};
    std::string name = concat_text("matmul_", ta ? "t" : "n", tb ? "t" : "n", type_suffix(l, a, b));
    bool may_split = !bias && l.node->steps.empty() && l.type(c) == DType::f32; // partial sums are f32
    Gemm gemm = choose_gemm(l, name.c_str(), s.m, s.n, s.k, reads, may_split);
    WeightGradient to(l, gemm, c, column_sums, s.m, s.n);
    struct Push {
        uint32_t m, n, k, k_chunk;
    } push = {uint32_t(s.m), uint32_t(s.n), uint32_t(s.k), gemm.k_chunk};
    Dispatch d = {.shader = find_shader("matmul" + gemm.suffix),
                  .constants = gemm.constants,
                  .buffers = {a, b},
                  .texels = gemm.texels,
                  .push = push_words(push),
                  .groups = gemm.groups,
                  .name = name};
    d.constants.insert(d.constants.end(), {uint32_t(ta), uint32_t(tb)});
    add_epilogue(l, gemm, bias, to.weights_target, s.n, d, to.bias_target);
    l.dispatch(std::move(d));
    to.finish(l, gemm, s.m, s.n);
}

} // namespace

Tensor matmul(Graph& g, Tensor a, Tensor b, bool ta, bool tb) {
    const Shape &sa = g.shape(a), &sb = g.shape(b);
    require(sa.size() == 2 && sb.size() == 2, "matmul takes matrices, got ", to_text(sa), " and ", to_text(sb));
    int64_t m = sa[ta ? 1 : 0], k = sa[ta ? 0 : 1], n = sb[tb ? 0 : 1];
    require(sb[tb ? 1 : 0] == k, "matmul of ", to_text(sa), ta ? " transposed" : "", " and ", to_text(sb),
            tb ? " transposed" : "", ": the inner sizes differ");
    Tensor c = g.tensor({m, n}, "matmul");
    g.add({.op = "matmul",
           .in = {a, b},
           .out = {c},
           .lower =
               [=](Lowering& l) {
                   lower_matmul(l, a, b, {}, c, {uint64_t(m), uint64_t(n), uint64_t(k)}, ta, tb);
               },
           .adjoint =
               [=](Adjoint& d) {
                   Graph& graph = d.graph;
                   Tensor dc = d.dy[0];
                   if (d.wanted[0])
                       d.dx[0] = ta ? matmul(graph, b, dc, tb, true) : matmul(graph, dc, b, false, !tb);
                   if (d.wanted[1])
                       d.dx[1] = tb ? matmul(graph, dc, a, true, ta) : matmul(graph, a, dc, !ta, false);
               },
           .takes_steps = k <= 1024 || m * n >= 65536, // few long sums are rather split
           .takes_16_bit = true});
    return c;
}

namespace {

// dw = x^T dy and db, the sum of dy's rows, in one pass over dy. x (m, k), dy (m, n).
void add_linear_gradient(Graph& g, Tensor x, Tensor dy, Tensor& dw, Tensor& db) {
    int64_t m = g.dim(x, 0), k = g.dim(x, 1), n = g.dim(dy, 1);
    Tensor weights = g.tensor({k, n}, "weight gradient"), bias = g.tensor({n}, "bias gradient");
    g.add({.op = "linear_gradient",
           .in = {x, dy},
           .out = {weights, bias},
           .lower =
               [=](Lowering& l) {
                   lower_matmul(l, x, dy, {}, weights, {uint64_t(k), uint64_t(n), uint64_t(m)}, true, false, bias);
               },
           .adjoint = {},
           .takes_16_bit = true,
           .wide = {weights, bias}});
    dw = weights;
    db = bias;
}

} // namespace

Tensor linear(Graph& g, Tensor x, Tensor w, Tensor bias, Activation activation) {
    Shape sx = g.shape(x), sw = g.shape(w);
    require(sw.size() == 2 && !sx.empty() && sx.back() == sw[0], "linear: x ", to_text(sx), " does not fit the weight ",
            to_text(sw), " (in, out)");
    require(!bias || g.shape(bias) == Shape{sw[1]}, "linear: the bias ", bias ? to_text(g.shape(bias)) : "",
            " does not fit the weight ", to_text(sw), " (in, out)");
    int64_t k = sw[0], n = sw[1], m = element_count(sx) / k;
    Shape sy = sx;
    sy.back() = n;
    Tensor y = g.tensor(sy, "linear");
    std::vector<Tensor> in = {x, w};
    if (bias)
        in.push_back(bias);
    g.add({.op = "linear",
           .in = in,
           .out = {y},
           .lower =
               [=](Lowering& l) {
                   lower_matmul(l, x, w, bias, y, {uint64_t(m), uint64_t(n), uint64_t(k)}, false, false);
               },
           .adjoint =
               [=](Adjoint& d) {
                   Graph& graph = d.graph;
                   Tensor dy = reshape(graph, d.dy[0], {m, n});
                   if (d.wanted[0])
                       d.dx[0] = reshape(graph, matmul(graph, dy, w, false, true), sx);
                   bool wants_bias = bias && d.wanted[2];
                   if (d.wanted[1] && wants_bias)
                       add_linear_gradient(graph, reshape(graph, x, {m, k}), dy, d.dx[1], d.dx[2]);
                   else if (d.wanted[1])
                       d.dx[1] = matmul(graph, reshape(graph, x, {m, k}), dy, true, false);
                   else if (wants_bias)
                       d.dx[2] = sum(graph, dy, 0, 1);
               },
           .takes_steps = true,
           .takes_16_bit = true,
           .wide = {bias}});
    return activate(g, y, activation);
}

} // namespace vkvae
