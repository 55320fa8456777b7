// A run directory: its settings, checkpoints and metrics, and the loop that fills it.
#pragma once

#include "vkvae/common.hpp"

namespace vkvae {

// Everything a run was started with. Saved as config.json; resuming reads it back, so that nothing else decides.
struct RunSettings {
    std::string model_json;
    DataOptions data;
    TrainOptions train;
    int64_t epochs = 10;   // passes over the data; ignored if steps is given
    int64_t steps = 0;     // 0: epochs decide
    int64_t save_every = 0; // steps between checkpoints; 0: once an epoch
    int64_t keep = 3;       // checkpoints that stay
    int64_t log_every = 0;  // steps between lines of metrics.jsonl; 0: a five-hundredth of an epoch's worth
    int64_t total_steps(int64_t count) const;
    int64_t steps_per_epoch(int64_t count) const;
};
Json to_json(const RunSettings& s);
RunSettings settings_from(const Json& config);

// Trains until the run's last step, or until Ctrl-C (Status::interrupted, after a checkpoint). `resume` goes on from
// the newest checkpoint that reads back well.
void train_run(const fs::path& run, const RunSettings& settings, const Common& common, bool resume);

} // namespace vkvae
