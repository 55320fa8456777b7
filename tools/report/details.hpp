// The tables of the report: the model's layers, the evaluations, every setting.
#pragma once

#include <string>

#include "report/run_data.hpp"

namespace vkvae {

// A JSON value on one line, as plain text: lists with commas, objects as "key value" pairs.
std::string describe_json(const Json& value);

// Encoder and decoder side by side; empty without layers.
std::string draw_model(const Json& model);

// A row per evaluation, of at most 20 steps.
std::string draw_evaluations(const std::vector<EvalRecord>& evals);

// All of config.json, known keys or not, one table per section of it.
std::string draw_settings(const Json& config);

} // namespace vkvae
