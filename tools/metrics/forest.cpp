// Trees grow depth first. At a node each feature's values are sorted, and one sweep moves sample after sample from the
// right to the left: a step changes two of the sums of squares that Gini's impurity is made of.
//
//   impurity of weights w_c with the sum W:  1 - sum_c w_c^2 / W^2
//   a split's decrease, times W:             sum_c l_c^2 / L + sum_c r_c^2 / R - sum_c w_c^2 / W
#include "metrics/forest.hpp"

#include <algorithm>

#include "ops/philox.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

// The weights of a set's classes, and what impurity needs of them.
struct Histogram {
    std::vector<double> weights;
    double sum = 0, squares = 0;
    explicit Histogram(uint32_t classes) : weights(classes, 0.0) {}
    void add(uint32_t c, double weight) {
        squares += weight * (2 * weights[c] + weight);
        weights[c] += weight;
        sum += weight;
    }
    double purity() const { return sum > 0 ? squares / sum : 0; }
};

struct Split {
    double gain = 0;
    size_t feature = 0;
    float threshold = 0;
};

struct Grower {
    const Samples& samples;
    const TreeOptions& options;
    std::vector<double> class_weight; // (class_count)
    double total = 0;
    Tree tree;
    std::vector<std::pair<float, uint32_t>> sorted; // (value, class) of a node's rows

    float value(uint32_t row, size_t feature) const { return samples.values[row * samples.width + feature]; }

    // The best threshold of one feature; a later one has to be better, so that ties go to the first.
    void try_feature(std::span<const uint32_t> rows, size_t feature, const Histogram& all, Split& best) {
        sorted.clear();
        for (uint32_t row : rows)
            sorted.emplace_back(value(row, feature), samples.classes[row]);
        std::sort(sorted.begin(), sorted.end());
        Histogram left(samples.class_count), right = all;
        for (size_t i = 0; i + 1 < sorted.size(); i++) {
            double weight = class_weight[sorted[i].second];
            left.add(sorted[i].second, weight);
            right.add(sorted[i].second, -weight);
            float here = sorted[i].first, next = sorted[i + 1].first;
            if (here == next || i + 1 < options.least_leaf || sorted.size() - i - 1 < options.least_leaf)
                continue;
            double gain = left.purity() + right.purity() - all.purity();
            float middle = float((double(here) + next) / 2); // which may round to `next`
            if (gain > best.gain + 1e-12 * total)
                best = {gain, feature, middle < next ? middle : here};
        }
    }

    uint32_t grow(std::span<uint32_t> rows, int depth) {
        uint32_t index = uint32_t(tree.nodes.size());
        tree.nodes.emplace_back();
        Histogram all(samples.class_count);
        for (uint32_t row : rows)
            all.add(samples.classes[row], class_weight[samples.classes[row]]);
        tree.nodes[index].leaf_class =
            uint32_t(std::max_element(all.weights.begin(), all.weights.end()) - all.weights.begin());
        Split best;
        if (depth < options.depth)
            for (size_t feature : samples.features)
                try_feature(rows, feature, all, best);
        if (best.gain <= 0)
            return index;
        tree.importance[best.feature] += best.gain / total;
        auto middle = std::partition(rows.begin(), rows.end(),
                                     [&](uint32_t row) { return value(row, best.feature) <= best.threshold; });
        size_t count = size_t(middle - rows.begin());
        uint32_t left = grow(rows.first(count), depth + 1), right = grow(rows.subspan(count), depth + 1);
        TreeNode& node = tree.nodes[index];
        node.feature = best.feature;
        node.threshold = best.threshold;
        node.left = left;
        node.right = right;
        return index;
    }
};

} // namespace

Tree grow_tree(const Samples& samples, std::vector<uint32_t> rows, const TreeOptions& options) {
    require(!rows.empty() && samples.class_count > 0 && options.least_leaf > 0, "a tree on ", rows.size(), " rows of ",
            samples.class_count, " classes");
    std::vector<double> weights(samples.class_count, 1.0);
    if (options.balanced) {
        std::vector<double> counts(samples.class_count, 0.0);
        for (uint32_t row : rows)
            counts[samples.classes[row]]++;
        for (size_t c = 0; c < weights.size(); c++)
            weights[c] = counts[c] > 0 ? double(rows.size()) / counts[c] : 0;
    }
    Grower grower = {samples, options, weights, 0, {}, {}};
    for (uint32_t row : rows)
        grower.total += weights[samples.classes[row]];
    grower.tree.importance.assign(samples.width, 0.0);
    grower.grow(rows, 0);
    return std::move(grower.tree);
}

uint32_t predict(const Tree& tree, const float* row) {
    const TreeNode* node = &tree.nodes[0];
    while (node->left != 0)
        node = &tree.nodes[row[node->feature] <= node->threshold ? node->left : node->right];
    return node->leaf_class;
}

std::vector<Tree> grow_bag(const Samples& samples, std::span<const uint32_t> rows, int trees, uint64_t seed,
                           const TreeOptions& options) {
    std::vector<Tree> bag;
    for (int t = 0; t < trees; t++) {
        std::vector<uint32_t> drawn(rows.size());
        for (size_t i = 0; i < drawn.size(); i++)
            drawn[i] = rows[random_below(seed, Stream::shuffle, uint32_t(t), uint32_t(i), uint32_t(rows.size()))];
        bag.push_back(grow_tree(samples, std::move(drawn), options));
    }
    return bag;
}

uint32_t predict(std::span<const Tree> bag, const float* row, uint32_t class_count) {
    std::vector<int> votes(class_count, 0);
    for (const Tree& tree : bag)
        votes[predict(tree, row)]++;
    return uint32_t(std::max_element(votes.begin(), votes.end()) - votes.begin());
}

} // namespace vkvae
