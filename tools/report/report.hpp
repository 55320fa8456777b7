// report.html: one self-contained page about a training run. No script, no link, nothing fetched.
#pragma once

#include <filesystem>
#include <string>

namespace vkvae {

// The page for a run directory, from what is there of config.json (required), metrics.jsonl, profile.json, latents.json,
// rate_distortion.json, reconstructions.png, samples.png, traversal.png, interpolation.png and samples/step-*.png. The
// same files give the same bytes. Unreadable optional files are named in the page. Error(data) without a config.json.
std::string build_report(const std::filesystem::path& run_dir);

// Writes the page to run_dir/report.html, whole or not at all. Errors of build_report; Error(runtime) when the file
// cannot be written.
void write_report(const std::filesystem::path& run_dir);

} // namespace vkvae
