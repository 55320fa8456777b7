// 2-D convolution and its transpose. One geometry, three products (shaders/conv/conv2d.comp):
//
//   y = conv(x, w)             forward          dx = conv^T(dy, w)    input gradient
//   x = conv^T(y, w)           input gradient   dy = conv(dx, w)      forward
//   dw = x (*) dy              weight gradient of both; db = sum of the output's gradient over all positions
#include "ops/winograd.hpp"
#include "vkvae/ops.hpp"

#include <algorithm>

namespace vkvae {
namespace {

// Of the convolution x (batch, h, w, c) -> y (batch, oh, ow, o); a transposed convolution runs it backwards.
struct Geometry {
    uint32_t batch, h, w, c;
    uint32_t oh, ow, o;
    uint32_t kh, kw, stride;
    int32_t pad_top, pad_left;
    uint32_t k_chunk;
};

enum class Pass { forward, input_gradient, weight_gradient };

// A 3x3 convolution of stride 1, or its input gradient, which is one of dy with the kernel turned by half a turn.
Winograd as_winograd(Pass pass, const Geometry& s) {
    if (pass == Pass::input_gradient)
        return {s.batch, s.oh, s.ow, s.o, s.h, s.w, s.c, 2 - s.pad_top, 2 - s.pad_left};
    return {s.batch, s.h, s.w, s.c, s.oh, s.ow, s.o, s.pad_top, s.pad_left};
}

// `column_sums` (n), if given, is the sum of b over all positions: the bias gradient beside a weight gradient.
void lower_conv(Lowering& l, Pass pass, Geometry s, Tensor a, Tensor b, Tensor bias, Tensor result,
                Tensor column_sums = {}) {
    uint64_t m = 0, n = s.o, k = 0, phases = 1;
    const char* name = "";
    auto four = [](uint32_t channels, Read read) { return channels % 4 == 0 ? read : Read::single; };
    GemmReads reads = {};
    switch (pass) {
    case Pass::forward:
        name = "conv2d_forward";
        m = uint64_t(s.batch) * s.oh * s.ow;
        k = uint64_t(s.kh) * s.kw * s.c;
        reads = {four(s.c, Read::along_k), four(s.o, Read::along_side)};
        break;
    case Pass::weight_gradient:
        name = "conv2d_weight_gradient";
        m = uint64_t(s.kh) * s.kw * s.c;
        k = uint64_t(s.batch) * s.oh * s.ow;
        reads = {four(s.c, Read::along_side), four(s.o, Read::along_side)};
        break;
    case Pass::input_gradient: // the largest phase
        name = "conv2d_input_gradient";
        m = uint64_t(s.batch) * ((s.h + s.stride - 1) / s.stride) * ((s.w + s.stride - 1) / s.stride);
        n = s.c;
        k = uint64_t((s.kh + s.stride - 1) / s.stride) * ((s.kw + s.stride - 1) / s.stride) * s.o;
        phases = uint64_t(s.stride) * s.stride;
        reads = {four(s.o, Read::along_k), four(s.o, Read::along_k)};
        break;
    }
    reads.f16 = reads_f16(l, a, b);
    std::string product = name + type_suffix(l, a, b);
    if (s.kh == 3 && s.kw == 3 && s.stride == 1 && pass != Pass::weight_gradient) {
        Winograd winograd = as_winograd(pass, s);
        if (choose_winograd(l, product, winograd, is_16_bit(l.type(a)) || is_16_bit(l.type(b))))
            return lower_winograd(l, product, winograd, pass == Pass::input_gradient, a, b, bias, result);
    }
    Gemm gemm = choose_gemm(l, product.c_str(), m, n, k, reads, pass == Pass::weight_gradient && l.node->steps.empty());
    WeightGradient to(l, gemm, result, column_sums, m, n);
    s.k_chunk = gemm.k_chunk;
    if (pass == Pass::input_gradient)
        gemm.groups[2] = uint32_t(phases);
    Dispatch d = {.shader = find_shader(name + gemm.suffix),
                  .constants = gemm.constants,
                  .buffers = {a, b},
                  .texels = gemm.texels,
                  .push = push_words(s),
                  .groups = gemm.groups,
                  .name = product};
    d.constants.insert(d.constants.end(), {0, 0});
    add_epilogue(l, gemm, bias, to.weights_target, n, d, to.bias_target);
    l.dispatch(std::move(d));
    to.finish(l, gemm, m, n);
}

Tensor add_pass(Graph& g, Pass pass, const Geometry& s, Tensor a, Tensor b, Shape shape) {
    static const char* const names[] = {"conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"};
    Tensor result = g.tensor(std::move(shape), names[int(pass)]);
    g.add({.op = names[int(pass)],
           .in = {a, b},
           .out = {result},
           .lower = [=](Lowering& l) { lower_conv(l, pass, s, a, b, {}, result); },
           .adjoint = {},
           .takes_steps = pass != Pass::weight_gradient, // whose long sums are rather split
           .takes_16_bit = true,
           .wide = {pass == Pass::weight_gradient ? result : Tensor{}}});
    return result;
}

// The gradients of the weights and of the bias of a convolution x -> y, in one pass over dy.
void add_weight_gradient(Graph& g, const Geometry& s, Tensor x, Tensor dy, const Shape& w_shape, Tensor& dw,
                         Tensor& db) {
    Tensor weights = g.tensor(w_shape, "weight gradient"), bias = g.tensor({s.o}, "bias gradient");
    g.add({.op = "conv2d_weight_gradient",
           .in = {x, dy},
           .out = {weights, bias},
           .lower = [=](Lowering& l) { lower_conv(l, Pass::weight_gradient, s, x, dy, {}, weights, bias); },
           .adjoint = {},
           .takes_16_bit = true,
           .wide = {weights, bias}});
    dw = weights;
    db = bias;
}

// `forward` says whether the layer runs the geometry from x to y (conv2d) or from y to x (conv_transpose2d).
Tensor conv_layer(Graph& g, bool forward, const Geometry& s, Tensor in, Tensor w, Tensor bias, Activation activation) {
    Shape x_shape = {s.batch, s.h, s.w, s.c}, y_shape = {s.batch, s.oh, s.ow, s.o};
    Tensor out = g.tensor(forward ? y_shape : x_shape, forward ? "conv2d" : "conv_transpose2d");
    std::vector<Tensor> inputs = {in, w};
    if (bias)
        inputs.push_back(bias);
    Shape w_shape = g.shape(w);
    g.add({.op = forward ? "conv2d" : "conv_transpose2d",
           .in = inputs,
           .out = {out},
           .lower =
               [=](Lowering& l) {
                   Pass pass = forward ? Pass::forward : Pass::input_gradient;
                   lower_conv(l, pass, s, in, w, bias, out);
               },
           .adjoint =
               [=](Adjoint& d) {
                   Graph& graph = d.graph;
                   Tensor dy = d.dy[0];
                   if (d.wanted[0])
                       d.dx[0] = forward ? add_pass(graph, Pass::input_gradient, s, dy, w, x_shape)
                                         : add_pass(graph, Pass::forward, s, dy, w, y_shape);
                   bool wants_bias = bias && d.wanted[2];
                   if (d.wanted[1] && wants_bias && forward)
                       return add_weight_gradient(graph, s, in, dy, w_shape, d.dx[1], d.dx[2]);
                   if (d.wanted[1])
                       d.dx[1] = forward ? add_pass(graph, Pass::weight_gradient, s, in, dy, w_shape)
                                         : add_pass(graph, Pass::weight_gradient, s, dy, in, w_shape);
                   if (wants_bias)
                       d.dx[2] = sum(graph, dy, 0, 3);
               },
           .takes_steps = true,
           .takes_16_bit = true,
           .wide = {bias}});
    return activate(g, out, activation);
}

void check_layer(Graph& g, const char* name, Tensor x, Tensor w, Tensor bias, const Conv2d& o, size_t in_axis,
                 size_t out_axis) {
    const Shape &sx = g.shape(x), &sw = g.shape(w);
    require(sx.size() == 4 && sw.size() == 4, name, ": x must be (N, H, W, C) and w 4-dimensional, got ", to_text(sx),
            " and ", to_text(sw));
    require(sx[3] == sw[in_axis], name, ": x ", to_text(sx), " has ", sx[3], " channels, the weight ", to_text(sw),
            " takes ", sw[in_axis]);
    require(!bias || g.shape(bias) == Shape{sw[out_axis]}, name, ": the bias does not fit the weight ", to_text(sw));
    require(o.stride >= 1 && o.stride <= 64, name, ": stride ", o.stride);
    require(std::min({o.pad_top, o.pad_left, o.pad_bottom, o.pad_right}) >= 0, name, ": negative padding");
}

} // namespace

Tensor conv2d(Graph& g, Tensor x, Tensor w, Tensor bias, const Conv2d& o, Activation activation) {
    check_layer(g, "conv2d", x, w, bias, o, 2, 3);
    const Shape &sx = g.shape(x), &sw = g.shape(w);
    int64_t oh = sx[1] + o.pad_top + o.pad_bottom - sw[0], ow = sx[2] + o.pad_left + o.pad_right - sw[1];
    require(oh >= 0 && ow >= 0, "conv2d: the kernel ", sw[0], "x", sw[1], " is larger than the padded input of x ",
            to_text(sx));
    Geometry s = {uint32_t(sx[0]), uint32_t(sx[1]), uint32_t(sx[2]), uint32_t(sx[3]),
                  uint32_t(oh / o.stride + 1), uint32_t(ow / o.stride + 1), uint32_t(sw[3]),
                  uint32_t(sw[0]), uint32_t(sw[1]), uint32_t(o.stride), o.pad_top, o.pad_left, 0};
    return conv_layer(g, true, s, x, w, bias, activation);
}

Tensor conv_transpose2d(Graph& g, Tensor x, Tensor w, Tensor bias, const Conv2d& o, int output_padding,
                        Activation activation) {
    check_layer(g, "conv_transpose2d", x, w, bias, o, 3, 2);
    require(output_padding >= 0 && output_padding < o.stride, "conv_transpose2d: output_padding ", output_padding,
            " must be less than the stride ", o.stride);
    const Shape &sx = g.shape(x), &sw = g.shape(w);
    int64_t h = (sx[1] - 1) * o.stride - o.pad_top - o.pad_bottom + sw[0] + output_padding;
    int64_t width = (sx[2] - 1) * o.stride - o.pad_left - o.pad_right + sw[1] + output_padding;
    require(h > 0 && width > 0, "conv_transpose2d: the padding leaves nothing of x ", to_text(sx));
    Geometry s = {uint32_t(sx[0]), uint32_t(h), uint32_t(width), uint32_t(sw[2]),
                  uint32_t(sx[1]), uint32_t(sx[2]), uint32_t(sx[3]),
                  uint32_t(sw[0]), uint32_t(sw[1]), uint32_t(o.stride), o.pad_top, o.pad_left, 0};
    return conv_layer(g, false, s, x, w, bias, activation);
}

} // namespace vkvae
