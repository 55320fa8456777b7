// What data a model's likelihood takes.
#pragma once

#include "vkvae/vae.hpp"

namespace vkvae {

// Part of DataView::check. Errors: Status::data, naming the first element that p(x|z) gives no probability.
void check_elements(const DataView& data, const ModelConfig& model);

} // namespace vkvae
