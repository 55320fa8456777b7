// vkvae bench: how fast this device is, and how far from what it could be.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "bench/workload.hpp"
#include "io/file.hpp"
#include "vkvae/common.hpp"
#include "vkvae/verbs.hpp"

namespace vkvae {
namespace {

struct BenchOptions {
    Common common;
    std::string only, compare, precision = "f32";
    TrainOptions how;
};

struct Result {
    std::string left_out; // why, if it was not measured
    double ms = 0, host_ms = 0, gflops = 0, gbps = 0, floor_ms = 0; // 0: says nothing
    double levels = 1, flops = 0, bytes = 0;
};

// `named`: the user asked for this one by its name.
Result measure(const Workload& workload, const TrainOptions& how, bool named, Device& device) {
    Result r;
    if (workload.heavy && device.caps().is_cpu() && !named) {
        r.left_out = "it takes minutes on a CPU, --only " + workload.name + " measures it";
        return r;
    }
    Prepared work = workload.prepare(device, how);
    r.left_out = work.cannot;
    if (!work.run)
        return r;
    Timing timing = time_ms(work);
    r.ms = timing.device;
    r.host_ms = timing.host;
    r.levels = work.levels / work.executions;
    r.flops = work.flops;
    r.bytes = work.bytes;
    r.gflops = r.flops / r.ms * 1e-6;
    r.gbps = workload.whole ? 0 : r.bytes / r.ms * 1e-6;
    return r;
}

// The arithmetic or the traffic, whichever takes longer at the ceiling, and one dispatch after the other. A ceiling is
// its own floor.
double floor_ms(size_t index, const Result& r, const Result (&ceilings)[kCeilings]) {
    if (index < kCeilings)
        return r.ms;
    double arithmetic = r.flops / ceilings[kFma].gflops * 1e-6, traffic = r.bytes / ceilings[kCopy].gbps * 1e-6;
    return std::max(arithmetic, traffic) + r.levels * ceilings[kDispatch].ms;
}

// Milliseconds by name, and the precision they were taken in.
struct Earlier {
    std::map<std::string, double> ms;
    std::string precision = "f32";
};

// From an earlier run's output with --json: its last line.
Earlier read_earlier(const std::string& file) {
    std::vector<std::byte> bytes = read_file(file, 16 << 20);
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    text.erase(text.find_last_not_of(" \r\n") + 1);
    Earlier earlier;
    try {
        Json output = Json::parse(text.substr(text.rfind('\n') + 1));
        for (const Json& entry : output.at("results"))
            earlier.ms[entry.at("name").get<std::string>()] = entry.at("ms").get<double>();
        earlier.precision = output.value("precision", "f32");
    } catch (const nlohmann::json::exception& error) {
        fail(Status::data, file, " is not the output of vkvae bench --json: ", error.what());
    }
    return earlier;
}

std::string number(double value, int digits) {
    if (value == 0)
        return "-";
    char text[32];
    std::snprintf(text, sizeof(text), "%.*f", value < 1 ? digits + 2 : digits, value);
    return text;
}

void print_row(int width, const std::string& name, const Result& r, const std::map<std::string, double>& earlier) {
    std::printf("%-*s %10s %10s %9s %8s %10s %5.0f %%", width, name.c_str(), number(r.ms, 3).c_str(),
                number(r.host_ms, 3).c_str(), number(r.gflops, 1).c_str(), number(r.gbps, 1).c_str(),
                number(r.floor_ms, 3).c_str(), 100 * r.floor_ms / r.ms);
    auto before = earlier.find(name);
    if (before != earlier.end())
        std::printf(" %10s %6.2f", number(before->second, 3).c_str(), before->second / r.ms);
    std::printf("\n");
    std::fflush(stdout);
}

void run_bench(const BenchOptions& o) {
    std::vector<Workload> all = workloads();
    bool narrow = false; // known once there is a device
    auto chosen = [&](const Workload& w) { return w.name.starts_with(o.only) && (w.mixed || !narrow); };
    size_t width = 4;
    std::string names;
    bool any = false;
    for (const Workload& w : all) {
        names += "\n  " + w.name;
        any |= chosen(w);
        if (chosen(w))
            width = std::max(width, w.name.size());
    }
    if (!any)
        fail(Status::usage, "no benchmark's name begins with '", o.only, "'; there are", names);
    Earlier earlier;
    if (!o.compare.empty())
        earlier = read_earlier(o.compare);
    std::unique_ptr<Device> device = open_device(o.common);
    const Caps& caps = device->caps();
    DType precision = precision_on(*device, o.precision);
    narrow = is_16_bit(precision);
    TrainOptions how = o.how;
    how.precision = precision;
    if (std::none_of(all.begin(), all.end(), chosen))
        fail(Status::usage, "there is no '", o.only, "' in ", type_name(precision), ", only in f32");
    std::string before = earlier.precision == type_name(precision) ? "before" : earlier.precision;
    if (!o.common.json) {
        std::printf("%s, %s, %s\n\n", caps.name.c_str(), caps.driver.c_str(), type_name(precision));
        std::printf("%-*s %10s %10s %9s %8s %10s %7s%s\n", int(width), "name", "ms", "host ms", "GFLOP/s", "GB/s", "floor ms", "share",
                    earlier.ms.empty() ? "" : concat_text("     ", before, "  speed").c_str());
    }
    watch_interrupts();
    Result ceilings[kCeilings];
    Json results = Json::array(), left_out = Json::array();
    for (size_t i = 0; i < all.size(); i++) {
        if (i >= kCeilings && !chosen(all[i]))
            continue;
        if (interrupted())
            fail(Status::interrupted, "interrupted");
        if (!o.common.quiet && o.common.json)
            std::fprintf(stderr, "%s\n", all[i].name.c_str());
        Result r = measure(all[i], how, o.only == all[i].name, *device);
        if (!r.left_out.empty()) {
            if (!o.common.json)
                std::printf("%-*s not measured: %s\n", int(width), all[i].name.c_str(), r.left_out.c_str());
            left_out.push_back({{"name", all[i].name}, {"why", r.left_out}});
            continue;
        }
        if (i < kCeilings)
            ceilings[i] = r;
        r.floor_ms = floor_ms(i, r, ceilings);
        if (!chosen(all[i]))
            continue;
        if (!o.common.json)
            print_row(int(width), all[i].name, r, earlier.ms);
        auto or_null = [](double value) { return value > 0 ? Json(value) : Json(); };
        results.push_back({{"name", all[i].name},
                           {"ms", r.ms},
                           {"host_ms", r.host_ms},
                           {"gflops", or_null(r.gflops)},
                           {"gbps", or_null(r.gbps)},
                           {"floor_ms", r.floor_ms}});
    }
    save_pipeline_cache(*device);
    if (o.common.json)
        std::cout << Json{{"device", caps.name}, {"driver", caps.driver},
                          {"precision", type_name(precision)},
                          {"results", results}, {"left_out", left_out}}
                         .dump()
                  << std::endl;
}

} // namespace

void add_bench(CLI::App& app) {
    CLI::App* verb = app.add_subcommand("bench", "time training steps and kernels against this device's ceilings");
    auto options = std::make_shared<BenchOptions>();
    add_common(*verb, options->common);
    verb->add_option("--only", options->only, "only benchmarks whose name begins so, for example matmul/");
    verb->add_option("--compare", options->compare, "output of an earlier bench --json, shown beside each time")
        ->check(CLI::ExistingFile);
    add_precision(*verb, options->precision);
    add_autotune(*verb, options->how.autotune, "cached");
    verb->callback([options] { run_bench(*options); });
}

} // namespace vkvae
