// Fusion: elementwise nodes move into the node that computes their input.
#pragma once

#include "vkvae/graph.hpp"

namespace vkvae {

// The graph's nodes, where every node that takes steps has taken those that it can. What the nodes compute is the same,
// the order of the others too.
std::vector<Node> fuse_nodes(const Graph& graph);

} // namespace vkvae
