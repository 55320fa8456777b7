// Vector quantisation: each row of z is replaced by the nearest row of a codebook e; with several codebooks each takes
// what the ones before it have left (residual quantisation).
//
//   r_0 = z,  c_l = argmin_k |r_l - e_lk|^2,  r_(l+1) = r_l - e_l[c_l],  q = sum_l e_l[c_l]
//   error[m] = sum_l |r_(l+1)[m]|^2
//   dz = dq + 2 commitment sum_l derror r_(l+1)          straight through the argmin, and the commitment to the codes
//   de_l[k] = -2 sum of derror r_(l+1) over c_l = k      if codebooks are learned by gradient, else none
//
// The distances are a product, |r - e_k|^2 = |r|^2 - 2 r . e_k + |e_k|^2, and so are sums over the rows of a code: of
// the one-hot matrix (M, K) and the rows, which is as fast as products are and adds in a fixed order.
//
// Codebooks that are moving averages: with n_k rows of a step in code k, s_k their sum, M rows in all,
//
//   N_k = decay N_k + (1 - decay) n_k,  m_k = decay m_k + (1 - decay) s_k,
//   e_k = m_k / N'_k,  N'_k = (N_k + epsilon) / (sum N + K epsilon) sum N
//
// What is kept is f_k = N_k / M, which does not depend on the batch, and e_k; m_k = N'_k e_k is not needed beside them.
// A code with f_k below restart / K is dead: it becomes a random row of the step's r, with f_k = 1 / K.
//
// Kernels: shaders/quantize/. Sources: van den Oord, Vinyals and Kavukcuoglu 2017, "Neural Discrete Representation
// Learning", section 3 and appendix A.1; the Laplace smoothing is that of DeepMind's Sonnet; restarts as in Dhariwal et
// al. 2020, "Jukebox", section 3.1; residual quantisation as in Lee et al. 2022, "Autoregressive Image Generation using
// RQ".
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

constexpr float kSmoothing = 1e-5f; // epsilon

void check_codes(Graph& g, const char* op, Tensor codes) {
    require(g.info(codes).type == DType::u32 && g.shape(codes).size() == 1, op, ": codes are (M) u32, got ",
            to_text(g.shape(codes)), " ", type_name(g.info(codes).type));
}

// Row by row: factor s[m] x[m].
Tensor scale_rows(Graph& g, Tensor x, Tensor s, float factor) {
    if (g.info(s).constant)
        return scale(g, x, factor * *g.info(s).constant);
    Tensor y = g.tensor(g.shape(x), "scaled rows");
    struct Push {
        uint32_t count, width;
        float factor;
    } push = {uint32_t(element_count(g.shape(x))), uint32_t(g.dim(x, -1)), factor};
    g.add({.op = "scale_rows",
           .in = {x, s},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("scale_rows", push.count, {}, {x, s, y}, push); },
           .adjoint = {}});
    return y;
}

// Rows of a table without a gradient.
Tensor lookup(Graph& g, Tensor table, Tensor codes) {
    check_codes(g, "lookup", codes);
    require(g.shape(table).size() == 2, "lookup takes a table (K, D), got ", to_text(g.shape(table)));
    int64_t rows = g.dim(codes, 0), width = g.dim(table, 1);
    Tensor y = g.tensor({rows, width}, "rows of a table");
    struct Push {
        uint32_t count, width, rows;
    } push = {uint32_t(rows * width), uint32_t(width), uint32_t(g.dim(table, 0))};
    g.add({.op = "lookup",
           .in = {table, codes},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("lookup", push.count, {}, {table, codes, y}, push); },
           .adjoint = {}});
    return y;
}

} // namespace

