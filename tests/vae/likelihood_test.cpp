// Every row of the table of likelihoods: it trains on data of its kind, refuses others, and starts where it is told.
#include "vae/model_fixture.hpp"

#include <set>

namespace vkvae::test {
namespace {

constexpr int64_t kWidth = 6;

struct Row {
    std::string likelihood; // and its keys
    int64_t parameters;
    int levels; // of the data; 0: any number from 0 to 1
    float unit = 1;
};
const Row kRows[] = {
    {R"("bernoulli")", 1, 2},
    {R"("continuous_bernoulli")", 1, 0},
    {R"("gaussian")", 1, 0},
    {R"("gaussian", "sigma": "learned")", 1, 0},
    {R"("gaussian", "sigma": "per_pixel")", 2, 0},
    {R"("laplace", "sigma": 0.3)", 1, 0},
    {R"("laplace", "sigma": "learned")", 1, 0},
    {R"("discretised_logistic")", 2, 256, 1.0f / 255},
    {R"("discretised_logistic", "components": 3)", 9, 256, 1.0f / 255},
    {R"("categorical", "classes": 5)", 5, 5},
    {R"("multinomial")", 1, 9},
    {R"("poisson")", 1, 9},
    {R"("negative_binomial")", 2, 9},
};

std::string model_of(const Row& row, const std::string& extra = "", int64_t hidden = 12) {
    return R"({"input": [6], "latent": 2, "likelihood": )" + row.likelihood + extra +
           R"(, "encoder": [{"type": "linear", "out": )" + std::to_string(hidden) +
           R"(, "activation": "relu"}], "decoder": [{"type": "linear", "out": 12, "activation": "relu"},
           {"type": "linear", "out": )" + std::to_string(kWidth * row.parameters) + "}]}";
}

// Rows of equal numbers, so that there is something to learn.
std::vector<float> data_of(const Row& row, int64_t count) {
    std::vector<float> data;
    for (int64_t i = 0; i < count; i++) {
        float u = random_uniform(3, Stream::data, 0, 0, uint32_t(i));
        float value = row.levels > 0 ? row.unit * std::floor(u * float(row.levels)) : u;
        data.insert(data.end(), kWidth, value);
    }
    return data;
}

TEST_CASE("every likelihood of the table is tried here") {
    std::set<std::string> tried;
    for (const Row& row : kRows)
        tried.insert(parse_model(model_of(row)).likelihood);
    for (const Likelihood& likelihood : likelihoods())
        CHECK_MESSAGE(tried.count(likelihood.name), likelihood.name);
}

TEST_CASE("every likelihood trains, evaluates and predicts what can be") {
    for (const Row& row : kRows) {
        INFO(row.likelihood);
        std::vector<float> data = data_of(row, 64);
        DataView view = view_of(std::span<const float>(data), kWidth);
        Model model(model_of(row));
        CHECK(model.vae.config().parameters == row.parameters);
        TrainOptions options;
        options.batch = 16;
        options.lr = 1e-2f;
        options.autotune = Autotune::off;
        Trainer trainer(test_device(), model.vae, model.parameters, view, options);
        std::vector<StepStats> stats = trainer.run(150);
        double first = 0, last = 0;
        for (size_t i = 0; i < 10; i++) {
            first += stats[i].loss / 10;
            last += stats[stats.size() - 1 - i].loss / 10;
        }
        CHECK(last < first - 0.3);
        Evaluation e = evaluate(test_device(), model.vae, model.parameters, view, {.batch = 32, .importance_samples = 8});
        CHECK(std::isfinite(e.nll));
        CHECK(e.iw_nll < -e.elbo + 0.1);
        Sampler sampler(test_device(), model.vae, model.parameters, 16);
        std::vector<float> predicted = sampler.reconstruct(std::span(data).first(16 * kWidth));
        REQUIRE(predicted.size() == 16 * kWidth);
        bool any = model.vae.config().likelihood == "gaussian" || model.vae.config().likelihood == "laplace";
        for (float p : predicted)
            CHECK((std::isfinite(p) && (any || p >= 0)));
    }
}

