// Parameters on their way between PyTorch's layouts and the kernels', and their start values.
#include "vae/model_fixture.hpp"
#include "vae/nchw_twin.hpp"

namespace vkvae::test {
namespace {

struct LayoutCase {
    const char* what;
    std::string json;
};

// Every layer type, where flat features meet pictures of several channels, and sides that are not equal.
const LayoutCase kLayouts[] = {
    {"convolutions, norms and upsampling between dense layers",
     R"({"input": [5, 6, 3], "latent": 4, "encoder": [
        {"type": "conv2d", "out": 4, "kernel": 3, "stride": 2, "padding": [0, 1, 1, 0], "activation": "silu"},
        {"type": "group_norm", "groups": 2}, {"type": "layer_norm", "activation": "gelu"},
        {"type": "conv2d", "out": 5, "kernel": 2, "bias": false}, {"type": "flatten"}, {"type": "layer_norm"},
        {"type": "linear", "out": 9, "activation": "tanh"}], "decoder": [
        {"type": "linear", "out": 36, "activation": "elu"}, {"type": "layer_norm"},
        {"type": "reshape", "shape": [2, 3, 6]}, {"type": "upsample"},
        {"type": "conv2d", "out": 7, "kernel": 2, "padding": [1, 0, 1, 1], "activation": "leaky_relu"},
        {"type": "group_norm", "groups": 7}, {"type": "conv2d", "out": 3, "kernel": 1}]})"},
    {"transposed convolutions with output padding; the encoder ends in a picture",
     R"({"input": [6, 8, 2], "latent": 3, "encoder": [
        {"type": "conv2d", "out": 4, "kernel": 4, "stride": 2, "padding": 1, "activation": "softplus"}], "decoder": [
        {"type": "linear", "out": 36, "bias": false}, {"type": "activation", "name": "relu"},
        {"type": "reshape", "shape": [3, 4, 3]},
        {"type": "conv_transpose2d", "out": 5, "kernel": 3, "stride": 2, "padding": 1, "output_padding": 1},
        {"type": "activation", "name": "sigmoid"},
        {"type": "conv_transpose2d", "out": 2, "kernel": 3, "padding": 1, "bias": false}]})"},
    {"dense layers whose outputs are the picture, norm and bias included",
     R"({"input": [3, 4, 3], "latent": 2, "encoder": [{"type": "layer_norm"}], "decoder": [
        {"type": "linear", "out": 6}, {"type": "group_norm", "groups": 3, "activation": "relu"},
        {"type": "linear", "out": 36, "activation": "tanh"}, {"type": "layer_norm", "activation": "silu"}]})"},
    {"an upsampling that the convolution after it does as well",
     R"({"input": [4, 6, 2], "latent": 2, "encoder": [{"type": "flatten"}], "decoder": [
        {"type": "linear", "out": 18}, {"type": "reshape", "shape": [2, 3, 3]}, {"type": "upsample"},
        {"type": "conv2d", "out": 2, "kernel": 3, "padding": 1, "activation": "tanh"}]})"},
    {"residual layers: every shortcut, one inside of another, vectors that stand for a picture",
     R"({"input": [7, 5, 3], "latent": 3, "encoder": [
        {"type": "residual", "activation": "relu", "layers": [
            {"type": "conv2d", "out": 6, "kernel": 3, "stride": 2, "padding": 1, "activation": "tanh"},
            {"type": "residual", "layers": [{"type": "group_norm", "groups": 3, "activation": "silu"},
                {"type": "conv2d", "out": 6, "kernel": 3, "padding": 1}]},
            {"type": "conv2d", "out": 4, "kernel": 1}]},
        {"type": "flatten"},
        {"type": "residual", "layers": [{"type": "layer_norm"}, {"type": "linear", "out": 9, "activation": "gelu"},
            {"type": "linear", "out": 48}]},
        {"type": "linear", "out": 8}, {"type": "residual", "layers": [{"type": "linear", "out": 5}]}],
        "decoder": [{"type": "linear", "out": 70, "activation": "elu"}, {"type": "reshape", "shape": [7, 5, 2]},
        {"type": "residual", "activation": "silu", "layers": [
            {"type": "flatten"}, {"type": "linear", "out": 24}, {"type": "reshape", "shape": [4, 2, 3]},
            {"type": "upsample"}, {"type": "conv2d", "out": 4, "kernel": 3, "padding": 1},
            {"type": "conv2d", "out": 3, "kernel": 2, "padding": [0, 1, 0, 1]}]}]})"},
    {"a reshape in the encoder", R"({"input": [2, 6, 2], "latent": 2, "likelihood": "gaussian", "sigma": "learned",
        "encoder": [{"type": "flatten"}, {"type": "linear", "out": 24}, {"type": "reshape", "shape": [3, 2, 4]},
        {"type": "conv2d", "out": 3, "kernel": 2, "padding": 1}],
        "decoder": [{"type": "linear", "out": 24}, {"type": "reshape", "shape": [2, 6, 2]}]})"},
};

