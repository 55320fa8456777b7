// Training that meets an infinity or NaN: stops, names it, and keeps the last good weights.
#include "vae/model_fixture.hpp"

#include <limits>

namespace vkvae::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Case {
    const char* what;
    const char* parameter; // whose first element goes bad
    float value;
    const char* optimizer;
    const char* first_bad;
};

TEST_CASE("a number that is not finite stops training and is named; the weights stay as they were") {
    std::vector<std::byte> data = blobs(50, 6, 6);
    const Case cases[] = {
        {"an infinite encoder weight", "encoder.layers.0.bias", kInfinity, "adam", "encoder.layers.0.bias"},
        {"a NaN in the decoder, after the kl was stored", "decoder.layers.0.weight", std::nanf(""), "adam",
         "decoder.layers.0.weight"},
        // The gradient of the last bias stays finite, so that the loss alone tells.
        {"an infinite loss with a finite gradient", "decoder.layers.1.bias", -kInfinity, "sgd",
         "decoder.layers.1.bias"},
        {"an overflow of the kl", "fc_mu.bias", 1e30f, "sgd", "kl"},
        {"a NaN in logvar, which is limited before its exponential", "fc_logvar.bias", std::nanf(""), "adam",
         "fc_mu.bias | fc_logvar.bias"},
    };
    for (const Case& c : cases) {
        INFO(std::string(c.what));
        Model model(kTinyModel);
        TrainOptions options = {.batch = 8, .optimizer = c.optimizer, .lr = 1e-3f, .seed = 77, .max_steps = 8};
        Trainer trainer(test_device(), model.vae, model.parameters, view_of(data, 36), options);
        trainer.run(5);
        std::vector<float> values = model.parameters.read(model.definition(c.parameter));
        values[0] = c.value;
        model.set(c.parameter, values);
        std::vector<float> before = model.weights(), m = model.parameters.read(Parameters::Region::m);
        Outcome outcome = outcome_of([&] { trainer.run(20); });
        INFO(outcome.message);
        CHECK(outcome.status == Status::runtime);
        CHECK(outcome.says("step 5 (seed 77)"));
        CHECK(outcome.says("'" + std::string(c.first_bad)));
        CHECK_FALSE(outcome.says("second run"));
        CHECK_FALSE(outcome.says("'statistics'"));
        CHECK(same_bits(model.weights(), before));
        CHECK(same_bits(model.parameters.read(Parameters::Region::m), m));
        CHECK(trainer.step() == 5);

        // Repaired, it goes on.
        model.parameters.initialise(1);
        std::vector<StepStats> stats = trainer.run(3);
        CHECK(stats.front().step == 5);
        CHECK_FALSE(same_bits(model.weights(), before));
    }
}

TEST_CASE("the first bad step is named and its weights are kept, in the middle of a submission too") {
    // The square of one number of the data is infinite: the step that first draws this sample fails.
    std::vector<float> data = as_floats(blobs(48, 6, 6));
    data[20 * 36 + 5] = 1e30f;
    std::string json = kTinyModel;
    json.replace(json.find("bernoulli"), 9, "gaussian");
    std::vector<uint32_t> order = permutation(48, 5, 0);
    int64_t bad_step = (std::find(order.begin(), order.end(), 20u) - order.begin()) / 2;
    REQUIRE(bad_step > 1);
    TrainOptions options = {.batch = 2, .lr = 1e-3f, .seed = 5, .max_steps = 64, .submit_seconds = 100};
    Model model(json), good(json);
    Trainer trainer(test_device(), model.vae, model.parameters, view_of(data, 36), options);
    Outcome outcome = outcome_of([&] { trainer.run(24); });
    CHECK(outcome.says(concat_text("step ", bad_step, " (seed 5)")));
    CHECK(outcome.says("the first bad tensor is '"));
    CHECK_FALSE(outcome.says("second run"));
    Trainer stopped(test_device(), good.vae, good.parameters, view_of(data, 36), options);
    stopped.run(bad_step);
    CHECK(same_bits(model.weights(), good.weights()));
}

TEST_CASE("a learning rate that is far too large ends in an error, not in silence") {
    std::vector<std::byte> data = blobs(50, 6, 6);
    Model model(kTinyModel);
    TrainOptions options = {.batch = 8, .optimizer = "sgd", .lr = 1e20f, .seed = 1, .max_steps = 8};
    Trainer trainer(test_device(), model.vae, model.parameters, view_of(data, 36), options);
    Outcome outcome = outcome_of([&] { trainer.run(50); });
    CHECK(outcome.status == Status::runtime);
    CHECK(outcome.says("is not finite"));
    for (float w : model.weights())
        REQUIRE(std::isfinite(w));
}

} // namespace
} // namespace vkvae::test
