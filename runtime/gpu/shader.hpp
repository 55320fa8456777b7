// Reads the interface of a compute shader from its SPIR-V.
#pragma once

#include "vkvae/gpu.hpp"

namespace vkvae {

// Bindings of set 0 with their access, use of the StepParams block (set 1), push constant bytes, subgroup use.
// Errors: anything that is not SPIR-V of one compute entry point that keeps the conventions in ShaderInterface.
ShaderInterface reflect(const Shader& shader);

} // namespace vkvae
