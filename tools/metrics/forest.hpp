// Classification trees on a few numbers, and bags of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vkvae {

struct TreeOptions {
    int depth = 12;
    size_t least_leaf = 4;
    bool balanced = false; // all classes weigh the same, whatever their share
};

// Samples of `width` numbers, of which the trees see `features`.
struct Samples {
    std::span<const float> values; // (N, width)
    size_t width = 0;
    std::span<const size_t> features;
    std::span<const uint32_t> classes; // (N)
    uint32_t class_count = 0;
};

struct TreeNode {
    size_t feature = 0;
    float threshold = 0;          // values up to it go to the left
    uint32_t left = 0, right = 0; // of the tree; a leaf has none
    uint32_t leaf_class = 0;      // the heaviest; of equal ones the first
};

struct Tree {
    std::vector<TreeNode> nodes;    // the root is the first
    std::vector<double> importance; // (width): the decrease of impurity, weighed by the share of the samples
};

// Grows a tree on these rows (perhaps with repetitions) by the best split at each node, which is the largest decrease
// of Gini's impurity 1 - sum_c p_c^2. Breiman, Friedman, Olshen and Stone 1984. Time: features x rows log rows x depth.
Tree grow_tree(const Samples& samples, std::vector<uint32_t> rows, const TreeOptions& options);
uint32_t predict(const Tree& tree, const float* row);

// Trees on as many rows each as there are, drawn with replacement: bagging, Breiman 1996.
std::vector<Tree> grow_bag(const Samples& samples, std::span<const uint32_t> rows, int trees, uint64_t seed,
                           const TreeOptions& options);
uint32_t predict(std::span<const Tree> bag, const float* row, uint32_t class_count); // by majority

} // namespace vkvae