// Norms start at gamma 1, beta 0, which would hide a permutation: every parameter gets values of its own.
void randomise(Model& model) {
    for (size_t i = 0; i < model.parameters.list().size(); i++) {
        const Parameter& p = model.parameters.list()[i];
        float middle = p.fill, size = p.fan_in ? 1.5f / std::sqrt(float(p.fan_in)) : 0.5f;
        model.parameters.write(p, random_values(size_t(p.count()), uint32_t(i), middle - size, middle + size));
    }
}

Values to_chw(std::span<const float> hwc, const ModelConfig& c) {
    Values chw;
    for (int64_t channel = 0; channel < c.channels; channel++)
        for (int64_t at = 0; at < c.height * c.width; at++)
            chw.push_back(hwc[size_t(at * c.channels + channel)]);
    return chw;
}

double largest_difference(std::span<const float> got, const Values& expected) {
    REQUIRE(got.size() == expected.size());
    double worst = 0;
    for (size_t i = 0; i < got.size(); i++) {
        double difference = std::abs(got[i] - expected[i]);
        worst = difference <= worst ? worst : difference; // keeps a NaN
    }
    return worst;
}

TEST_CASE("a file's weights mean in our layouts what they mean in PyTorch's") {
    constexpr int64_t kSamples = 3;
    for (const LayoutCase& c : kLayouts) {
        INFO(std::string(c.what));
        Model model(c.json, false);
        randomise(model);
        const ModelConfig& config = model.vae.config();
        NchwTwin twin(config, model.parameters);
        Sampler sampler(test_device(), model.vae, model.parameters, kSamples);
        size_t pixels = size_t(config.pixels()), latent = size_t(config.latent);

        std::vector<float> x = random_values(kSamples * pixels, 98, 0, 1);
        Sampler::Encoded encoded = sampler.encode(x);
        std::vector<float> z = random_values(kSamples * latent, 99, -2, 2), images = sampler.decode(z);
        for (size_t i = 0; i < kSamples; i++) {
            NchwTwin::Encoded expected = twin.encode(to_chw(std::span(x).subspan(i * pixels, pixels), config));
            std::span<const float> mu(encoded.mu), logvar(encoded.logvar), means(images);
            CHECK(largest_difference(mu.subspan(i * latent, latent), expected.mu) < 1e-5);
            CHECK(largest_difference(logvar.subspan(i * latent, latent), expected.logvar) < 1e-5);
            Values image = twin.decode(Values(z.begin() + int64_t(i * latent), z.begin() + int64_t((i + 1) * latent)));
            if (config.likelihood == "bernoulli")
                image = reference::activate(reference::Activation::sigmoid, image);
            // Our picture is (H, W, C): bring it to PyTorch's order before comparing.
            Values ours = to_chw(means.subspan(i * pixels, pixels), config);
            CHECK(largest_difference(std::vector<float>(ours.begin(), ours.end()), image) < 1e-5);
        }
    }
}

TEST_CASE("parameters come back as they were written, and leave their neighbours alone") {
    for (const LayoutCase& c : kLayouts) {
        INFO(std::string(c.what));
        Model model(c.json);
        randomise(model);
        std::vector<std::vector<float>> before;
        for (const Parameter& p : model.parameters.list())
            before.push_back(model.parameters.read(p));
        for (size_t i = 0; i < before.size(); i++) {
            const Parameter& p = model.parameters.list()[i];
            std::vector<float> fresh = random_values(before[i].size(), uint32_t(100 + i), -1, 1);
            model.parameters.write(p, fresh);
            before[i] = fresh;
            for (size_t k = 0; k < before.size(); k++)
                CHECK_MESSAGE(same_bits(model.parameters.read(model.parameters.list()[k]), before[k]), p.name);
        }
    }
}

