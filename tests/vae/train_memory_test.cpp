// What training takes is known to the byte before anything is allocated.
#include "vae/model_fixture.hpp"

namespace vkvae::test {
namespace {

void check_exact(const std::string& json, const TrainOptions& options, int64_t count, DType type, Device& device) {
    Vae vae(parse_model(json));
    std::vector<std::byte> data(uint64_t(count * vae.config().pixels()) * (type == DType::u8 ? 1 : 4));
    Parameters parameters = vae.make_parameters();
    {
        Parameters any = vae.make_parameters(); // the device's staging is its own, and there before
        any.allocate(device, false);
        any.initialise(1);
    }
    uint64_t before = device.allocated_bytes;
    TrainMemory told = train_memory(device, vae, options, count, type);
    CHECK(device.allocated_bytes == before);
    parameters.allocate(device, true, options.precision);
    CHECK(device.allocated_bytes - before == told.parameters);
    parameters.initialise(1);
    Trainer trainer(device, vae, parameters, view_of(data, vae.config().pixels(), type), options);
    trainer.run(1);
    CHECK(device.allocated_bytes - before == told.total());
    CHECK(told.intermediate <= told.unshared);
    CHECK(told.live <= told.intermediate);
    CHECK(told.dispatches == trainer.plan().dispatch_count());
    CHECK(told.levels == trainer.plan().level_count());
}

TEST_CASE("train_memory tells exactly what training allocates" * doctest::test_suite("once")) {
    TrainOptions options = {.batch = 4, .max_steps = 3};
    check_exact(kTinyModel, options, 7, DType::f32, test_device());
    check_exact(preset_model("mlp"), options, 33, DType::u8, test_device());
    check_exact(preset_model("conv28"), options, 33, DType::u8, test_device());
    for (DType precision : {DType::f16, DType::bf16}) {
        options.precision = precision;
        check_exact(preset_model("conv28"), options, 33, DType::u8, test_device());
    }
    options.precision = DType::f32;
    options.optimizer = "sgd";
    check_exact(kTinyModel, options, 7, DType::u8, test_device());
}

TEST_CASE("intermediate tensors take at most 1.15 times what lives at once") {
    for (const std::string& preset : preset_names()) {
        Vae vae(parse_model(preset_model(preset)));
        for (int64_t batch : {1, 37, 64, 128}) {
            if (preset == "res128" && batch == 128)
                continue; // more than one binding can see, on some drivers
            TrainMemory memory = train_memory(test_device(), vae, {.batch = batch}, 60000, DType::u8);
            INFO(preset, ", batch ", batch, ": ", memory.intermediate, " bytes, ", memory.live, " live at once");
            CHECK(double(memory.intermediate) <= 1.15 * double(memory.live));
        }
    }
}

TEST_CASE("train_memory is exact for sizes that are not whole words") {
    const char* odd = R"({"input": [7], "latent": 1, "encoder": [], "decoder": [{"type": "linear", "out": 7}]})";
    check_exact(odd, {.batch = 1, .max_steps = 1}, 3, DType::u8, test_device());
}

TEST_CASE("train_memory is exact for data that stream") {
    std::unique_ptr<Device> device = device_with_storage_range("65536");
    check_exact(kTinyModel, {.batch = 16, .max_steps = 64}, 5000, DType::u8, *device);
}

TEST_CASE("data with more elements than kernels can index stream") {
    Vae vae(parse_model(kTinyModel));
    int64_t count = (int64_t(1) << 31) / 36 + 1;
    TrainMemory memory = train_memory(test_device(), vae, {.batch = 16, .max_steps = 8}, count, DType::u8);
    CHECK(memory.data == 2 * 8 * 16 * 36);
}

TEST_CASE("a batch that no binding can see is refused before anything is allocated") {
    std::unique_ptr<Device> device = device_with_storage_range("65536");
    Vae vae(parse_model(kTinyModel));
    Outcome outcome = outcome_of([&] { train_memory(*device, vae, {.batch = 4000}, 100000, DType::u8); });
    CHECK(outcome.status == Status::device);
    CHECK(outcome.says("try a smaller batch"));
    CHECK(device->allocated_bytes == 0);
}

} // namespace
} // namespace vkvae::test
