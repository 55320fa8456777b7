// The files of a run directory: checkpoints and metrics.
#include "vkvae/run_files.hpp"

#include <algorithm>
#include <cstdio>

#include "io/file.hpp"

namespace vkvae {
namespace {

// "step-000000123.safetensors" -> 123; -1 for anything else.
int64_t step_of(const std::string& name) {
    const std::string begin = "step-", end = ".safetensors";
    if (name.size() != begin.size() + 9 + end.size() || name.rfind(begin, 0) != 0 ||
        name.compare(name.size() - end.size(), end.size(), end) != 0)
        return -1;
    std::string digits = name.substr(begin.size(), 9);
    return digits.find_first_not_of("0123456789") == std::string::npos ? std::stoll(digits) : -1;
}

void remove_checkpoint(const fs::path& run, int64_t step) {
    std::error_code ignored; // a checkpoint that stays does no harm
    fs::path file = checkpoint_file(run, step);
    fs::remove(file, ignored);
    fs::remove(state_file(file), ignored);
}

} // namespace

fs::path checkpoint_file(const fs::path& run, int64_t step) {
    char name[64];
    std::snprintf(name, sizeof(name), "step-%09lld.safetensors", static_cast<long long>(step));
    return run / "checkpoints" / name;
}

fs::path state_file(const fs::path& checkpoint) {
    fs::path file = checkpoint;
    return file.replace_extension(".state.safetensors");
}

std::vector<int64_t> checkpoint_steps(const fs::path& run) {
    std::vector<int64_t> steps;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(run / "checkpoints", ignored))
        if (int64_t step = step_of(entry.path().filename().string()); step >= 0)
            steps.push_back(step);
    std::sort(steps.begin(), steps.end());
    return steps;
}

void save_checkpoint(const fs::path& run, const Vae& vae, const Parameters& parameters, const TrainState& state,
                     int64_t keep, const std::function<bool(int64_t)>& regular) {
    fs::path file = checkpoint_file(run, state.step);
    save_train_state(state_file(file), parameters, state);
    save_model(file, vae, parameters);
    save_model(run / "model.safetensors", vae, parameters);
    std::vector<int64_t> steps = checkpoint_steps(run);
    int64_t newest_regular = -1;
    for (int64_t step : steps)
        if (regular(step))
            newest_regular = step;
    for (int64_t step : steps)
        if (!regular(step) && step < newest_regular)
            remove_checkpoint(run, step);
    steps = checkpoint_steps(run);
    for (size_t i = 0; i + size_t(keep) < steps.size(); i++)
        remove_checkpoint(run, steps[i]);
}

TrainState load_newest_checkpoint(const fs::path& run, const Vae& vae, Parameters& parameters) {
    std::vector<int64_t> steps = checkpoint_steps(run);
    for (size_t i = steps.size(); i-- > 0;) {
        fs::path file = checkpoint_file(run, steps[i]);
        try {
            load_model(file, vae, parameters);
            TrainState state = load_train_state(state_file(file), parameters);
            require_data(state.step == steps[i], file.string(), " says step ", state.step);
            return state;
        } catch (const Error& error) {
            if (error.status() != Status::data)
                throw;
            std::fprintf(stderr, "vkvae: skipping a damaged checkpoint: %s\n", error.what());
        }
    }
    fail(Status::data, run.string(), " has no checkpoint that can be read; train --force starts it again");
}

Metrics::Metrics(const fs::path& file, int64_t step) : file_(file) {
    std::string kept;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        Json entry = Json::parse(line, nullptr, false);
        if (!entry.is_object() || !entry.contains("step") || entry.value("step", int64_t(0)) > step)
            continue;
        kept += line + "\n";
        elapsed_ = entry.value("elapsed_s", elapsed_);
    }
    in.close();
    write_file_atomic(file, kept);
    out_.open(file, std::ios::app);
}

void Metrics::write(const Json& line) {
    out_ << line.dump() << "\n" << std::flush;
    if (!out_)
        fail(Status::runtime, file_.string(), " could not be written: is the disk full?");
}

} // namespace vkvae
