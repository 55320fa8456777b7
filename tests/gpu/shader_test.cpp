// The contract of reflect(): the interface of every shader of the library, and an error for anything malformed.
#include "gpu/shader.hpp"
#include "io/temp_folder.hpp"
#include "ops/philox.hpp"

#include <doctest/doctest.h>

using namespace vkvae;
using namespace vkvae::test;

namespace {

ShaderInterface interface_of(const char* name) { return reflect(find_shader(name)); }

std::string access(const ShaderInterface& interface) {
    std::string text;
    for (const ShaderInterface::Binding& b : interface.bindings)
        text += b.reads && b.writes ? 'b' : b.writes ? 'w' : b.reads ? 'r' : '-';
    return text;
}

// Anything but an Error, a crash above all, fails the test.
bool refused(std::vector<uint32_t> code) {
    Shader shader = {"broken", code};
    Outcome outcome = outcome_of([&] { reflect(shader); });
    return outcome.status == Status::runtime;
}

} // namespace

TEST_CASE("access, push constants, steps and subgroups are read from the shader") {
    CHECK(access(interface_of("copy")) == "rw");
    CHECK(access(interface_of("adam")) == "brbbr");
    CHECK(access(interface_of("gradient_check")) == "rrwbb");
    CHECK(access(interface_of("rsample_gradient")) == "rrrrww");
    CHECK(access(interface_of("matmul_tile")) == "rrrwrrw"); // some are declared as floats and as vec4s
    CHECK(access(interface_of("matmul_subgroup")) == "rrrwrrw");
    for (size_t binding = 0; binding < 7; binding++) { // what it reads are texel buffers
        CHECK(interface_of("matmul_subgroup").bindings[binding].texels == (binding != 3 && binding != 6));
        CHECK(!interface_of("matmul_tile").bindings[binding].texels);
    }
    CHECK(interface_of("copy").push_bytes == 4);
    CHECK(interface_of("adam").push_bytes == 24);
    CHECK(interface_of("conv2d_forward_tile").push_bytes == 52);
    CHECK(interface_of("adam").uses_step);
    CHECK(!interface_of("copy").uses_step);
    CHECK(interface_of("matmul_subgroup").uses_subgroup);
    CHECK(!interface_of("matmul_tile").uses_subgroup);
}

TEST_CASE("every shader keeps to what all devices offer, and only _subgroup, _shuffle and _coopmat kernels use subgroups") {
    CHECK(all_shaders().size() > 30);
    for (const Shader& shader : all_shaders()) {
        INFO(std::string(shader.name));
        ShaderInterface interface = reflect(shader);
        CHECK(interface.bindings.size() >= 1);
        CHECK(interface.bindings.size() <= 8);
        CHECK(interface.push_bytes <= 128);
        bool writes = false;
        for (const ShaderInterface::Binding& b : interface.bindings) {
            writes |= b.writes;
            CHECK((b.reads || b.writes));
        }
        CHECK(writes);
        std::string name = shader.name;
        bool subgroup = name.find("_subgroup") != std::string::npos || name.ends_with("_shuffle");
        CHECK(interface.uses_coopmat == name.ends_with("_coopmat"));
        CHECK(interface.uses_subgroup == (subgroup || interface.uses_coopmat));
    }
    CHECK_THROWS_WITH_AS(find_shader("no_such_kernel"), doctest::Contains("no_such_kernel"), Error);
}

TEST_CASE("truncated SPIR-V never does more than fail") {
    for (const char* name : {"copy", "adam", "matmul_subgroup"}) {
        std::span<const uint32_t> code = find_shader(name).code;
        for (size_t size = 0; size < code.size(); size++) // each prefix in memory of exactly its size
            refused({code.begin(), code.begin() + std::ptrdiff_t(size)});
        CHECK(refused({}));
        CHECK(refused({code.begin(), code.begin() + 5}));
    }
}

TEST_CASE("garbage in SPIR-V never does more than fail") {
    std::span<const uint32_t> code = find_shader("norm_gradient").code;
    uint32_t refusals = 0;
    for (uint32_t round = 0; round < 20000; round++) {
        std::vector<uint32_t> broken(code.begin(), code.end());
        for (uint32_t change = 0; change <= round % 3; change++) {
            uint32_t at = random_below(1, Stream::data, round, change, uint32_t(broken.size()));
            uint32_t value = philox4x32({round, change, 0, 0}, {7, 7})[0];
            uint32_t kinds[] = {value, value & 0xff, broken[at] ^ (1u << value % 32), 0, ~0u};
            broken[at] = kinds[value / 32 % 5];
        }
        refusals += refused(broken);
    }
    CHECK(refusals > 1000);
}

TEST_CASE("what is not a compute shader with our conventions is refused with its name") {
    Shader shader = {"my kernel", {}};
    CHECK_THROWS_WITH_AS(reflect(shader), doctest::Contains("my kernel"), Error);
    std::vector<uint32_t> header = {0x07230203, 0x00010300, 0, 10, 0};
    CHECK(refused(header));
    header.insert(header.end(), {(1u << 16) | 56}); // a function, but no entry point
    CHECK(refused(header));
    std::vector<uint32_t> fragment = {0x07230203, 0x00010300, 0, 10, 0, (5u << 16) | 15, 4, 1, 0x6e69616d, 0};
    CHECK(refused(fragment));
}
