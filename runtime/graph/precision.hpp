// Which tensors are stored in 16 bits.
#pragma once

#include "vkvae/graph.hpp"

namespace vkvae {

// Makes intermediate tensors f16 or bf16 where all nodes that touch them take that. `tensors` are the graph's.
// Errors: an input of 16 bits that a node does not take.
void choose_types(std::span<const Node> nodes, std::vector<TensorInfo>& tensors, DType precision);

} // namespace vkvae
