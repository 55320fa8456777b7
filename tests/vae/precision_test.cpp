// Mixed precision in training: f32 weights with a copy of 16 bits, a loss scale that finds its place, the same exactness.
#include "io/float16.hpp"
#include "vae/model_fixture.hpp"

namespace vkvae::test {
namespace {

// Wide enough for tensors of 16 bits; products, norms, steps that add, and an upsampling whose weights are folded in f32.
const char* const kMixedModel = R"({"name": "mixed", "input": [8, 8, 1], "latent": 3, "likelihood": "bernoulli",
    "encoder": [{"type": "conv2d", "out": 20, "kernel": 3, "stride": 2, "padding": 1, "activation": "silu"},
                {"type": "residual", "activation": "relu", "layers": [
                    {"type": "group_norm", "groups": 4, "activation": "silu"},
                    {"type": "conv2d", "out": 20, "kernel": 3, "padding": 1}]},
                {"type": "linear", "out": 32, "activation": "tanh"}],
    "decoder": [{"type": "linear", "out": 320, "activation": "relu"}, {"type": "reshape", "shape": [4, 4, 20]},
                {"type": "upsample"}, {"type": "conv2d", "out": 24, "kernel": 3, "padding": 1, "activation": "relu"},
                {"type": "conv2d", "out": 1, "kernel": 3, "padding": 1}]})";

const std::vector<std::byte>& pictures() {
    static const std::vector<std::byte> bytes = blobs(64, 8, 8);
    return bytes;
}

struct MixedModel : Model {
    explicit MixedModel(DType precision, uint64_t seed = 1) : Model(kMixedModel, true, seed) {
        parameters.allocate(test_device(), true, precision);
        parameters.initialise(seed);
    }
    std::vector<uint16_t> narrow() const {
        std::vector<uint16_t> bits(size_t(parameters.padded()));
        test_device().download(parameters.buffer(), parameters.narrow_offset(),
                               std::as_writable_bytes(std::span(bits)));
        return bits;
    }
    void check_narrow() const {
        std::vector<float> wide = weights();
        std::vector<uint16_t> bits = narrow();
        size_t wrong = 0;
        for (size_t i = 0; i < wide.size(); i++)
            wrong += bits[i] != (parameters.precision() == DType::f16 ? to_f16(wide[i]) : to_bf16(wide[i]));
        CHECK(wrong == 0);
    }
};

TrainOptions mixed_options(DType precision) {
    return {.batch = 16, .lr = 2e-3f, .seed = 11, .precision = precision, .max_steps = 8};
}

double mean_loss(std::span<const StepStats> stats) {
    double sum = 0;
    for (const StepStats& s : stats)
        sum += s.loss;
    return sum / double(stats.size());
}

TEST_CASE("training in f16 and bf16 takes f32's way, and the copies are the weights rounded" *
          doctest::test_suite("once")) {
    for (const char* optimizer : {"adam", "sgd"}) {
        auto trained = [&](MixedModel& model, DType precision) {
            TrainOptions options = mixed_options(precision);
            options.optimizer = optimizer;
            Trainer trainer(test_device(), model.vae, model.parameters, view_of(pictures(), 64), options);
            return trainer.run(40);
        };
        MixedModel exact(DType::f32);
        std::vector<StepStats> expected = trained(exact, DType::f32);
        for (DType precision : {DType::f16, DType::bf16}) {
            INFO(std::string(optimizer), " in ", std::string(type_name(precision)));
            MixedModel model(precision);
            model.check_narrow();
            std::vector<StepStats> stats = trained(model, precision);
            model.check_narrow();
            double unit = precision == DType::f16 ? 0x1p-11 : 0x1p-8;
            CHECK(std::abs(stats[0].loss / expected[0].loss - 1) < 4 * unit);
            CHECK(std::abs(stats[0].gradient_norm / expected[0].gradient_norm - 1) < 8 * unit);
            CHECK(std::abs(mean_loss(std::span(stats).last(8)) / mean_loss(std::span(expected).last(8)) - 1) < 0.02);
            CHECK(mean_loss(std::span(stats).last(8)) < 0.95 * mean_loss(std::span(stats).first(8)));
            CHECK_FALSE(same_bits(model.weights(), exact.weights())); // or nothing was of 16 bits
            for (const StepStats& s : stats) {
                CHECK_FALSE(s.skipped);
                CHECK(s.loss_scale == (precision == DType::f16 ? kFirstLossScale : 1));
            }
        }
    }
}

TEST_CASE("mixed precision takes less memory between the kernels") {
    Vae vae(parse_model(kMixedModel));
    auto bytes = [&](DType precision) {
        return train_memory(test_device(), vae, mixed_options(precision), 64, DType::u8);
    };
    CHECK(double(bytes(DType::f16).unshared) < 0.85 * double(bytes(DType::f32).unshared));
    CHECK(bytes(DType::bf16).unshared < bytes(DType::f32).unshared);
}

