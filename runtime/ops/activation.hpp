// The gradient of an activation, shared by the layers that fuse one into their kernels.
#pragma once

#include "vkvae/ops.hpp"

namespace vkvae {

// True if the derivative can be computed from the output alone, so that the input need not be kept: all but silu and
// gelu, which are not monotonic.
bool derivative_from_output(Activation activation);

// dy act'(x), with x (the input) and y (the output) of the activation; x may be missing if derivative_from_output().
// Returns dy itself for Activation::none.
Tensor activation_gradient(Graph& g, Tensor dy, Tensor x, Tensor y, Activation activation);

} // namespace vkvae
