// Choosing by measurement, in the plan that the choice is for: with its barriers, its neighbours and its data.
//
// Kernels of products: round i builds the plan with candidate i of every product and takes each one's time from the
// profile; all that were faster have to make the whole plan faster, or there is none. Decisions (fusions, slices of a
// sum) move work between kernels, so nothing but the whole plan's time tells. First all of a family change together,
// then, if there is time for that, one by one.
//
// Two plans are timed alternately, each built anew as there may be no memory for both: a device that was cold, or busy,
// must not decide.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>

#include "io/file.hpp"
#include "vkvae/graph.hpp"

namespace vkvae {
namespace {

using Clock = std::chrono::steady_clock;
using Times = std::map<std::string, double>;

constexpr double kGain = 0.97; // a candidate has to be faster by 3 %, or noise decides
constexpr double kTimed = 0.1; // seconds of runs at least: a single short one says little
constexpr double kNever = std::numeric_limits<double>::infinity();

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Tuner {
  public:
    Tuner(Device& device, const Graph& graph, const TuneOptions& options)
        : device_(device), graph_(graph), o_(options), start_(Clock::now()) {}
    TuneReport run();

  private:
    struct Pair {
        double candidate = kNever, other = kNever; // ms
    };
    std::unique_ptr<Plan> build(const Tuning& tuning);
    std::vector<std::vector<float>> results(Plan& plan);
    bool right(Plan& plan);
    double plan_ms(Plan& plan);
    Times product_ms(Plan& plan);
    Pair compare(const Tuning& candidate, const Tuning& other);
    Times try_products(const Tuning& candidate);
    bool try_whole(const Tuning& changes);
    void choose_kernels(const Choices& choices, Times best);
    void decide(const Choices& family);
    bool in_time() const { return seconds_since(start_) < o_.seconds; }

    Device& device_;
    const Graph& graph_;
    const TuneOptions& o_;
    Clock::time_point start_;
    std::vector<std::vector<float>> expected_; // of the plan without a tuning
    Tuning tuning_;                            // the best so far
    Pair last_;                                // what made it the best
    size_t steps_ = 0;                         // how often it has become faster
    TuneReport report_;
};

// A plan that has run once, and so is compiled.
std::unique_ptr<Plan> Tuner::build(const Tuning& tuning) {
    auto plan = std::make_unique<Plan>(device_, graph_, PlanOptions{.precision = o_.precision, .tuning = &tuning});
    if (o_.bind)
        o_.bind(*plan);
    plan->run(o_.params);
    return plan;
}

std::vector<std::vector<float>> Tuner::results(Plan& plan) {
    std::vector<std::vector<float>> all;
    for (Tensor t : o_.results)
        all.push_back(plan.read(t));
    return all;
}

// Whether every result is the expected one, to the rounding of another compilation and order: relative, in L2.
bool Tuner::right(Plan& plan) {
    double bound = is_16_bit(o_.precision) ? 1e-3 : 1e-5;
    std::vector<std::vector<float>> got = results(plan);
    for (size_t r = 0; r < got.size(); r++) {
        double squares = 0, errors = 0;
        for (size_t i = 0; i < got[r].size(); i++) {
            double a = expected_[r][i], b = got[r][i];
            squares += a * a;
            errors += (a - b) * (a - b);
        }
        if (!(errors <= bound * bound * squares)) // and so for NaN
            return false;
    }
    return true;
}

// By the device's clock; by the host's if it has none.
double Tuner::plan_ms(Plan& plan) {
    double best = kNever;
    Clock::time_point begin = Clock::now();
    for (int i = 0; i < o_.repeats || seconds_since(begin) < kTimed; i++) {
        Clock::time_point start = Clock::now();
        plan.run(o_.params);
        double host = seconds_since(start), device = plan.gpu_seconds();
        best = std::min(best, 1e3 * (device > 0 ? device : host));
    }
    return best;
}

Times Tuner::product_ms(Plan& plan) {
    Times best;
    for (int i = 0; i < o_.repeats; i++) {
        plan.submit({&o_.params, 1}, true);
        for (const auto& [product, ms] : plan.product_ms()) {
            auto [entry, fresh] = best.try_emplace(product, ms);
            entry->second = std::min(entry->second, ms);
        }
    }
    return best;
}

// Three times each, unless the candidate is no faster before.
Tuner::Pair Tuner::compare(const Tuning& candidate, const Tuning& other) {
    Pair ms;
    for (int round = 0; round < 3 && (round == 0 || ms.candidate < ms.other); round++) {
        std::unique_ptr<Plan> plan = build(candidate);
        if (round == 0 && !right(*plan))
            fail(Status::runtime, "other results");
        ms.candidate = std::min(ms.candidate, plan_ms(*plan));
        plan.reset();
        ms.other = std::min(ms.other, plan_ms(*build(other)));
    }
    return ms;
}

// The products' own times with this tuning; none if it is refused.
Times Tuner::try_products(const Tuning& candidate) {
    try {
        std::unique_ptr<Plan> plan = build(candidate);
        if (right(*plan))
            return product_ms(*plan);
    } catch (const Error&) { // a driver that cannot compile it, or has no memory for it
    }
    report_.refused++;
    return {};
}

// Keeps the changes if the plan is faster with them.
bool Tuner::try_whole(const Tuning& changes) {
    Tuning candidate = changes;
    candidate.insert(tuning_.begin(), tuning_.end()); // what is not changed
    try {
        Pair ms = compare(candidate, tuning_);
        if (!(ms.candidate < kGain * ms.other))
            return false;
        tuning_ = candidate;
        last_ = ms;
        steps_++;
        return true;
    } catch (const Error&) {
        report_.refused++;
        return false;
    }
}

void Tuner::choose_kernels(const Choices& choices, Times best) {
    Tuning faster;
    for (size_t i = 1; i < o_.candidates && in_time(); i++) {
        Tuning candidates;
        for (const auto& [product, kernels] : choices)
            if (i < kernels.size() && best.count(product) > 0)
                candidates[product] = kernels[i];
        if (candidates.empty())
            break;
        for (const auto& [product, ms] : try_products(candidates))
            if (candidates.count(product) > 0 && ms < kGain * best[product]) {
                best[product] = ms;
                faster[product] = candidates[product];
            }
    }
    if (!faster.empty())
        try_whole(faster);
}

void Tuner::decide(const Choices& family) {
    for (size_t i = 1; i < o_.candidates && in_time(); i++) {
        Tuning changes;
        for (const auto& [name, options] : family)
            if (i < options.size())
                changes[name] = options[i];
        if (changes.empty())
            break;
        if (try_whole(changes) || !o_.one_by_one || changes.size() == 1)
            continue;
        for (const auto& [name, option] : changes)
            if (in_time())
                try_whole({{name, option}});
    }
}

TuneReport Tuner::run() {
    std::unique_ptr<Plan> first = build({});
    expected_ = results(*first);
    Choices kernels = first->choices(), all = kernels;
    std::vector<Choices> families;
    for (const auto& [family, decisions] : first->decisions()) {
        families.emplace_back();
        for (const auto& [what, options] : decisions)
            all[family + " " + what] = families.back()[family + " " + what] = options;
    }
    if (all.empty())
        return report_;
    report_.before_ms = report_.after_ms = plan_ms(*first);
    Times own = product_ms(*first);
    first.reset();
    choose_kernels(kernels, own);
    for (const Choices& family : families)
        decide(family);

    if (steps_ > 1) { // each against the one before: now all against none
        Tuning best = std::exchange(tuning_, {});
        try_whole(best);
    }
    if (!tuning_.empty()) {
        report_.before_ms = last_.other;
        report_.after_ms = last_.candidate;
    }
    for (const auto& [name, options] : all) {
        auto chosen = tuning_.find(name);
        report_.tuning[name] = chosen == tuning_.end() ? options.front() : chosen->second;
        report_.changed += report_.tuning[name] != options.front();
    }
    report_.seconds = seconds_since(start_);
    return report_;
}

} // namespace

TuneReport tune(Device& device, const Graph& graph, const TuneOptions& o) {
    require(o.candidates >= 1 && o.repeats >= 1, "tune: ", o.candidates, " candidates, ", o.repeats, " repeats");
    return Tuner(device, graph, o).run();
}

std::string tuning_key(const Device& device) {
    const Caps& caps = device.caps();
    return concat_text("vkvae tuning 3, ", caps.name, ", ", caps.driver, ", ", caps.driver_version);
}

// ---- the file: tuning_key() in the first line, then name, tab, choice ----------------------------------------------

namespace {

constexpr uint64_t kLargestFile = 4 << 20;

std::filesystem::path tuning_file(const Device& device) {
    return std::filesystem::path(device.cache_file()).replace_extension(".tuning"); // beside the pipeline cache
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
        if (!std::getline(lines, line) || line != tuning_key(device))
            return tuning; // another version's or driver's, or no such file at all
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
    for (const auto& [name, choice] : tuning)
        all[name] = choice;
    std::string text = tuning_key(device) + "\n";
    for (const auto& [name, choice] : all)
        text += name + "\t" + choice + "\n";
    std::error_code ignored; // if there is no directory then, writing says so
    std::filesystem::create_directories(file.parent_path(), ignored);
    write_file_atomic(file, text);
}

} // namespace vkvae
