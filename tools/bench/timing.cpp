// Time of one execution: that of a submission of many, divided by their number.
#include <algorithm>
#include <chrono>

#include "bench/workload.hpp"

namespace vkvae {
namespace {

struct Seconds {
    double device, host;
};

Seconds seconds_of(const Prepared& work, uint32_t n) {
    auto start = std::chrono::steady_clock::now();
    double device = work.run(n);
    double host = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return {device > 0 ? device : host, host};
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + long(values.size() / 2), values.end());
    return values[values.size() / 2];
}

} // namespace

Timing time_ms(const Prepared& work) {
    constexpr double kLong = 0.1, kShort = 0.05; // seconds: long beside the cost of a submission, far from watchdogs
    constexpr double kEnough = 1;                // seconds for one workload
    constexpr double kSlow = 10;                 // seconds of one execution that say enough
    seconds_of(work, 1);                         // compiles
    uint32_t n = 1;
    Seconds seconds = seconds_of(work, n);
    if (seconds.host > kSlow)
        return {1e3 * seconds.device / work.executions, 1e3 * seconds.host / work.executions};
    for (; seconds.host < kShort && n < work.most; seconds = seconds_of(work, n)) {
        double wanted = kLong / std::max(seconds.host / n, 1e-9);
        n = uint32_t(std::clamp(wanted, n + 1.0, std::min(n * 8.0, double(work.most))));
    }
    std::vector<double> device, host;
    for (double total = 0; host.size() < 3 || (host.size() < 11 && total < kEnough); total += host.back()) {
        seconds = seconds_of(work, n);
        device.push_back(seconds.device);
        host.push_back(seconds.host);
    }
    double one = 1e3 / n / work.executions;
    return {one * median(device), one * median(host)};
}

} // namespace vkvae
