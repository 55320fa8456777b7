// Time of one execution: wall time of a submission of many, divided by their number.
#include <algorithm>
#include <chrono>

#include "bench/workload.hpp"

namespace vkvae {
namespace {

double seconds_of(const Prepared& work, uint32_t n) {
    auto start = std::chrono::steady_clock::now();
    work.run(n);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

double time_ms(const Prepared& work) {
    constexpr double kLong = 0.1, kShort = 0.05; // seconds: long beside the cost of a submission, far from watchdogs
    constexpr double kEnough = 1;                // seconds for one workload
    constexpr double kSlow = 10;                 // seconds of one execution that say enough
    seconds_of(work, 1);                         // compiles
    uint32_t n = 1;
    double seconds = seconds_of(work, n);
    if (seconds > kSlow)
        return 1e3 * seconds / work.executions;
    for (; seconds < kShort && n < work.most; seconds = seconds_of(work, n)) {
        double wanted = kLong / std::max(seconds / n, 1e-9);
        n = uint32_t(std::clamp(wanted, n + 1.0, std::min(n * 8.0, double(work.most))));
    }
    std::vector<double> times;
    for (double total = 0; times.size() < 3 || (times.size() < 11 && total < kEnough); total += times.back())
        times.push_back(seconds_of(work, n));
    std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
    return 1e3 * times[times.size() / 2] / n / work.executions;
}

} // namespace vkvae
