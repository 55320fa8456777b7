// AUROC by ranks, average precision, quantiles.
//
//   AUROC = (sum of the ranks of the positives - P (P + 1) / 2) / (P N),  equal scores sharing the mean of their ranks
//   AP    = sum_t (R_t - R_(t-1)) precision_t,  t over the distinct scores, falling
#include "metrics/ranking.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "vkvae/error.hpp"

namespace vkvae {
namespace {

// Indices by falling score.
std::vector<size_t> ranked(std::span<const double> scores, std::span<const uint8_t> positive, double& positives) {
    require(scores.size() == positive.size(), scores.size(), " scores and ", positive.size(), " labels");
    positives = 0;
    for (size_t i = 0; i < scores.size(); i++) {
        require_data(!std::isnan(scores[i]), "the score of sample ", i, " is not a number");
        positives += positive[i] != 0;
    }
    require_data(positives > 0 && positives < double(scores.size()), "a ranking is judged by samples of both kinds; ",
                 positives, " of ", scores.size(), " are anomalies");
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    return order;
}

// Calls group(positives, size) for each run of equal scores.
template <class Group>
void each_tie(const std::vector<size_t>& order, std::span<const double> scores, std::span<const uint8_t> positive,
              Group group) {
    for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        double hits = 0;
        for (end = begin; end < order.size() && scores[order[end]] == scores[order[begin]]; end++)
            hits += positive[order[end]] != 0;
        group(hits, double(end - begin));
    }
}

} // namespace

double auroc(std::span<const double> scores, std::span<const uint8_t> positive) {
    double positives = 0;
    std::vector<size_t> order = ranked(scores, positive, positives);
    double pairs = 0, above = 0; // anomalies above the group at hand
    each_tie(order, scores, positive, [&](double hits, double size) {
        pairs += (size - hits) * (above + hits / 2);
        above += hits;
    });
    return pairs / (positives * (double(scores.size()) - positives));
}

double average_precision(std::span<const double> scores, std::span<const uint8_t> positive) {
    double positives = 0;
    std::vector<size_t> order = ranked(scores, positive, positives);
    double sum = 0, found = 0, seen = 0;
    each_tie(order, scores, positive, [&](double hits, double size) {
        found += hits;
        seen += size;
        sum += hits * found / seen;
    });
    return sum / positives;
}

double quantile(std::span<const double> scores, double q) {
    require(!scores.empty() && q > 0 && q <= 1, "the quantile ", q, " of ", scores.size(), " scores");
    std::vector<double> sorted(scores.begin(), scores.end());
    for (double score : sorted)
        require_data(!std::isnan(score), "a score is not a number");
    // q n may be a whole number that rounding has put just above itself.
    size_t rank = size_t(std::max(1.0, std::ceil(q * double(sorted.size()) - 1e-9)));
    std::nth_element(sorted.begin(), sorted.begin() + ptrdiff_t(rank - 1), sorted.end());
    return sorted[rank - 1];
}

} // namespace vkvae
