// Choosing kernels by measurement, in the plan that they are for: with its barriers, its neighbours and its data.
//
// Round i builds the plan with candidate i of every product and takes each one's time from the profile. What counts in
// the end is the whole plan: if the choice does not make that faster, there is none.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>

#include "io/file.hpp"
#include "vkvae/graph.hpp"

namespace vkvae {
namespace {

constexpr double kGain = 0.97; // a candidate has to be faster by 3 %, or noise decides

using Times = std::map<std::string, double>;

void keep_fastest(Times& best, const Times& times) {
    for (const auto& [product, ms] : times) {
        auto [entry, fresh] = best.try_emplace(product, ms);
        entry->second = std::min(entry->second, ms);
    }
}

struct Round {
    std::vector<std::vector<float>> results;
    Times product_ms;
    double plan_ms = std::numeric_limits<double>::infinity();
    std::map<std::string, std::vector<std::string>> choices;
};

Round run_round(Device& device, const Graph& graph, const TuneOptions& o, const Tuning& tuning) {
    Plan plan(device, graph, {.precision = o.precision, .tuning = &tuning});
    if (o.bind)
        o.bind(plan);
    Round round;
    round.choices = plan.choices();
    plan.run(o.params); // compiles
    for (Tensor t : o.results)
        round.results.push_back(plan.read(t));
    for (int i = 0; i < o.repeats; i++) {
        plan.submit({&o.params, 1}, true);
        keep_fastest(round.product_ms, plan.product_ms());
        plan.run(o.params);
        round.plan_ms = std::min(round.plan_ms, 1e3 * plan.gpu_seconds());
    }
    return round;
}

// Whether every result is that of the first round, to the rounding of another compilation: relative, in L2.
bool same(const Round& first, const Round& other, double bound) {
    for (size_t r = 0; r < first.results.size(); r++) {
        double squares = 0, errors = 0;
        for (size_t i = 0; i < first.results[r].size(); i++) {
            double a = first.results[r][i], b = other.results[r][i];
            squares += a * a;
            errors += (a - b) * (a - b);
        }
        if (!(errors <= bound * bound * squares)) // and so for NaN
            return false;
    }
    return true;
}

} // namespace

TuneReport tune(Device& device, const Graph& graph, const TuneOptions& o) {
    require(o.candidates >= 1 && o.repeats >= 1, "tune: ", o.candidates, " candidates, ", o.repeats, " repeats");
    auto start = std::chrono::steady_clock::now();
    TuneReport report;
    if (!device.caps().timestamps)
        return report;
    Round first = run_round(device, graph, o, {});
    report.before_ms = report.after_ms = first.plan_ms;
    for (const auto& [product, kernels] : first.choices)
        report.tuning[product] = kernels.front();
    // A round whose results count, or nothing.
    auto attempt = [&](const Tuning& tuning) -> std::optional<Round> {
        try {
            Round round = run_round(device, graph, o, tuning);
            if (same(first, round, is_16_bit(o.precision) ? 1e-3 : 1e-5))
                return round;
        } catch (const Error&) { // a driver that cannot compile it, or has no memory for it
        }
        report.refused++;
        return {};
    };

    Times best = first.product_ms;
    Tuning faster;
    for (size_t i = 1; i < o.candidates; i++) {
        std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        Tuning candidates;
        for (const auto& [product, kernels] : first.choices)
            if (i < kernels.size())
                candidates[product] = kernels[i];
        if (candidates.empty() || spent.count() > o.seconds)
            break;
        std::optional<Round> round = attempt(candidates);
        for (const auto& [product, kernel] : candidates) {
            if (!round || round->product_ms.count(product) == 0)
                continue;
            double ms = round->product_ms[product];
            if (ms < kGain * best[product]) {
                best[product] = ms;
                faster[product] = kernel;
            }
        }
    }
    if (faster.empty())
        return report;
    std::optional<Round> chosen = attempt(faster);
    // Once more without: a device that was cold, or busy, at first must not decide.
    double before = std::min(first.plan_ms, run_round(device, graph, o, {}).plan_ms);
    report.before_ms = report.after_ms = before;
    if (!chosen || chosen->plan_ms > kGain * before)
        return report;
    for (const auto& [product, kernel] : faster)
        report.tuning[product] = kernel;
    report.changed = faster.size();
    report.after_ms = chosen->plan_ms;
    return report;
}

// ---- the file: a line for the version (of the choices that there are) and driver, then product, tab, kernel --------

namespace {

constexpr uint64_t kLargestFile = 4 << 20;

std::filesystem::path tuning_file(const Device& device) {
    return std::filesystem::path(device.cache_file()).replace_extension(".tuning"); // beside the pipeline cache
}

std::string first_line(const Caps& caps) {
    return concat_text("vkvae tuning 2, ", caps.name, ", ", caps.driver, ", ", caps.driver_version);
}

} // namespace

Tuning load_tuning(const Device& device) {
    Tuning tuning;
    std::error_code ignored;
    std::filesystem::path file = tuning_file(device);
    if (device.cache_file().empty() || !std::filesystem::is_regular_file(file, ignored))
        return tuning;
    try {
        std::vector<std::byte> bytes = read_file(file, kLargestFile);
        std::istringstream lines(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
        std::string line;
        if (!std::getline(lines, line) || line != first_line(device.caps()))
            return tuning; // another driver's, or no such file at all
        while (std::getline(lines, line)) {
            size_t tab = line.find('\t');
            if (tab == std::string::npos)
                return {};
            tuning[line.substr(0, tab)] = line.substr(tab + 1);
        }
    } catch (const Error&) { // a cache that cannot be read is no cache
        return {};
    }
    return tuning;
}

void store_tuning(const Device& device, const Tuning& tuning) {
    std::filesystem::path file = tuning_file(device);
    if (device.cache_file().empty() || tuning.empty())
        return;
    Tuning all = load_tuning(device);
    for (const auto& [product, kernel] : tuning)
        all[product] = kernel;
    std::string text = first_line(device.caps()) + "\n";
    for (const auto& [product, kernel] : all)
        text += product + "\t" + kernel + "\n";
    std::error_code ignored; // if there is no directory then, writing says so
    std::filesystem::create_directories(file.parent_path(), ignored);
    write_file_atomic(file, text);
}

} // namespace vkvae
