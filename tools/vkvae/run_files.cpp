// The files of a run directory: checkpoints and metrics.
#include "vkvae/run_files.hpp"

#include <algorithm>
#include <cstdio>

#include "io/file.hpp"

#ifndef _WIN32
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#endif

namespace vkvae {
namespace {

constexpr const char* kFiles[] = {"model.safetensors", "best.safetensors", "metrics.jsonl", "profile.json",
                                  "config.json", "report.html", "samples.png", "reconstructions.png",
                                  "interpolation.png", "traversal.png", "latents.json",
                                  "rate_distortion.json"};
constexpr const char* kFolders[] = {"checkpoints", "samples"};
constexpr const char *kModel = ".safetensors", *kState = ".state.safetensors";

// "step-000000123" + ending -> 123; -1 for anything else.
int64_t step_of(const fs::path& file, const std::string& ending) {
    const std::string begin = "step-", name = file.filename().string();
    if (!name.starts_with(begin) || !name.ends_with(ending) || name.size() < begin.size() + 9 + ending.size())
        return -1;
    std::string digits = name.substr(begin.size(), name.size() - begin.size() - ending.size());
    bool number = digits.size() <= 10 && digits.find_first_not_of("0123456789") == std::string::npos;
    return number ? std::stoll(digits) : -1;
}

std::vector<fs::path> files_of(const fs::path& folder) {
    std::vector<fs::path> files;
    std::error_code code;
    for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
        files.push_back(at->path());
    return files;
}

} // namespace

fs::path checkpoint_file(const fs::path& run, int64_t step) {
    char name[64];
    std::snprintf(name, sizeof(name), "step-%09lld.safetensors", static_cast<long long>(step));
    return run / "checkpoints" / name;
}

fs::path state_file(const fs::path& checkpoint) {
    fs::path file = checkpoint;
    return file.replace_extension(kState);
}

#ifdef _WIN32
RunLock::RunLock(const fs::path&) {} // directories have no locks there
RunLock::~RunLock() = default;
#else
// The lock is the directory's own: it leaves no file behind and ends with the process, however that ends.
RunLock::RunLock(const fs::path& run) : directory_(::open(run.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    // File systems without locks count as locked.
    if (directory_ >= 0 && ::flock(directory_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        ::close(directory_);
        fail(Status::usage, run.string(), " is in use: another vkvae is training into it");
    }
}

RunLock::~RunLock() {
    if (directory_ >= 0)
        ::close(directory_);
}
#endif

bool holds_run(const fs::path& run) {
    return std::any_of(std::begin(kFiles), std::end(kFiles), [&](const char* file) { return fs::exists(run / file); }) ||
           !checkpoint_steps(run).empty();
}

void clear_run(const fs::path& run) {
    for (const char* file : kFiles)
        fs::remove(run / file);
    for (const char* folder : kFolders)
        for (const fs::path& file : files_of(run / folder))
            for (const char* ending : {kModel, kState, ".png"})
                if (step_of(file, ending) >= 0)
                    fs::remove(file);
}

std::vector<int64_t> checkpoint_steps(const fs::path& run) {
    std::vector<int64_t> steps;
    for (const fs::path& file : files_of(run / "checkpoints"))
        if (int64_t step = step_of(file, kModel); step >= 0)
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
    std::vector<int64_t> kept = checkpoint_steps(run);
    std::erase_if(kept, [&](int64_t step) { return step != state.step && !regular(step); });
    if (int64_t(kept.size()) > keep)
        kept.erase(kept.begin(), kept.end() - keep);
    for (const fs::path& old : files_of(run / "checkpoints")) {
        // States without their model, which a kill left, go too.
        int64_t step = std::max(step_of(old, kModel), step_of(old, kState));
        std::error_code ignored; // a checkpoint that stays does no harm
        if (step >= 0 && std::find(kept.begin(), kept.end(), step) == kept.end())
            fs::remove(old, ignored);
    }
}

std::optional<TrainState> load_newest_checkpoint(const fs::path& run, const Vae& vae, Parameters& parameters) {
    std::vector<int64_t> steps = checkpoint_steps(run);
    if (steps.empty())
        return {};
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
        if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer() || entry["step"] > step)
            continue;
        if (entry["step"] == step && entry.contains("kind") && entry["kind"] == "eval")
            continue;
        kept += line + "\n";
        if (entry.contains("elapsed_s") && entry["elapsed_s"].is_number())
            elapsed_ = entry["elapsed_s"];
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
