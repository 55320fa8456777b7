// Which charts a run gets, and which of its numbers go into them.
#include "report/curves.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "report/html.hpp"
#include "report/scatter.hpp"
#include "report/svg.hpp"

namespace vkvae {
namespace {

constexpr const char* kNats = "nats per image";
constexpr std::size_t kMostSplits = 3;
constexpr std::size_t kMostKernels = 14;
constexpr std::size_t kMostDimLines = 64; // more lines are a solid area
constexpr std::size_t kMostDimTimes = 120;

bool missing(double value) {
    return std::isnan(value);
} // a value that is there but not finite is infinite

template <class Record, class Value> std::vector<Point> points_of(const std::vector<Record>& records, Value value) {
    std::vector<Point> points;
    for (const Record& record : records)
        if (const double y = value(record); !missing(y))
            points.push_back({record.step, y});
    return points;
}

template <class Value> Series train_series(const RunData& run, Value value) {
    return {.name = "train", .ink = "train", .points = points_of(run.train, value), .noisy = true};
}

// The splits by name, the main one first, so that it has the same colour in every report.
std::vector<std::string> splits_of(const RunData& run) {
    std::vector<std::string> splits;
    if (!run.evals.empty())
        splits.push_back(main_split(run));
    for (const EvalRecord& eval : run.evals)
        if (std::find(splits.begin(), splits.end(), eval.split) == splits.end() && splits.size() < kMostSplits)
            splits.push_back(eval.split);
    return splits;
}

template <class Value> void add_eval_series(const RunData& run, LineChart& chart, Value value) {
    constexpr std::array<const char*, kMostSplits> kInks = {"test", "valid", "rank2"};
    const std::vector<std::string> splits = splits_of(run);
    for (std::size_t i = 0; i < splits.size(); ++i) {
        std::vector<EvalRecord> evals;
        for (const EvalRecord& eval : run.evals)
            if (eval.split == splits[i])
                evals.push_back(eval);
        // "train" is the name of the running average already in the chart; an evaluation of it is another thing
        const std::string name = splits[i] == "train" ? "train, evaluated" : splits[i];
        std::vector<Point> points = points_of(evals, value);
        if (!points.empty())
            chart.series.push_back({.name = name, .ink = kInks[i], .points = std::move(points), .dots = true});
    }
}

bool has_beta(const RunData& run) {
    return std::any_of(run.train.begin(), run.train.end(), [](const TrainRecord& record) {
        return std::isfinite(record.beta) && std::fabs(record.beta - 1) > 1e-6;
    });
}

bool has_codes(const RunData& run) {
    return std::any_of(run.train.begin(), run.train.end(),
                       [](const TrainRecord& record) { return std::isfinite(record.perplexity); });
}

template <class Value> bool varies(const RunData& run, Value value) {
    double first = kMissing;
    for (const TrainRecord& record : run.train) {
        if (!std::isfinite(value(record)))
            continue;
        if (missing(first))
            first = value(record);
        else if (value(record) != first)
            return true;
    }
    return false;
}

// How much of the largest: collapsed dimensions are grey, the busiest ones dark.
std::string rank_ink(double kl, double largest) {
    const double share = kl / largest;
    return share > 0.6 ? "rank0" : share > 0.35 ? "rank1" : share > 0.15 ? "rank2" : share > 0.03 ? "rank3" : "rank4";
}

struct RankedDim {
    std::size_t dim = 0;
    double kl = 0.0;
};

std::vector<RankedDim> rank_dims(const std::vector<double>& kl_dims) {
    std::vector<RankedDim> ranked;
    for (std::size_t i = 0; i < kl_dims.size(); ++i)
        ranked.push_back({i, std::isfinite(kl_dims[i]) ? std::max(kl_dims[i], 0.0) : 0.0});
    std::stable_sort(ranked.begin(), ranked.end(), [](RankedDim a, RankedDim b) { return a.kl > b.kl; });
    return ranked;
}

std::string draw_dim_bars(const EvalRecord& eval, const std::vector<RankedDim>& ranked) {
    BarChart chart{.id = "kl-dims",
                   .title = "KL by latent dimension",
                   .unit = "nats, " + eval.split + ", sorted",
                   .bars = {},
                   .note = {}};
    double sum = 0.0;
    for (const RankedDim& entry : ranked) {
        chart.bars.push_back({.label = std::to_string(entry.dim),
                              .value = entry.kl,
                              .text = format_number(entry.kl, 3) + " nats",
                              .ink = rank_ink(entry.kl, ranked.front().kl)});
        sum += entry.kl;
    }
    std::size_t carrying = 0;
    for (double part = 0.0; carrying < ranked.size() && part < 0.9 * sum; ++carrying)
        part += ranked[carrying].kl;
    chart.note = "At step " + format_count(eval.step) + ", " + format_count(static_cast<double>(carrying)) + " of " +
                 format_count(static_cast<double>(ranked.size())) + " dimensions carry 90 % of the KL.";
    return draw_bar_columns(chart);
}

std::string draw_dim_lines(const RunData& run, const std::vector<RankedDim>& ranked) {
    std::vector<const EvalRecord*> evals;
    const std::string split = main_split(run);
    for (const EvalRecord& eval : run.evals)
        if (eval.split == split && eval.kl_dims.size() == ranked.size())
            evals.push_back(&eval);
    if (evals.size() < 2)
        return {};
    const std::size_t times = std::min(evals.size(), kMostDimTimes);
    const std::size_t lines = std::min(ranked.size(), kMostDimLines);
    LineChart chart{.id = "kl-dims-time",
                    .title = "KL by latent dimension over time",
                    .unit = "nats, " + split,
                    .series = {},
                    .from_zero = true,
                    .cut_peaks = false,
                    .legend = false,
                    .note =
                        lines < ranked.size() ? "The " + std::to_string(lines) + " dimensions with the most KL." : ""};
    for (std::size_t i = lines; i-- > 0;) { // the strongest last, on top
        Series series{.name = "z" + std::to_string(ranked[i].dim),
                      .ink = rank_ink(ranked[i].kl, ranked.front().kl),
                      .points = {}};
        for (std::size_t t = 0; t < times; ++t) {
            const EvalRecord& eval = *evals[t * (evals.size() - 1) / (times - 1)];
            series.points.push_back({eval.step, eval.kl_dims[ranked[i].dim]});
        }
        chart.series.push_back(std::move(series));
    }
    return draw_line_chart(chart);
}

// Of one evaluation the headline says it.
std::string draw_active_units(const RunData& run) {
    LineChart chart{.id = "active-units",
                    .title = "Active units over time",
                    .unit = "dimensions whose posterior mean varies",
                    .series = {},
                    .from_zero = true,
                    .cut_peaks = false,
                    .note = {}};
    add_eval_series(run, chart, [](const EvalRecord& eval) { return eval.active_units; });
    const bool several = std::any_of(chart.series.begin(), chart.series.end(),
                                     [](const Series& series) { return series.points.size() > 1; });
    return several ? draw_line_chart(chart) : "";
}

std::string draw_rates(const RunData& run) {
    LineChart chart{.id = "rate-distortion",
                    .title = "Rate and distortion",
                    .unit = "PSNR in dB against bits per pixel",
                    .x_name = "bits/pixel",
                    .series = {{.name = "quantised latents", .ink = "test", .points = {}, .dots = true}},
                    .cut_peaks = false,
                    .legend = false,
                    .note = "Posterior means, rounded more and more finely from left to right, coded under the prior."};
    for (const RatePoint& rate : run.rates)
        chart.series[0].points.push_back({rate.bits_per_pixel, rate.psnr});
    return run.rates.size() > 1 ? draw_line_chart(chart) : "";
}

std::string draw_kernels(const RunData& run) {
    double total = 0.0;
    for (const KernelRow& kernel : run.kernels)
        total += kernel.ms;
    if (!(total > 0))
        return {};
    BarChart chart{.id = "kernels",
                   .title = "GPU time by kernel",
                   .unit = format_number(total, 3) + " ms per step",
                   .bars = {},
                   .note = {}};
    const auto text = [total](double ms, double calls) {
        const std::string share = format_fixed(100 * ms / total, ms < 0.0995 * total ? 1 : 0);
        const std::string time = ms < 0.0995 ? format_number(1000 * ms, 3) + " µs · " : format_number(ms, 3) + " ms · ";
        return time + share + " %" + (std::isfinite(calls) && calls > 0 ? " · " + format_short(calls) + "×" : "");
    };
    double rest = 0.0;
    for (std::size_t i = 0; i < run.kernels.size(); ++i) {
        const KernelRow& kernel = run.kernels[i];
        if (i < kMostKernels)
            chart.bars.push_back({.label = kernel.name,
                                  .value = kernel.ms,
                                  .text = text(kernel.ms, kernel.calls),
                                  .ink = rank_ink(kernel.ms, run.kernels.front().ms)});
        else
            rest += kernel.ms;
    }
    if (run.kernels.size() > kMostKernels)
        chart.bars.push_back({.label = std::to_string(run.kernels.size() - kMostKernels) + " others",
                              .value = rest,
                              .text = text(rest, kMissing),
                              .ink = "rank4"});
    if (std::isfinite(run.profile_steps) && run.profile_steps > 0)
        chart.note =
            "Measured over " + format_count(run.profile_steps) + (run.profile_steps == 1 ? " step." : " steps.");
    return draw_bar_rows(chart);
}

// config.memory without its sums and limits.
std::vector<std::pair<std::string, double>> memory_parts(const RunData& run) {
    std::vector<std::pair<std::string, double>> parts;
    const Json& memory = json_object(run.config, "memory");
    for (Json::const_iterator it = memory.begin(); it != memory.end(); ++it) {
        const std::string& key = it.key();
        const bool part = key != "total" && key != "peak" && key != "budget" && key != "limit" && key != "available";
        if (part && it->is_number() && it->get<double>() > 0 && std::isfinite(it->get<double>()))
            parts.emplace_back(key, it->get<double>());
    }
    std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    return parts;
}

std::string draw_memory(const RunData& run) {
    BarChart chart{
        .id = "memory", .title = "GPU memory", .unit = format_bytes(total_memory(run)), .bars = {}, .note = {}};
    const std::vector<std::pair<std::string, double>> parts = memory_parts(run);
    for (std::size_t i = 0; i < std::min(parts.size(), kMostKernels); ++i)
        chart.bars.push_back({.label = parts[i].first,
                              .value = parts[i].second,
                              .text = format_bytes(parts[i].second),
                              .ink = rank_ink(parts[i].second, parts.front().second)});
    return draw_bar_rows(chart);
}

std::string draw_optimizer_charts(const RunData& run) {
    LineChart norm{
        .id = "grad-norm", .title = "Gradient norm", .unit = "", .series = {}, .from_zero = true, .note = {}};
    norm.series.push_back(train_series(run, [](const TrainRecord& record) { return record.grad_norm; }));
    std::string out = draw_line_chart(norm);
    const auto add = [&](const char* id, const char* title, auto value) {
        if (!varies(run, value))
            return; // a constant is in the settings
        LineChart chart{
            .id = id, .title = title, .unit = "", .series = {}, .from_zero = true, .cut_peaks = false, .note = {}};
        chart.series.push_back({.name = "train", .ink = "train", .points = points_of(run.train, value)});
        out += draw_line_chart(chart);
    };
    add("lr", "Learning rate", [](const TrainRecord& record) { return record.lr; });
    add("beta", "β, weight of the KL", [](const TrainRecord& record) { return record.beta; });
    add("loss-scale", "Loss scale of f16", [](const TrainRecord& record) { return record.loss_scale; });
    return out;
}

} // namespace

std::string main_split(const RunData& run) {
    if (run.evals.empty())
        return {};
    for (const EvalRecord& eval : run.evals)
        if (eval.split == "test")
            return eval.split;
    return run.evals.back().split;
}

const EvalRecord* last_evaluation(const RunData& run) {
    const std::string split = main_split(run);
    for (std::size_t i = run.evals.size(); i-- > 0;)
        if (run.evals[i].split == split)
            return &run.evals[i];
    return nullptr;
}

double total_memory(const RunData& run) {
    const Json& memory = json_object(run.config, "memory");
    for (const char* key : {"total", "peak"})
        if (const double value = json_number(memory, key); std::isfinite(value))
            return value;
    double sum = 0.0;
    for (const std::pair<std::string, double>& part : memory_parts(run))
        sum += part.second;
    return sum > 0 ? sum : kMissing;
}

std::string draw_learning_curves(const RunData& run) {
    const bool codes = has_codes(run), beta = has_beta(run) || codes;
    LineChart elbo{.id = "elbo", .title = "Negative ELBO", .unit = kNats, .series = {}, .note = {}};
    // With another beta, or codes, the loss is not the bound; nll + kl is, and compares with the evaluation.
    elbo.series.push_back(
        train_series(run, [beta](const TrainRecord& record) { return beta ? record.nll + record.kl : record.loss; }));
    add_eval_series(run, elbo, [](const EvalRecord& eval) { return -eval.elbo; });
    LineChart nll{.id = "nll", .title = "Reconstruction, NLL", .unit = kNats, .series = {}, .note = {}};
    nll.series.push_back(train_series(run, [](const TrainRecord& record) { return record.nll; }));
    add_eval_series(run, nll, [](const EvalRecord& eval) { return eval.nll; });
    LineChart kl{.id = "kl", .title = "KL to the prior", .unit = kNats, .series = {}, .from_zero = true, .note = {}};
    kl.series.push_back(train_series(run, [](const TrainRecord& record) { return record.kl; }));
    add_eval_series(run, kl, [](const EvalRecord& eval) { return eval.kl; });
    std::string out = draw_line_chart(elbo) + draw_line_chart(nll) + draw_line_chart(kl);
    if (beta) {
        const char* title = codes ? "Loss, with the quantisation error" : "Loss, NLL + β·KL";
        LineChart loss{.id = "loss", .title = title, .unit = kNats, .series = {}, .note = {}};
        loss.series.push_back(train_series(run, [](const TrainRecord& record) { return record.loss; }));
        out += draw_line_chart(loss);
    }
    if (codes) {
        LineChart perplexity{.id = "perplexity", .title = "Perplexity of the codes", .unit = "codes", .series = {},
                             .from_zero = true, .note = {}};
        perplexity.series.push_back(train_series(run, [](const TrainRecord& record) { return record.perplexity; }));
        add_eval_series(run, perplexity, [](const EvalRecord& eval) { return eval.perplexity; });
        out += draw_line_chart(perplexity);
    }
    return out + draw_optimizer_charts(run);
}

namespace {

std::string draw_kl_charts(const RunData& run) {
    const EvalRecord* eval = last_evaluation(run);
    if (eval == nullptr || eval->kl_dims.empty() || has_codes(run)) // whose KL is by level, not by dimension
        return {};
    const std::vector<RankedDim> ranked = rank_dims(eval->kl_dims);
    if (!(ranked.front().kl > 0))
        return {};
    return draw_dim_bars(*eval, ranked) + draw_dim_lines(run, ranked);
}

} // namespace

std::string draw_latent_charts(const RunData& run) {
    return draw_kl_charts(run) + draw_scatter(run.latents) + draw_active_units(run) + draw_rates(run);
}

std::string draw_speed_charts(const RunData& run) {
    LineChart rate{.id = "rate",
                   .title = "Throughput",
                   .unit = "images/s",
                   .series = {},
                   .from_zero = true,
                   .cut_peaks = false,
                   .note = {}};
    rate.series.push_back(train_series(run, [](const TrainRecord& record) { return record.images_per_s; }));
    return draw_line_chart(rate) + draw_kernels(run) + draw_memory(run);
}

} // namespace vkvae