TEST_CASE("gradients are read in the same order as weights") {
    Model model(kLayouts[0].json);
    randomise(model);
    model.parameters.write(Parameters::Region::gradients, model.weights());
    for (const Parameter& p : model.parameters.list())
        CHECK_MESSAGE(same_bits(model.parameters.read_gradient(p), model.parameters.read(p)), p.name);
}

TEST_CASE("start values are PyTorch's: uniform in one over the root of the fan-in, norms at one and zero") {
    Model model(R"({"input": [8, 8, 2], "latent": 4, "likelihood": "gaussian", "sigma": "learned", "encoder": [
        {"type": "conv2d", "out": 32, "kernel": 3}, {"type": "group_norm", "groups": 4}], "decoder": [
        {"type": "linear", "out": 256}, {"type": "reshape", "shape": [4, 4, 16]},
        {"type": "conv_transpose2d", "out": 2, "kernel": 4, "stride": 2, "padding": 1}]})");
    std::pair<std::string, double> bounds[] = {{"encoder.layers.0.weight", 1 / std::sqrt(2 * 9.0)},
                                               {"encoder.layers.0.bias", 1 / std::sqrt(2 * 9.0)},
                                               {"fc_mu.weight", 1 / std::sqrt(6 * 6 * 32.0)},
                                               {"decoder.layers.0.weight", 1 / std::sqrt(4.0)},
                                               {"decoder.layers.2.weight", 1 / std::sqrt(2 * 16.0)}};
    for (const auto& [name, bound] : bounds) {
        double largest = 0, sum = 0, squares = 0;
        std::vector<float> values = model.parameters.read(model.definition(name));
        for (float value : values) {
            largest = std::max(largest, std::abs(double(value)));
            sum += value;
            squares += double(value) * value;
        }
        double n = double(values.size());
        CAPTURE(largest);
        CHECK(largest <= bound);
        CHECK(largest > 0.9 * bound);
        CHECK(std::abs(sum / n) < 4 * bound / std::sqrt(3 * n));
        CHECK(squares / n == doctest::Approx(bound * bound / 3).epsilon(4 / std::sqrt(n)));
    }
    for (float value : model.parameters.read(model.definition("encoder.layers.1.weight")))
        CHECK(value == 1.0f);
    for (float value : model.parameters.read(model.definition("encoder.layers.1.bias")))
        CHECK(value == 0.0f);
    CHECK(model.parameters.read(model.definition("likelihood.log_sigma")) == std::vector<float>{0.0f});
}

TEST_CASE("start values depend on the seed alone") {
    Model a(kTinyModel, true, 5), b(kTinyModel, false, 5), c(kTinyModel, true, 5 + (uint64_t(1) << 32));
    CHECK(same_bits(a.weights(), b.weights()));
    CHECK_FALSE(same_bits(a.weights(), c.weights()));
}

TEST_CASE("parameters without memory, without gradients or of another size are errors, not crashes") {
    Vae vae(parse_model(kTinyModel));
    Parameters parameters = vae.make_parameters();
    const Parameter& p = parameters.list().front();
    CHECK(outcome_of([&] { parameters.read(p); }).says("allocate"));
    CHECK(outcome_of([&] { parameters.initialise(1); }).says("allocate"));
    parameters.allocate(test_device(), false);
    CHECK(outcome_of([&] { parameters.read_gradient(p); }).says("no gradients"));
    CHECK(outcome_of([&] { parameters.read(Parameters::Region::m); }).says("only weights"));
    CHECK(outcome_of([&] { parameters.write(p, std::vector<float>(3)); }).says("encoder.layers.0.weight has 576"));
    CHECK(parameters.count() == 16 * 36 + 16 + 2 * (3 * 16 + 3) + 16 * 3 + 16 + 36 * 16 + 36);
}

} // namespace
} // namespace vkvae::test
