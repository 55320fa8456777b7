// The contract of Device::list, create and of the environment's masks: every choice and every refusal says why.
#include "gpu/sample_plan.hpp"
#include "io/temp_folder.hpp"

#include <algorithm>
#include <cctype>

using namespace vkvae;
using namespace vkvae::test;

namespace {

std::unique_ptr<Device> create(const std::string& select) {
    DeviceOptions options = test_options();
    options.select = select;
    return Device::create(options);
}

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::toupper(c)); });
    return text;
}

} // namespace

TEST_CASE("list shows the device that create chooses, with its limits") {
    const Caps& chosen = test_device().caps();
    std::vector<DeviceInfo> all = Device::list();
    auto same = [&](const DeviceInfo& info) { return info.caps.name == chosen.name && info.unusable.empty(); };
    CHECK(std::any_of(all.begin(), all.end(), same));
    for (uint32_t i = 0; i < all.size(); i++)
        CHECK(all[i].index == i);
    CHECK(chosen.max_storage_buffers >= 8);
    CHECK(chosen.max_storage_range >= (1u << 27));
    CHECK(chosen.heap_bytes > 0);
    CHECK(!chosen.driver.empty());
}

TEST_CASE("a device is found by index, by kind and by any part of its name in any case") {
    const Caps& chosen = test_device().caps();
    CHECK(create(upper(chosen.name.substr(1, 5)))->caps().name == chosen.name);
    for (const DeviceInfo& info : Device::list())
        if (info.unusable.empty())
            CHECK(create(std::to_string(info.index))->caps().name == info.caps.name);
    // A long number is part of a name, as in 4090.
    for (size_t at = 0, end; (at = chosen.name.find_first_of("0123456789", at)) != std::string::npos; at = end) {
        end = std::min(chosen.name.find_first_not_of("0123456789", at), chosen.name.size());
        if (end - at > 2)
            CHECK(create(chosen.name.substr(at, end - at))->caps().name == chosen.name);
    }
    if (chosen.is_cpu())
        CHECK(create("cpu")->caps().name == chosen.name);
}

TEST_CASE("a selection that matches nothing is told which devices there are") {
    for (const char* select : {"no such device", "99", "70000"}) {
        Outcome outcome = outcome_of([&] { create(select); });
        CHECK(outcome.status == Status::device);
        CHECK(outcome.says(select));
        CHECK(outcome.says(test_device().caps().name));
    }
}

TEST_CASE("a loader that offers nothing is an error, not a crash") {
    DeviceOptions options;
    options.get_instance_proc_addr = [](VkInstance, const char*) -> PFN_vkVoidFunction { return nullptr; };
    CHECK(outcome_of([&] { Device::create(options); }).status == Status::device);
    CHECK(outcome_of([&] { Device::list(options); }).status == Status::device);
}

TEST_CASE("masked features are gone, and the kernels without them compute the same" * doctest::test_suite("once")) {
    std::vector<float> expected = run_sample_network(test_device());
    Environment mask("VKVAE_DISABLE", "subgroup,timestamps");
    std::unique_ptr<Device> device = Device::create(test_options());
    CHECK(!device->caps().subgroup);
    CHECK(!device->caps().timestamps);
    check_same_results(run_sample_network(*device), expected);
}

TEST_CASE("subgroups of a size that is not pinned compute the same") {
    std::vector<float> expected = run_sample_network(test_device());
    Environment mask("VKVAE_DISABLE", "size_control");
    std::unique_ptr<Device> device = Device::create(test_options());
    CHECK(!device->caps().subgroup_size_control);
    check_same_results(run_sample_network(*device), expected);
}

TEST_CASE("the smallest workgroups, little shared memory, few groups and no texels compute the same" *
          doctest::test_suite("once")) {
    std::vector<float> expected = run_sample_network(test_device());
    Environment no_subgroup("VKVAE_DISABLE", "subgroup");
    for (const std::pair<const char*, const char*>& mask :
         {std::pair{"VKVAE_LIMIT_INVOCATIONS", "64"}, {"VKVAE_LIMIT_SHARED", "8192"}, {"VKVAE_LIMIT_GROUPS", "7"},
          {"VKVAE_LIMIT_TEXELS", "1"}}) {
        INFO(std::string(mask.first));
        Environment limit(mask.first, mask.second);
        std::unique_ptr<Device> device = Device::create(test_options());
        check_same_results(run_sample_network(*device), expected);
    }
}