Tensor nearest_code(Graph& g, Tensor z, Tensor codebook) {
    const Shape &rows = g.shape(z), &table = g.shape(codebook);
    require(rows.size() == 2 && table.size() == 2 && rows[1] == table[1], "nearest_code: z ", to_text(rows),
            " does not fit the codebook ", to_text(table), " (K, D)");
    struct Push {
        uint32_t count, columns;
    } push = {uint32_t(rows[0]), uint32_t(table[0])}; // rows and table are stale from here on
    Tensor dots = matmul(g, z, codebook, false, true);
    Tensor squares = sum(g, mul(g, codebook, codebook), 1, 1);
    Tensor codes = g.tensor({int64_t(push.count)}, "codes", DType::u32);
    g.add({.op = "nearest",
           .in = {dots, squares},
           .out = {codes},
           .lower = [=](Lowering& l) { l.each("nearest", push.count, {}, {dots, squares, codes}, push); },
           .adjoint = {}});
    return codes;
}

Tensor embedding(Graph& g, Tensor table, Tensor codes) {
    Tensor rows = lookup(g, table, codes);
    Tensor y = g.view(rows, g.shape(rows), 0, "embedding");
    int64_t columns = g.dim(table, 0);
    g.add({.op = "embedding",
           .in = {rows, table, codes},
           .out = {y},
           .lower = {},
           .adjoint = [=](Adjoint& d) {
               if (d.wanted[1])
                   d.dx[1] = matmul(d.graph, one_hot(d.graph, codes, columns), d.dy[0], true);
           }});
    return y;
}

Quantized quantize(Graph& g, Tensor z, std::span<const Tensor> codebooks, const QuantizeOptions& o) {
    require(!codebooks.empty(), "quantize needs a codebook");
    Quantized made;
    std::vector<Tensor> rests;
    Tensor q, error;
    for (Tensor codebook : codebooks) {
        Tensor from = made.given.empty() ? z : rests.back();
        made.given.push_back(from);
        made.codes.push_back(nearest_code(g, from, codebook));
        Tensor taken = lookup(g, codebook, made.codes.back());
        rests.push_back(sub(g, from, taken));
        Tensor squares = sum(g, mul(g, rests.back(), rests.back()), 1, 1);
        q = q ? add(g, q, taken) : taken;
        error = error ? add(g, error, squares) : squares;
    }
    made.z = g.view(q, g.shape(q), 0, "quantised");
    made.error = g.view(error, g.shape(error), 0, "quantisation error");
    // Nothing is computed here: this node is the gradient of all that is above it.
    std::vector<Tensor> in = {z, q, error};
    in.insert(in.end(), codebooks.begin(), codebooks.end());
    auto adjoint = [=, codes = made.codes](Adjoint& d) {
        Graph& graph = d.graph;
        Tensor derror = d.dy[1];
        d.dx[0] = d.dy[0];
        for (size_t level = 0; derror && level < rests.size(); level++) {
            Tensor pull = scale_rows(graph, rests[level], derror, 2 * o.commitment);
            if (o.commitment != 0)
                d.dx[0] = d.dx[0] ? add(graph, d.dx[0], pull) : pull;
            if (!o.trains_codebooks || !d.wanted[3 + level])
                continue;
            Tensor hot = one_hot(graph, codes[level], graph.dim(in[3 + level], 0));
            d.dx[3 + level] = matmul(graph, hot, scale_rows(graph, rests[level], derror, -2), true);
        }
    };
    g.add({.op = "quantize", .in = in, .out = {made.z, made.error}, .lower = {}, .adjoint = adjoint});
    return made;
}

Tensor perplexity(Graph& g, Tensor counts) {
    Tensor y = g.tensor({1}, "perplexity");
    uint32_t codes = uint32_t(element_count(g.shape(counts)));
    g.add({.op = "perplexity",
           .in = {counts},
           .out = {y},
           .lower =
               [=](Lowering& l) {
                   l.dispatch({.shader = find_shader("perplexity"),
                               .constants = {64},
                               .buffers = {counts, y},
                               .push = {codes},
                               .name = "perplexity"});
               },
           .adjoint = {}});
    return y;
}

