// Reverse-mode differentiation: walks the nodes backwards, asks each for the gradients of its inputs, and adds them up.
//
//   dL/dx = sum over the nodes n that read x of (dL/dy_n) (dy_n/dx)
//
// Source: Griewank and Walther, "Evaluating Derivatives", 2nd ed., chapter 3.
#include "vkvae/graph.hpp"

#include <algorithm>

namespace vkvae {
namespace {

struct CopyPush {
    uint32_t count;
};

// y = a + b, the accumulation of two gradients. The same shader as the op `add`.
Tensor accumulate(Graph& g, Tensor a, Tensor b) {
    if (g.info(a).constant == 0.0f)
        return b;
    if (g.info(b).constant == 0.0f)
        return a;
    Tensor y = g.tensor(g.shape(a), g.info(a).name);
    uint32_t count = uint32_t(element_count(g.shape(a)));
    g.add({.op = "accumulate",
           .in = {a, b},
           .out = {y},
           .lower =
               [=](Lowering& l) {
                   struct Push {
                       uint32_t count, period;
                   };
                   l.each("add", count, {}, {a, b, y}, Push{count, count});
               },
           .adjoint = {},
           .step = {.kind = Step::add, .operand = b}});
    return y;
}

void copy(Graph& g, Tensor from, Tensor to) {
    uint32_t count = uint32_t(element_count(g.shape(from)));
    g.add({.op = "copy",
           .in = {from},
           .out = {to},
           .lower = [=](Lowering& l) { l.each("copy", count, {}, {from, to}, CopyPush{count}); },
           .adjoint = {}});
}

} // namespace

// Makes `gradient` live in `into`: by moving the tensor there if nothing else depends on where it is, else by a copy.
Tensor Graph::place(Tensor gradient, Tensor into) {
    TensorInfo& from = tensors_[gradient.id];
    bool sole_owner = from.storage == gradient && !from.external && !from.keep && !from.constant;
    for (const TensorInfo& other : tensors_)
        if (&other != &from && other.storage == gradient)
            sole_owner = false;
    if (sole_owner) {
        from.storage = tensors_[into.id].storage;
        from.offset = tensors_[into.id].offset;
        from.external = tensors_[into.id].external;
        return gradient;
    }
    copy(*this, gradient, into);
    return into;
}

std::vector<Tensor> Graph::backward(Tensor y, std::span<const Tensor> wrt, std::span<const Tensor> into, Tensor seed) {
    require(seed || element_count(shape(y)) == 1, "backward needs one element to start from, '", info(y).name,
            "' has the shape ", to_text(shape(y)));
    if (seed)
        require(shape(seed) == shape(y), "backward: the seed has the shape ", to_text(shape(seed)), ", '",
                info(y).name, "' has ", to_text(shape(y)));
    // A tensor needs a gradient if something in wrt reaches it.
    std::vector<bool> needed(tensors_.size(), false);
    for (Tensor t : wrt)
        needed[t.id] = true;
    for (const Node& node : nodes_)
        for (Tensor in : node.in)
            if (needed[in.id])
                for (Tensor out : node.out)
                    needed[out.id] = true;

    std::vector<Tensor> gradient(tensors_.size());
    gradient[y.id] = seed ? seed : constant(1.0f, shape(y));
    for (size_t i = nodes_.size(); i-- > 0;) {
        const Node node = nodes_[i]; // a copy: the adjoint appends to nodes_
        bool reached = false, wants = false;
        Adjoint adjoint = {*this, node, {}, std::vector<Tensor>(node.in.size()), {}};
        for (Tensor out : node.out) {
            adjoint.dy.push_back(out.id < gradient.size() ? gradient[out.id] : Tensor{});
            reached |= bool(adjoint.dy.back());
        }
        for (Tensor in : node.in) {
            adjoint.wanted.push_back(needed[in.id]);
            wants |= needed[in.id];
        }
        if (!reached || !wants)
            continue;
        require(bool(node.adjoint), "no gradient flows through op '", node.op, "'");
        node.adjoint(adjoint);
        for (size_t k = 0; k < node.in.size(); k++) {
            Tensor dx = adjoint.dx[k];
            if (!dx || !adjoint.wanted[k])
                continue;
            require(shape(dx) == shape(node.in[k]), "gradient of op '", node.op, "' for '", info(node.in[k]).name,
                    "' has the shape ", to_text(shape(dx)), " instead of ", to_text(shape(node.in[k])));
            Tensor& sum = gradient[node.in[k].id];
            sum = sum ? accumulate(*this, sum, dx) : dx;
        }
    }

    std::vector<Tensor> result;
    for (size_t i = 0; i < wrt.size(); i++) {
        size_t before = size_t(std::find(wrt.begin(), wrt.begin() + ptrdiff_t(i), wrt[i]) - wrt.begin());
        if (before < i) { // named twice, placed once
            result.push_back(result[before]);
            continue;
        }
        Tensor d = gradient[wrt[i].id] ? gradient[wrt[i].id] : constant(0.0f, shape(wrt[i]));
        Tensor target = i < into.size() ? into[i] : Tensor{};
        if (target)
            d = place(d, target);
        if (!info(d).constant)
            rename(d, "d " + info(wrt[i]).name);
        result.push_back(d);
    }
    return result;
}

} // namespace vkvae
