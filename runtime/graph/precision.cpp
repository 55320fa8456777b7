// Mixed precision as a matter of storage: kernels compute in f32 whatever they read, so a tensor can be rounded to 16 bits
// wherever the kernel that writes it and all that read it can do so. Sums, statistics, losses and what is read outside of
// the plan stay f32, as no kernel of theirs takes anything else.
#include "graph/precision.hpp"

#include <algorithm>

namespace vkvae {
namespace {

// Rows of whole fours, so that nobody stores half a word; and of more than 16 numbers, as products of fewer columns have
// kernels that store one at a time.
bool suits(const Shape& shape) { return !shape.empty() && shape.back() % 4 == 0 && shape.back() > 16; }

bool takes(const Node& node, Tensor t) {
    return node.takes_16_bit && std::find(node.wide.begin(), node.wide.end(), t) == node.wide.end();
}

} // namespace

void choose_types(std::span<const Node> nodes, std::vector<TensorInfo>& tensors, DType precision) {
    require(precision == DType::f32 || is_16_bit(precision), "a plan's precision is f32, f16 or bf16");
    std::vector<bool> can(tensors.size(), is_16_bit(precision)); // by storage
    for (const TensorInfo& t : tensors) {
        const TensorInfo& storage = tensors[t.storage.id];
        bool whole = t.offset == 0 && element_count(t.shape) == element_count(storage.shape);
        if (t.external || t.keep || storage.keep || t.constant || t.type != DType::f32 || !whole || !suits(t.shape))
            can[t.storage.id] = false;
    }
    // A step may give its result another shape than the product has that stores it: the rows are the product's.
    for (const Node& node : nodes)
        if (!node.steps.empty() && !suits(tensors[node.out[0].id].shape))
            for (Tensor t : node.out)
                can[tensors[t.id].storage.id] = false;
    for (const Node& node : nodes)
        for (const std::vector<Tensor>& side : {node.in, node.out})
            for (Tensor t : side) {
                if (!node.lower || takes(node, t)) // a node without kernels only names what it shows in another shape
                    continue;
                require(!is_16_bit(tensors[t.id].type), "op ", node.op, " takes no ", type_name(tensors[t.id].type),
                        ", which '", tensors[t.id].name, "' is");
                can[tensors[t.id].storage.id] = false;
            }
    for (TensorInfo& t : tensors)
        if (can[t.storage.id])
            t.type = precision;
}

} // namespace vkvae
