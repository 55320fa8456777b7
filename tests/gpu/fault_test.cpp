// Every Vulkan call that can fail is made to fail, one at a time: the error says which call, nothing leaks, and the same
// plan works once the device does again.
#include "gpu/functions.hpp"
#include "io/temp_folder.hpp"
#include "op_check.hpp"

#include <atomic>
#include <limits>

using namespace vkvae;
using namespace vkvae::test;

namespace {

constexpr int kForever = std::numeric_limits<int>::max();

// Stands in for one entry of the function table. Fails the calls `first` to `last`, counted from 0.
template <auto Entry> struct Fault;
template <class... Arguments, VkResult(VKAPI_PTR* Functions::*Entry)(Arguments...)> struct Fault<Entry> {
    static inline VkResult(VKAPI_PTR* real)(Arguments...) = nullptr;
    static inline std::atomic<int> calls = 0; // pipelines are made on several threads
    static inline int first = 0, last = -1;
    static inline VkResult answer = VK_SUCCESS;
    static inline bool happens_anyway = false; // waits: the device must really be idle before memory is freed
    static VKAPI_ATTR VkResult VKAPI_CALL call(Arguments... arguments) {
        int number = calls++;
        bool fails = first <= number && number <= last;
        VkResult result = !fails || happens_anyway ? real(arguments...) : answer;
        return fails ? answer : result;
    }
    static void install(Device& device, int from, int to) {
        real = device.fn().*Entry;
        calls = 0;
        first = from;
        last = to;
        device.fn().*Entry = call;
    }
};

struct SmallTask {
    Graph graph;
    Tensor x, w, dw;
    SmallTask() {
        x = graph.input({3, 5}, "x");
        w = graph.input({5, 4}, "w");
        Tensor wrt[] = {w};
        dw = graph.backward(sum(graph, linear(graph, x, w, {}, Activation::tanh)), wrt)[0];
        graph.keep(dw);
    }
    std::vector<float> run(Plan& plan) const {
        plan.write(x, std::span<const float>(make_values({graph.shape(x)}, 0)));
        plan.write(w, std::span<const float>(make_values({graph.shape(w)}, 1)));
        plan.run();
        return plan.read(dw);
    }
};

// Fails call number `from` and, with `to` = kForever, all that follow. Returns whether there was such a call.
template <auto Entry> bool survives(Device& device, int from, int to, const std::vector<float>& expected) {
    CAPTURE(from);
    SmallTask task;
    auto real = device.fn().*Entry;
    Fault<Entry>::install(device, from, to);
    bool reached = false;
    {
        Plan plan(device, task.graph, plan_options());
        Outcome outcome = outcome_of([&] { task.run(plan); });
        reached = Fault<Entry>::calls > from;
        if (reached && to == kForever)
            CHECK(outcome.status == Status::device);
        else // a single failure may be got over: another type of memory, for example
            CHECK((outcome.status == Status::ok || (reached && outcome.status == Status::device)));
        CHECK((outcome.status == Status::ok || !outcome.message.empty()));
        device.fn().*Entry = real;
        std::vector<float> result;
        Outcome again = outcome_of([&] { result = task.run(plan); });
        CHECK(again.message == "");
        CHECK(bits_of(result) == bits_of(expected));
    }
    CHECK((device.allocated_bytes == 0 || device.allocated_bytes == 4u << 20)); // the device's own staging stays
    return reached;
}

// What a device makes once and keeps, kernels and staging, needs a new device for each failure.
enum class Devices { one, one_each };

template <auto Entry> void check_every_call(Devices devices, VkResult answer, bool happens_anyway = false) {
    SmallTask task;
    Plan plan(test_device(), task.graph, plan_options());
    std::vector<float> expected = task.run(plan);
    Fault<Entry>::answer = answer;
    Fault<Entry>::happens_anyway = happens_anyway;
    std::unique_ptr<Device> device;
    for (int to : {0, kForever}) {
        int from = -1;
        do {
            if (!device || devices == Devices::one_each)
                device = Device::create(test_options());
            from++;
        } while (survives<Entry>(*device, from, to ? to : from, expected));
        CHECK(from > 0);
    }
}

} // namespace

TEST_SUITE_BEGIN("once"); // on one driver, see tools/test.sh

TEST_CASE("a device that runs out of memory at any moment") {
    check_every_call<&Functions::vkAllocateMemory>(Devices::one_each, VK_ERROR_OUT_OF_DEVICE_MEMORY);
}

TEST_CASE("buffers that cannot be created, bound or mapped") {
    check_every_call<&Functions::vkCreateBuffer>(Devices::one_each, VK_ERROR_OUT_OF_HOST_MEMORY);
    check_every_call<&Functions::vkBindBufferMemory>(Devices::one_each, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    check_every_call<&Functions::vkMapMemory>(Devices::one_each, VK_ERROR_MEMORY_MAP_FAILED);
}

TEST_CASE("kernels that cannot be made") {
    check_every_call<&Functions::vkCreateShaderModule>(Devices::one_each, VK_ERROR_OUT_OF_HOST_MEMORY);
    check_every_call<&Functions::vkCreateComputePipelines>(Devices::one_each, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    check_every_call<&Functions::vkCreatePipelineLayout>(Devices::one_each, VK_ERROR_OUT_OF_HOST_MEMORY);
    check_every_call<&Functions::vkCreateDescriptorSetLayout>(Devices::one_each, VK_ERROR_OUT_OF_HOST_MEMORY);
}

TEST_CASE("descriptor sets that cannot be had") {
    check_every_call<&Functions::vkCreateDescriptorPool>(Devices::one, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    check_every_call<&Functions::vkAllocateDescriptorSets>(Devices::one, VK_ERROR_FRAGMENTED_POOL);
}

TEST_CASE("command buffers that cannot be recorded") {
    check_every_call<&Functions::vkCreateCommandPool>(Devices::one, VK_ERROR_OUT_OF_HOST_MEMORY);
    check_every_call<&Functions::vkAllocateCommandBuffers>(Devices::one, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    check_every_call<&Functions::vkCreateFence>(Devices::one, VK_ERROR_OUT_OF_HOST_MEMORY);
    check_every_call<&Functions::vkBeginCommandBuffer>(Devices::one, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    check_every_call<&Functions::vkEndCommandBuffer>(Devices::one, VK_ERROR_OUT_OF_DEVICE_MEMORY, true);
}

TEST_CASE("submissions and waits that fail") {
    check_every_call<&Functions::vkQueueSubmit>(Devices::one, VK_ERROR_DEVICE_LOST);
    check_every_call<&Functions::vkWaitForFences>(Devices::one, VK_ERROR_DEVICE_LOST, true);
    check_every_call<&Functions::vkResetFences>(Devices::one, VK_ERROR_OUT_OF_DEVICE_MEMORY);
}

TEST_CASE("a submission that does not finish in time says so, and how to wait longer") {
    SmallTask task;
    std::unique_ptr<Device> device = Device::create(test_options());
    using Wait = Fault<&Functions::vkWaitForFences>;
    Wait::answer = VK_TIMEOUT;
    Wait::happens_anyway = true;
    Plan plan(*device, task.graph, plan_options());
    task.run(plan);
    auto real = device->fn().vkWaitForFences;
    Wait::install(*device, 0, 0);
    Outcome outcome = outcome_of([&] { plan.run(); });
    device->fn().vkWaitForFences = real;
    CHECK(outcome.status == Status::device);
    CHECK(outcome.says("VKVAE_TIMEOUT"));
    plan.run();
}

TEST_SUITE_END();
