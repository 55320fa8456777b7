// Fusion: elementwise nodes move into the node that computes their input.
#pragma once

#include "vkvae/graph.hpp"

namespace vkvae {

// The graph's nodes, where every node that takes steps has taken those that it can. What the nodes compute is the same,
// the order of the others too. With a Lowering, its Tuning may decide that some stay apart; but not in 16 bits, where
// each value that is stored on the way is rounded once more.
std::vector<Node> fuse_nodes(const Graph& graph, Lowering* lowering = nullptr, DType precision = DType::f32);

} // namespace vkvae
