// Fusion: elementwise nodes move into the node that computes their input, as steps on each value before it is stored.
//
//   u = conv(x, w);  y = act(u)            becomes   y = act(conv(x, w)), which also stores u if another node reads it
//   d = conv^T(dy, w);  du = d act'(u)     becomes   du = conv^T(dy, w) act'(u)
//
//   g = x w;  dg = factor (mean(g) - data)     becomes   dg = factor (mean(x w) - data), which also stores g for the loss
//
// A step moves to an earlier place in the order, so its operand has to be there already, and nothing on the way may touch
// what it writes. What can be there from the beginning of a step therefore comes first.
#include "graph/fuse.hpp"

#include <algorithm>

namespace vkvae {
namespace {

constexpr size_t kMostSteps = 2; // bindings of shaders/common/epilogue.glsl

class Fuser {
  public:
    Fuser(const Graph& graph, Lowering* lowering)
        : tensors_(graph.tensors()), nodes_(graph.nodes()), gone_(nodes_.size()), lowering_(lowering) {}

    std::vector<Node> run() {
        independent_first();
        for (size_t i = 0; i < nodes_.size(); i++)
            while (!gone_[i] && nodes_[i].takes_steps && nodes_[i].steps.size() < kMostSteps && take_one(i)) {
            }
        std::vector<Node> left;
        for (size_t i = 0; i < nodes_.size(); i++)
            if (!gone_[i])
                left.push_back(std::move(nodes_[i]));
        return left;
    }

  private:
    // Before those that take steps: nodes that read only what is there already, and write what nobody has touched.
    void independent_first() {
        std::vector<bool> touched(tensors_.size()), written(tensors_.size()); // by storage, by the nodes so far
        std::vector<Node> first, others;
        for (Node& node : nodes_) {
            bool independent = node.lower && !node.takes_steps;
            for (Tensor t : node.in)
                independent &= tensors_[storage(t)].external && !written[storage(t)];
            for (Tensor t : node.out)
                independent &= !touched[storage(t)];
            for (Tensor t : node.in)
                touched[storage(t)] = true;
            for (Tensor t : node.out)
                touched[storage(t)] = written[storage(t)] = true;
            (independent ? first : others).push_back(std::move(node));
        }
        nodes_ = std::move(first);
        std::move(others.begin(), others.end(), std::back_inserter(nodes_));
    }
    uint32_t storage(Tensor t) const { return tensors_[t.id].storage.id; }
    bool names(const std::vector<Tensor>& list, Tensor t) const {
        return std::any_of(list.begin(), list.end(), [&](Tensor other) { return storage(other) == storage(t); });
    }
    bool same_bytes(Tensor a, Tensor b) const {
        const TensorInfo &x = tensors_[a.id], &y = tensors_[b.id];
        return x.storage == y.storage && x.offset == y.offset && x.bytes() == y.bytes();
    }
    // The step of node j on `value`, or one of the kind none.
    Step step_on(size_t j, Tensor value) const {
        const Node& node = nodes_[j];
        Step step = node.step;
        if (step.kind == Step::none)
            return step;
        if (step.kind == Step::add && same_bytes(node.in[1], value)) // a sum can start with either
            step.operand = node.in[0];
        else if (!same_bytes(node.in[0], value))
            step.kind = Step::none;
        if (step.operand && storage(step.operand) == storage(value))
            step.kind = Step::none;
        step.result = node.out[0];
        return step;
    }
    // Lets node i take the step that reads its result, if there is one that can be moved.
    bool take_one(size_t i) {
        Tensor value = nodes_[i].steps.empty() ? nodes_[i].out[0] : nodes_[i].steps.back().result;
        size_t at = nodes_.size();
        bool read_by_others = tensors_[storage(value)].keep || tensors_[storage(value)].external;
        Step step;
        for (size_t j = i + 1; j < nodes_.size(); j++) {
            if (gone_[j] || !nodes_[j].lower || !names(nodes_[j].in, value))
                continue;
            Step candidate = at == nodes_.size() ? step_on(j, value) : Step{};
            if (candidate.kind != Step::none && movable(i, j, value, candidate)) {
                step = candidate;
                at = j;
            } else {
                read_by_others = true;
            }
        }
        if (at == nodes_.size())
            return false;
        if (read_by_others) {
            for (const Step& earlier : nodes_[i].steps)
                if (earlier.before)
                    return false; // one value on the way can be stored
            step.before = value;
        }
        if (!wanted(nodes_[i], nodes_[at]))
            return false;
        nodes_[i].out.push_back(step.result);
        if (step.operand)
            nodes_[i].in.push_back(step.operand);
        nodes_[i].steps.push_back(step);
        gone_[at] = true;
        return true;
    }
    // One decision for each pair of operations and shape of the result.
    bool wanted(const Node& node, const Node& step) const {
        return !lowering_ || lowering_->decide(concat_text("fuse ", node.op, "+", step.op),
                                               to_text(tensors_[step.out[0].id].shape), {"on", "off"}) == 0;
    }
    // Whether the step of node j on `value` can be done where node i computes the value.
    bool movable(size_t i, size_t j, Tensor value, const Step& step) const {
        for (size_t between = i; between < j; between++) {
            if (gone_[between] || !nodes_[between].lower) // gone, or only another shape of what there is
                continue;
            const Node& node = nodes_[between];
            if (between > i && names(node.out, value)) // a node that works in place
                return false;
            if (step.operand && names(node.out, step.operand))
                return false;
            if (names(node.out, step.result) || names(node.in, step.result))
                return false;
        }
        return true;
    }

    const std::vector<TensorInfo>& tensors_;
    std::vector<Node> nodes_;
    std::vector<bool> gone_;
    Lowering* lowering_;
};

} // namespace

std::vector<Node> fuse_nodes(const Graph& graph, Lowering* lowering, DType precision) {
    return Fuser(graph, is_16_bit(precision) ? nullptr : lowering).run();
}

} // namespace vkvae