void update_codebook(Graph& g, const CodebookState& s, Tensor z, Tensor hot, const CodebookOptions& o) {
    const Shape shape = g.shape(s.codebook), rows = g.shape(z);
    require(shape.size() == 2 && rows.size() == 2 && rows[1] == shape[1] && g.shape(s.frequencies) == Shape{shape[0]} &&
                g.shape(hot) == Shape{rows[0], shape[0]},
            "update_codebook: the codebook ", to_text(shape), " does not fit the frequencies ",
            to_text(g.shape(s.frequencies)), ", z ", to_text(rows), " and its one-hot codes ", to_text(g.shape(hot)));
    require(element_count(g.shape(s.control)) == 4, "update_codebook: the control is what an optimizer returns");
    Tensor counts = s.counts ? s.counts : sum(g, hot, 0, 1), rates = g.tensor({shape[0], 2}, "code rates");
    Tensor sums = o.average ? matmul(g, hot, z, true) : z;
    struct RatesPush {
        uint32_t codes;
        float per_position, decay, gain, smoothing, least;
        uint32_t moves;
    } push = {uint32_t(shape[0]), 1.0f / float(rows[0]), o.decay, 1 - o.decay, kSmoothing / float(rows[0]),
              o.restart / float(shape[0]), uint32_t(o.average)};
    g.add({.op = "code_rates",
           .in = {counts, s.frequencies, s.control},
           .out = {rates, s.frequencies},
           .lower =
               [=](Lowering& l) {
                   l.dispatch({.shader = find_shader("code_rates"),
                               .constants = {64},
                               .buffers = {counts, s.frequencies, s.control, rates},
                               .push = push_words(push),
                               .name = "code_rates"});
               },
           .adjoint = {}});
    struct UpdatePush {
        uint32_t count, width, positions, first;
    } update = {uint32_t(element_count(shape)), uint32_t(shape[1]), uint32_t(rows[0]), o.first_draw};
    g.add({.op = "code_update",
           .in = {rates, sums, z, s.codebook},
           .out = {s.codebook},
           .lower = [=](Lowering& l) { l.each("code_update", update.count, {}, {rates, sums, z, s.codebook}, update); },
           .adjoint = {}});
}

Tensor cross_entropy(Graph& g, Tensor logits, Tensor codes) {
    check_codes(g, "cross_entropy", codes);
    const Shape shape = g.shape(logits);
    require(shape.size() == 2 && shape[0] == g.dim(codes, 0), "cross_entropy: logits ", to_text(shape),
            " do not fit codes ", to_text(g.shape(codes)));
    Tensor nll = g.tensor({shape[0]}, "cross entropy");
    struct Push {
        uint32_t count, columns;
    } push = {uint32_t(shape[0]), uint32_t(shape[1])};
    g.add({.op = "cross_entropy",
           .in = {logits, codes},
           .out = {nll},
           .lower = [=](Lowering& l) { l.each("cross_entropy", push.count, {}, {logits, codes, nll}, push); },
           .adjoint =
               [=](Adjoint& d) {
                   Tensor dnll = d.dy[0], dlogits = d.graph.tensor(shape, "cross entropy gradient");
                   d.graph.add({.op = "cross_entropy_gradient",
                                .in = {logits, codes, dnll},
                                .out = {dlogits},
                                .lower =
                                    [=](Lowering& l) {
                                        l.each("cross_entropy_gradient", push.count, {}, {logits, codes, dnll, dlogits},
                                               push);
                                    },
                                .adjoint = {}});
                   d.dx[0] = dlogits;
               }});
    return nll;
}

Tensor causal_mask(Graph& g, Tensor w, bool centre) {
    const Shape shape = g.shape(w);
    require(shape.size() == 4 && shape[0] % 2 == 1 && shape[1] % 2 == 1,
            "causal_mask takes the weight of a convolution with odd sides, got ", to_text(shape));
    Tensor y = g.tensor(shape, "masked weight");
    struct Push {
        uint32_t count, taps, plane;
    } push = {uint32_t(element_count(shape)), uint32_t(shape[0] * shape[1]), uint32_t(shape[2] * shape[3])};
    g.add({.op = "causal_mask",
           .in = {w},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("causal_mask", push.count, {uint32_t(centre)}, {w, y}, push); },
           .adjoint = [=](Adjoint& d) { d.dx[0] = causal_mask(d.graph, d.dy[0], centre); }});
    return y;
}

} // namespace vkvae