TEST_CASE("a loss scale that is too large is halved until gradients are finite, and no such step changes a weight") {
    MixedModel model(DType::f16);
    std::vector<float> before = model.weights();
    model.parameters.set_loss_scale({0x1p32f, 0, 0});
    Trainer trainer(test_device(), model.vae, model.parameters, view_of(pictures(), 64), mixed_options(DType::f16));
    std::vector<StepStats> stats = trainer.run(1);
    CHECK(stats[0].skipped);
    CHECK(std::isfinite(stats[0].loss));
    CHECK(same_bits(model.weights(), before));
    for (float m : model.parameters.read(Parameters::Region::m))
        REQUIRE(m == 0);
    for (const StepStats& s : trainer.run(40))
        stats.push_back(s);
    size_t skipped = 0;
    float scale = 0x1p32f;
    for (const StepStats& s : stats) {
        CHECK(s.loss_scale == scale);
        skipped += s.skipped;
        scale = s.skipped ? scale / 2 : scale;
    }
    CHECK(skipped > 5);
    CHECK(skipped < 25);
    CHECK_FALSE(stats.back().skipped);
    CHECK(model.parameters.loss_scale()[0] == scale);
    CHECK(model.parameters.loss_scale()[2] == float(skipped));
    CHECK(stats.back().loss < stats.front().loss);
    model.check_narrow();
}

TEST_CASE("how mixed steps are grouped changes nothing, and a run that was saved goes on to the same bits") {
    for (DType precision : {DType::f16, DType::bf16}) {
        TempFolder folder;
        DataView data = view_of(pictures(), 64);
        auto start = [&](MixedModel& model) { // the scale changes twice on the way
            if (precision == DType::f16)
                model.parameters.set_loss_scale({0x1p24f, 0, 0});
        };
        MixedModel whole(precision), apart(precision), resumed(precision, 99);
        start(whole);
        start(apart);
        TrainOptions options = mixed_options(precision);
        Trainer(test_device(), whole.vae, whole.parameters, data, options).run(12);
        TrainOptions single = options;
        single.max_steps = 1;
        Trainer first(test_device(), apart.vae, apart.parameters, data, single);
        first.run(3);
        save_model(folder.path / "model", apart.vae, apart.parameters);
        save_train_state(folder.path / "state", apart.parameters, {first.step(), {}});
        first.run(9);
        CHECK(same_bits(apart.weights(), whole.weights()));

        load_model(folder.path / "model", resumed.vae, resumed.parameters);
        TrainState state = load_train_state(folder.path / "state", resumed.parameters);
        resumed.check_narrow();
        Trainer second(test_device(), resumed.vae, resumed.parameters, data, options);
        second.set_step(state.step);
        second.run(9);
        CHECK(same_bits(resumed.weights(), whole.weights()));
        CHECK(resumed.narrow() == whole.narrow());
        if (precision == DType::f16)
            CHECK(resumed.parameters.loss_scale() == whole.parameters.loss_scale());
    }
}

TEST_CASE("a state without a loss scale is none of f16") {
    TempFolder folder;
    MixedModel wide(DType::f32), narrow(DType::f16);
    save_train_state(folder.path / "state", wide.parameters, {3, {}});
    Outcome outcome = outcome_of([&] { load_train_state(folder.path / "state", narrow.parameters); });
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("has no loss scale"));
}

TEST_CASE("activations beyond f16's range stop training with a word on what to do" * doctest::test_suite("once")) {
    MixedModel model(DType::f16);
    model.fill("encoder.layers.0.bias", 7e4f);
    Trainer trainer(test_device(), model.vae, model.parameters, view_of(pictures(), 64), mixed_options(DType::f16));
    Outcome outcome = outcome_of([&] { trainer.run(60); }); // not before the loss scale could be to blame no more
    INFO(outcome.message);
    CHECK(outcome.status == Status::runtime);
    CHECK(outcome.says("--precision bf16 or f32"));
    CHECK_FALSE(outcome.says("second run"));

    // Repaired, it goes on as from the start.
    CHECK(model.parameters.loss_scale() == std::array<float, 3>{kFirstLossScale, 0, 0});
    model.fill("encoder.layers.0.bias", 0);
    std::vector<StepStats> stats = trainer.run(30);
    CHECK(stats.back().loss < stats.front().loss);
    CHECK_FALSE(stats.back().skipped);
}

TEST_CASE("kernels for f16 are measured even where gradients overflow at first" * doctest::test_suite("once")) {
    TrainOptions options = mixed_options(DType::f16);
    options.autotune = Autotune::quick;
    MixedModel model(DType::f16);
    model.parameters.set_loss_scale({0x1p40f, 5, 1});
    Trainer trainer(test_device(), model.vae, model.parameters, view_of(pictures(), 64), options);
    CHECK(trainer.tuned().refused == 0);
    CHECK(model.parameters.loss_scale() == std::array<float, 3>{0x1p40f, 5, 1});
}

TEST_CASE("a Trainer wants parameters of its precision") {
    MixedModel model(DType::bf16);
    Outcome outcome = outcome_of([&] {
        Trainer(test_device(), model.vae, model.parameters, view_of(pictures(), 64), mixed_options(DType::f16));
    });
    CHECK(outcome.says("not allocated for training in f16"));
}

} // namespace
} // namespace vkvae::test