TEST_CASE("kernels fold workgroups into y where x alone is too short") {
    Environment limit("VKVAE_LIMIT_GROUPS", "7");
    std::unique_ptr<Device> device = Device::create(test_options());
    Graph g;
    Tensor a = g.input({3000}, "a"), b = g.input({110, 20}, "b"), c = g.input({20, 110}, "c");
    Tensor y = scale(g, a, 2), p = matmul(g, b, c);
    g.keep(y);
    g.keep(p);
    Plan plan(*device, g, plan_options());
    CHECK(plan.describe().find("7x7x1") != std::string::npos); // 47 groups of 64
    std::vector<float> values = make_values({{3000}}, 1), factors(values.begin(), values.begin() + 2200);
    plan.write(a, std::span<const float>(values));
    plan.write(b, std::span<const float>(factors));
    plan.write(c, std::span<const float>(factors));
    plan.run();
    check_close("scale", plan.read(y), reference::scale(to_double(values), 2), 1e-6, 1e-12);
    check_close("matmul", plan.read(p), reference::matmul(to_double(factors), to_double(factors), 110, 110, 20), 1e-5,
                1e-11);
    Graph large;
    large.keep(scale(large, large.input({7 * 7 * 64 + 1}, "too long"), 2));
    CHECK_THROWS_WITH_AS(Plan(*device, large), doctest::Contains("3137"), Error);
}

TEST_CASE("a tensor larger than a binding may see is refused by name") {
    Environment limit("VKVAE_LIMIT_STORAGE_RANGE", "4096");
    std::unique_ptr<Device> device = Device::create(test_options());
    Graph g;
    Tensor y = scale(g, g.input({1025}, "enormous picture"), 2);
    g.keep(y);
    Outcome outcome = outcome_of([&] {
        Plan plan(*device, g);
        plan.run();
    });
    CHECK(outcome.status == Status::device);
    CHECK(outcome.says("enormous picture"));
    CHECK(outcome.says("4096"));
}

TEST_CASE("limits on memory are kept, with numbers in the message") {
    for (auto [name, value] : {std::pair{"VKVAE_LIMIT_ALLOCATION", "8192"}, {"VKVAE_LIMIT_HEAP", "8192"}}) {
        Environment limit(name, value);
        std::unique_ptr<Device> device = Device::create(test_options());
        Buffer fits(*device, 4096, Memory::device, "fits");
        Outcome outcome = outcome_of([&] { Buffer(*device, 16384, Memory::device, "the weights"); });
        CHECK(outcome.status == Status::device);
        CHECK(outcome.says("the weights"));
        CHECK(outcome.says("8192"));
        CHECK(device->allocated_bytes == 4096);
    }
}

TEST_CASE("a limit below what the kernels need makes the device unusable, and list says why") {
    Environment limit("VKVAE_LIMIT_INVOCATIONS", "32");
    Outcome outcome = outcome_of([] { Device::create(test_options()); });
    CHECK(outcome.status == Status::device);
    CHECK(outcome.says("32 invocations"));
    for (const DeviceInfo& info : Device::list())
        CHECK(!info.unusable.empty());
}

TEST_CASE("masks and limits that mean nothing are usage errors") {
    for (auto [name, value] : {std::pair{"VKVAE_DISABLE", "subgroup,warp"}, {"VKVAE_LIMIT_SHARED", "lots"},
                               {"VKVAE_LIMIT_GROUPS", "0"}, {"VKVAE_LIMIT_GROUPS", "7x"}, {"VKVAE_TIMEOUT", "soon"},
                               {"VKVAE_TIMEOUT", "-1"}, {"VKVAE_TIMEOUT", "5x"}, {"VKVAE_TIMEOUT", "inf"}}) {
        Environment variable(name, value);
        Outcome outcome = outcome_of([] { Device::create(test_options()); });
        CHECK(outcome.status == Status::usage);
        CHECK(outcome.says(name));
        DeviceOptions deaf = test_options();
        deaf.read_environment = false;
        CHECK(outcome_of([&] { Device::create(deaf); }).status == Status::ok);
    }
    Environment timeout("VKVAE_TIMEOUT", "2.5");
    CHECK(Device::create(test_options())->timeout_seconds() == 2.5);
}