TEST_CASE("every likelihood trains in mixed precision, whose loss scale reaches its gradient") {
    for (const Row& row : kRows) {
        INFO(row.likelihood);
        std::vector<float> data = data_of(row, 32);
        std::vector<double> losses, norms;
        for (DType precision : {DType::f32, DType::f16}) {
            Vae vae(parse_model(model_of(row)));
            Parameters parameters = vae.make_parameters();
            parameters.allocate(test_device(), true, precision);
            parameters.initialise(1);
            if (precision == DType::f16)
                parameters.set_loss_scale({256, 0, 0});
            TrainOptions options = {.batch = 32, .precision = precision, .autotune = Autotune::off};
            Trainer trainer(test_device(), vae, parameters, view_of(std::span<const float>(data), kWidth), options);
            StepStats stats = trainer.run(1)[0];
            CHECK(!stats.skipped);
            losses.push_back(stats.loss);
            norms.push_back(stats.gradient_norm);
        }
        CHECK(std::abs(losses[1] - losses[0]) < 0.01 * std::abs(losses[0]) + 0.01);
        CHECK(std::abs(norms[1] - norms[0]) < 0.02 * norms[0]);
    }
}

TEST_CASE("data that a likelihood gives no probability are refused, by row and value") {
    struct Case {
        std::string likelihood, value, says;
        int64_t parameters;
    };
    const Case cases[] = {
        {R"("bernoulli")", "1.5", "sample 2 holds 1.5 at position 3, a bernoulli likelihood takes numbers from 0 to 1", 1},
        {R"("continuous_bernoulli")", "-0.5", "holds -0.5", 1},
        {R"("discretised_logistic")", "0.5", "the levels k/255", 2},
        {R"("poisson")", "-1", "holds -1 at position 3, a poisson likelihood takes counts", 1},
        {R"("negative_binomial")", "2.5", "holds 2.5", 2},
        {R"("multinomial")", "16777217e3", "integers from 0 to 2^24", 1},
        {R"("categorical", "classes": 5)", "5", "holds 5 at position 3, a categorical likelihood takes tokens: integers from 0 to 4", 5},
        {R"("gaussian")", "nan", "finite", 1},
    };
    for (const Case& c : cases) {
        INFO(c.likelihood);
        std::vector<float> data(4 * kWidth, 0.0f);
        ModelConfig config = parse_model(model_of({c.likelihood, c.parameters, 0}));
        CHECK_NOTHROW(view_of(std::span<const float>(data), kWidth).check(config));
        data[2 * kWidth + 3] = std::stof(c.value);
        Outcome outcome = outcome_of([&] { view_of(std::span<const float>(data), kWidth).check(config); });
        CHECK(outcome.status == Status::data);
        CHECK_MESSAGE(outcome.says(c.says), outcome.message);
    }
    std::vector<std::byte> bytes(kWidth);
    Outcome outcome = outcome_of([&] { view_of(bytes, kWidth).check(parse_model(model_of({R"("poisson")", 1, 0}))); });
    CHECK(outcome.says("bytes stand for shades"));
    CHECK_NOTHROW(view_of(bytes, kWidth).check(parse_model(model_of({R"("discretised_logistic")", 2, 0}))));
}

TEST_CASE("with the mean of the data in the last bias, the first parameter of each element says it") {
    for (const Row& row : kRows) {
        ModelConfig config = parse_model(model_of(row));
        if (!find_likelihood(config.likelihood).prediction_of)
            continue;
        INFO(row.likelihood);
        Model model(model_of(row, R"(, "output_bias": "data_mean")"));
        std::vector<float> data = data_of(row, 32);
        const float same = row.levels > 0 ? data[2 * kWidth] : 0.3f;
        for (size_t i = 0; i < data.size(); i++) // other means for other elements, and one that never occurs
            data[i] = i % kWidth == 0 ? 0 : i % kWidth < 3 ? data[i] : same;
        DataView view = view_of(std::span<const float>(data), kWidth);
        initialise(model.parameters, model.vae, view, 1);
        model.fill("decoder.layers.1.weight", 0);
        Sampler sampler(test_device(), model.vae, model.parameters, 1);
        std::vector<float> got = sampler.decode(std::vector<float>{0.3f, -2});
        std::vector<double> mean(kWidth);
        double total = 0;
        for (size_t i = 0; i < data.size(); i++)
            mean[i % kWidth] += data[i] / 32.0;
        for (double m : mean)
            total += m;
        bool mixture = config.components > 1; // whose components start together only where nothing was learned
        for (size_t i = 0; i < kWidth && !mixture; i++) {
            double expected = config.likelihood == "multinomial" ? mean[i] / total : mean[i];
            CHECK(std::abs(got[i] - expected) <= (i == 0 ? 0.021 : 2e-3) * std::max(1.0, expected));
        }
    }
}

