// The device that the tests share, and what its validation layer had to say.
#pragma once

#include "vkvae/graph.hpp"

#include <string>
#include <vector>

namespace vkvae::test {

// Created on first use, destroyed by close_test_device() before main returns: layers report leaks at that moment.
Device& test_device();
void close_test_device();

// For tests with a device of their own. Messages of every device end in validation_messages().
DeviceOptions test_options();

// Grows while tests run; any entry fails the run.
std::vector<std::string>& validation_messages();

// VKVAE_NO_ALIAS=1 takes memory sharing out of all plans of the tests: synchronisation validation does not know that
// a tensor in reused memory is another tensor.
bool sharing_allowed();
PlanOptions plan_options(uint32_t max_steps = 1, bool alias = true);

} // namespace vkvae::test
