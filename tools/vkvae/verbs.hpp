// The verbs: each adds its subcommand and what runs when it is given.
#pragma once

#include <CLI/CLI.hpp>

namespace vkvae {

void add_devices(CLI::App& app);
void add_train(CLI::App& app);
void add_resume(CLI::App& app);
void add_sample(CLI::App& app);
void add_reconstruct(CLI::App& app);
void add_interpolate(CLI::App& app);
void add_traverse(CLI::App& app);
void add_encode(CLI::App& app);
void add_decode(CLI::App& app);
void add_arithmetic(CLI::App& app);
void add_neighbors(CLI::App& app);
void add_project(CLI::App& app);
void add_morph(CLI::App& app);
void add_augment(CLI::App& app);
void add_compress(CLI::App& app);
void add_decompress(CLI::App& app);
void add_eval(CLI::App& app);
void add_score(CLI::App& app);
void add_info(CLI::App& app);
void add_dataset(CLI::App& app);
void add_bench(CLI::App& app);

} // namespace vkvae
