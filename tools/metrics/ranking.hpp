// How well scores tell anomalies from the rest, and a threshold for them.
#pragma once

#include <cstdint>
#include <span>

namespace vkvae {

// Larger scores mean more anomalous; positive[i] is 1 for an anomaly. Errors: Status::data if there are not both kinds,
// or a score is not a number.
//
// Area under the ROC curve: the chance that an anomaly scores above one of the others, ties counting half (Fawcett
// 2006, "An introduction to ROC analysis").
double auroc(std::span<const double> scores, std::span<const uint8_t> positive);
// Average precision: the sum over falling thresholds of (recall gained) x (precision there). Equal scores pass a
// threshold together. Scores that say nothing get the share of anomalies.
double average_precision(std::span<const double> scores, std::span<const uint8_t> positive);

// The smallest of the scores that at least the fraction q of them do not exceed: of clean samples, at most 1 - q are
// above.
double quantile(std::span<const double> scores, double q);

} // namespace vkvae