TEST_CASE("and so for the channels of a convolution, whose parameters are neighbours") {
    Model model(R"({"input": [1, 4, 2], "latent": 2, "likelihood": "negative_binomial", "output_bias": "data_mean",
        "encoder": [], "decoder": [{"type": "linear", "out": 12, "activation": "relu"},
        {"type": "reshape", "shape": [1, 4, 3]}, {"type": "conv1d", "out": 4, "kernel": 3, "padding": 1}]})");
    const std::vector<float> data = {1, 5, 2, 6, 3, 7, 2, 6}; // channels of the means 2 and 6
    initialise(model.parameters, model.vae, view_of(std::span<const float>(data), 8), 1);
    model.fill("decoder.layers.2.weight", 0);
    Sampler sampler(test_device(), model.vae, model.parameters, 1);
    std::vector<float> got = sampler.decode(std::vector<float>{0.3f, -2});
    for (size_t i = 0; i < 8; i++)
        CHECK(got[i] == doctest::Approx(i % 2 ? 6 : 2).epsilon(1e-5));
}

TEST_CASE("an embedding is a table of vectors; layers of signals have PyTorch's names and shapes") {
    const std::string likelihood = R"("likelihood": "categorical", "classes": 3, )";
    Model model(R"({"input": [1], "latent": 2, )" + likelihood + R"("encoder": [{"type": "embedding", "out": 2}],
        "decoder": [{"type": "linear", "out": 3}]})");
    model.set("encoder.layers.0.weight", {1, 2, 30, 40, 5, 6});
    model.set("fc_mu.weight", {1, 0, 0, 1});
    model.set("fc_mu.bias", {0.5f, 0});
    Sampler sampler(test_device(), model.vae, model.parameters, 3);
    CHECK(sampler.encode(std::vector<float>{2, 0, 1}).mu == std::vector<float>{5.5f, 6, 1.5f, 2, 30.5f, 40});

    Vae vae(parse_model(R"({"input": [8], "latent": 2, )" + likelihood + R"("encoder": [{"type": "embedding", "out": 5},
        {"type": "conv1d", "out": 6, "kernel": 4, "stride": 2, "padding": 1},
        {"type": "residual", "layers": [{"type": "conv1d", "out": 7, "kernel": 3, "padding": 1, "stride": 2}]}], "decoder": [
        {"type": "linear", "out": 16}, {"type": "reshape", "shape": [1, 4, 4]},
        {"type": "conv_transpose1d", "out": 3, "kernel": 4, "stride": 2, "padding": 1}]})"));
    std::map<std::string, Shape> shapes;
    for (const Parameter& p : vae.definitions())
        shapes[p.name] = p.disk_shape;
    CHECK(shapes["encoder.layers.0.weight"] == Shape{3, 5});
    CHECK(shapes["encoder.layers.1.weight"] == Shape{6, 5, 4});
    CHECK(shapes["encoder.layers.2.layers.0.weight"] == Shape{7, 6, 3});
    CHECK(shapes["encoder.layers.2.shortcut.weight"] == Shape{7, 6, 1});
    CHECK(shapes["fc_mu.weight"] == Shape{2, 14});
    CHECK(shapes["decoder.layers.2.weight"] == Shape{4, 3, 4});
    CHECK(shapes["decoder.layers.2.bias"] == Shape{3});
}

TEST_CASE("layers of signals and tokens refuse what is none") {
    auto refusal = [](const std::string& input, const std::string& encoder, const std::string& likelihood) {
        return outcome_of([&] {
            Vae(parse_model(R"({"input": )" + input + R"(, "latent": 2, "likelihood": )" + likelihood +
                            R"(, "encoder": [)" + encoder + R"(], "decoder": [{"type": "linear", "out": 24}]})"));
        });
    };
    const std::string tokens = R"("categorical", "classes": 3)", embedding = R"({"type": "embedding", "out": 2})";
    CHECK(refusal("[8]", embedding, tokens).status == Status::ok);
    CHECK(refusal("[24]", embedding, R"("poisson")").says("which only models with a categorical likelihood have"));
    CHECK(refusal("[8]", embedding + "," + embedding, tokens).says("let it be the encoder's first layer"));
    CHECK(refusal("[1, 4, 2]", embedding, tokens).says("one at each place"));
    const std::string conv = R"({"type": "conv1d", "out": 2, "kernel": 3)";
    CHECK(refusal("[4, 6, 1]", conv + "}", R"("poisson")").says("it takes signals (N, 1, L, C)"));
    CHECK(refusal("[24]", conv + R"(, "padding": [0, 1, 0, 1]})", R"("poisson")").says("\"padding\" must be an integer"));
    CHECK(refusal("[24]", conv + R"(, "output_padding": 1})", R"("poisson")").says("no \"output_padding\""));
}

} // namespace
} // namespace vkvae::test
