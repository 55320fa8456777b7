// The files of a run directory: checkpoints and metrics.
#pragma once

#include <fstream>

#include "vkvae/common.hpp"

namespace vkvae {

// checkpoints/step-NNNNNNNNN.safetensors (the model) with .state.safetensors (moments, step) beside it. The state is
// written first: a checkpoint exists once its model does.
fs::path checkpoint_file(const fs::path& run, int64_t step);
fs::path state_file(const fs::path& checkpoint);
std::vector<int64_t> checkpoint_steps(const fs::path& run); // ascending

// Writes the checkpoint, then model.safetensors. Afterwards removes all but the newest `keep`, and those that an
// interruption left between two regular ones, so that an interrupted run ends with the same files as any other.
void save_checkpoint(const fs::path& run, const Vae& vae, const Parameters& parameters, const TrainState& state,
                     int64_t keep, const std::function<bool(int64_t step)>& regular);

// Loads the newest checkpoint that is whole; says on stderr which ones were not. Errors: Status::data if none is.
TrainState load_newest_checkpoint(const fs::path& run, const Vae& vae, Parameters& parameters);

// metrics.jsonl, one object a line. Opening for a resumed run drops what lies after `step`.
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
