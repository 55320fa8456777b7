// The files of a run directory: checkpoints and metrics.
#pragma once

#include <fstream>
#include <optional>

#include "vkvae/common.hpp"

namespace vkvae {

// One process at a time writes into a run directory. Errors: Status::usage if another one does.
class RunLock {
  public:
    explicit RunLock(const fs::path& run);
    ~RunLock();
    RunLock(const RunLock&) = delete;
    RunLock& operator=(const RunLock&) = delete;

  private:
    int directory_ = -1;
};

// Whether a run's files are there, and their removal. Nothing else is removed: the directory may be the user's home.
bool holds_run(const fs::path& run);
void clear_run(const fs::path& run);

// checkpoints/step-NNNNNNNNN.safetensors (the model) with .state.safetensors (moments, step) beside it. The state is
// written first: a checkpoint exists once its model does.
fs::path checkpoint_file(const fs::path& run, int64_t step);
fs::path state_file(const fs::path& checkpoint);
std::vector<int64_t> checkpoint_steps(const fs::path& run); // ascending

// Writes the checkpoint, then model.safetensors. Afterwards removes all but the newest `keep` regular ones and this,
// so that a run that was interrupted between two of them ends with the same files as any other.
void save_checkpoint(const fs::path& run, const Vae& vae, const Parameters& parameters, const TrainState& state,
                     int64_t keep, const std::function<bool(int64_t step)>& regular);

// Loads the newest checkpoint that is whole; says on stderr which ones were not. Nothing if there are none yet.
// Errors: Status::data if there are some and none is whole.
std::optional<TrainState> load_newest_checkpoint(const fs::path& run, const Vae& vae, Parameters& parameters);

// metrics.jsonl, one object a line. Opening for a resumed run drops what came after the checkpoint of `step` was saved:
// later steps, and the evaluation of that step.
class Metrics {
  public:
    Metrics(const fs::path& file, int64_t step);
    void write(const Json& line);
    double elapsed_seconds() const { return elapsed_; } // of the sessions before this one

  private:
    double elapsed_ = 0;
    std::ofstream out_;
    fs::path file_;
};

} // namespace vkvae
