// A run directory: its settings, checkpoints and metrics, and the loop that fills it.
#pragma once

#include "vkvae/common.hpp"

namespace vkvae {

// Everything a run was started with. Saved as config.json; resuming reads it back, so that nothing else decides.
struct RunSettings {
    std::string model_json;
    DataOptions data;
    TrainOptions train;
    std::string precision = "f32"; // decides train.precision once there is a device
    int64_t epochs = 10;   // passes over the data; ignored if steps is given
    int64_t steps = 0;     // 0: epochs decide
    int64_t save_every = 0; // steps between checkpoints; 0: once an epoch
    int64_t keep = 3;       // checkpoints that stay
    std::string fingerprint, test_fingerprint; // of the data that a run to be resumed was started with
    Tuning tuning;          // what it chose then, if that was with
    std::string tuned_for;  // this tuning_key(); empty: choose again
    int64_t log_every = 0;  // steps between lines of metrics.jsonl; 0: a fiftieth of an epoch
    int64_t total_steps(int64_t count) const;
    int64_t epoch_end(int64_t epoch, int64_t count) const; // the step that sees the last sample of this many epochs
};
double tidy(float value); // the shortest decimal that reads back as it: 0.001, not 0.0010000000474974513
Json to_json(const RunSettings& s);
RunSettings settings_from(const Json& config);

// Trains until the run's last step, or until Ctrl-C (Status::interrupted, after a checkpoint). `resume` goes on from
// the newest checkpoint that reads back well. Returns what there is to tell. Nothing is written or removed before model,
// data and device are known to be good.
Json train_run(const fs::path& run, const RunSettings& settings, const Common& common, bool resume);

} // namespace vkvae
