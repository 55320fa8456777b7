// Where a training starts: "output_bias": "data_mean" makes the decoder's last bias alone predict the mean of the data.
#include "vae/model_fixture.hpp"

namespace vkvae::test {
namespace {

// 5 x 3 pictures of two channels, on the even ones of which one number is always black.
constexpr int64_t kHeight = 5, kWidth = 3, kChannels = 2, kPixels = kHeight * kWidth * kChannels;

std::vector<std::byte> pictures(int64_t count) {
    std::vector<std::byte> bytes;
    for (int64_t i = 0; i < count; i++)
        for (int64_t at = 0; at < kPixels; at++) {
            float level = random_uniform(5, Stream::data, 2, uint32_t(i), uint32_t(at)) * (at % 2 ? 40 : 200);
            bytes.push_back(std::byte(at == 4 ? 0 : uint8_t(level)));
        }
    return bytes;
}

std::string model_with(const std::string& likelihood, const std::string& decoder,
                       const std::string& start = R"("output_bias": "data_mean")") {
    return R"({"input": [5, 3, 2], "latent": 2, "likelihood": ")" + likelihood + R"(", )" + start +
           R"(, "encoder": [], "decoder": [)" + decoder + "]}";
}

const std::string kFlat = R"({"type": "linear", "out": 30})";
const std::string kReshaped = R"({"type": "linear", "out": 30}, {"type": "reshape", "shape": [5, 3, 2]})";
const std::string kConv = R"({"type": "linear", "out": 60, "activation": "relu"},
    {"type": "reshape", "shape": [5, 3, 4]}, {"type": "conv2d", "out": 2, "kernel": 3, "padding": 1})";
const std::string kTransposed = R"({"type": "linear", "out": 60, "activation": "relu"},
    {"type": "reshape", "shape": [5, 3, 4]}, {"type": "conv_transpose2d", "out": 2, "kernel": 3, "padding": 1})";

// In double precision: of each number, or of each channel over all pixels.
std::vector<double> means(std::span<const float> data, bool per_channel) {
    std::vector<double> mean(kPixels);
    double rows = double(data.size()) / kPixels;
    for (size_t i = 0; i < data.size(); i++)
        mean[i % kPixels] += data[i] / rows;
    if (per_channel)
        for (size_t c = 0; c < kChannels; c++) {
            double sum = 0;
            for (size_t at = c; at < kPixels; at += kChannels)
                sum += mean[at] / (kHeight * kWidth);
            for (size_t at = c; at < kPixels; at += kChannels)
                mean[at] = sum;
        }
    return mean;
}

TEST_CASE(
    "the last bias alone predicts the mean of the data: of each number after linear, of each channel after conv") {
    struct Case {
        std::string decoder;
        const char* last;
        bool per_channel;
    };
    const Case cases[] = {{kFlat, "decoder.layers.0", false},
                          {kReshaped, "decoder.layers.0", false},
                          {kConv, "decoder.layers.2", true},
                          {kTransposed, "decoder.layers.2", true}};
    std::vector<std::byte> bytes = pictures(37);
    std::vector<float> floats = as_floats(bytes);
    for (const char* likelihood : {"bernoulli", "gaussian"})
        for (const Case& c : cases)
            for (bool u8 : {true, false}) {
                INFO(std::string(likelihood) << " " << c.decoder);
                CAPTURE(u8);
                Model model(model_with(likelihood, c.decoder));
                initialise(model.parameters, model.vae,
                           u8 ? view_of(bytes, kPixels) : view_of(std::span<const float>(floats), kPixels), 1);
                model.fill(std::string(c.last) + ".weight", 0);
                Sampler sampler(test_device(), model.vae, model.parameters, 1);
                std::vector<float> got = sampler.decode(std::vector<float>{0.3f, -2});
                std::vector<double> expected = means(floats, c.per_channel);
                double worst = 0;
                for (size_t i = 0; i < kPixels; i++)
                    worst = std::max(worst, std::abs(got[i] - (std::string(likelihood) == "bernoulli"
                                                                   ? std::clamp(expected[i], 0.001, 0.999)
                                                                   : expected[i])));
                CHECK(worst < 1e-6);
            }
}

TEST_CASE("everything else starts from the seed, and so does the bias of a model that does not ask for the mean") {
    std::vector<std::byte> bytes = pictures(3);
    Model mean(model_with("bernoulli", kConv)), plain(model_with("bernoulli", kConv, R"("output_bias": "pytorch")"));
    for (Model* model : {&mean, &plain})
        initialise(model->parameters, model->vae, view_of(bytes, kPixels), 9);
    Model drawn(model_with("bernoulli", kConv), true, 9);
    CHECK(same_bits(plain.weights(), drawn.weights()));
    for (const Parameter& p : drawn.parameters.list()) {
        bool same = same_bits(mean.parameters.read(p), drawn.parameters.read(p));
        CHECK_MESSAGE(same == (p.name != "decoder.layers.2.bias"), p.name);
    }
}

TEST_CASE("decoders that do not end in a bias cannot start at the mean of the data") {
    const std::string ends[] = {
        R"({"type": "linear", "out": 30, "bias": false})", R"({"type": "linear", "out": 30, "activation": "sigmoid"})",
        R"({"type": "linear", "out": 30}, {"type": "activation", "name": "tanh"})",
        R"({"type": "linear", "out": 30}, {"type": "reshape", "shape": [5, 3, 2], "activation": "relu"})",
        R"({"type": "linear", "out": 30}, {"type": "reshape", "shape": [5, 3, 2]}, {"type": "group_norm", "groups": 1})",
        R"({"type": "linear", "out": 30}, {"type": "reshape", "shape": [5, 3, 2]},
           {"type": "residual", "layers": [{"type": "conv2d", "out": 2, "kernel": 1}]})"};
    for (const std::string& end : ends) {
        INFO(end);
        CHECK_NOTHROW(Vae(parse_model(model_with("gaussian", end, R"("name": "plain")"))));
        Outcome outcome = outcome_of([&] { Vae(parse_model(model_with("gaussian", end))); });
        CHECK(outcome.status == Status::data);
        CHECK(outcome.says("does not end in a linear layer or a convolution that has a bias"));
    }
    Outcome outcome = outcome_of([&] { parse_model(model_with("gaussian", kFlat, R"("output_bias": "mean")")); });
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("known are data_mean and pytorch"));
}

TEST_CASE("a residual layer's activation says nothing about the weights inside of it") {
    const std::string layers = R"({"type": "residual", "activation": "relu", "layers": [
        {"type": "linear", "out": 8, "activation": "silu"}, {"type": "linear", "out": 9}]})";
    Vae vae(parse_model(R"({"input": [6], "latent": 2, "init": "he", "decoder": [{"type": "linear", "out": 6}],
        "encoder": [{"type": "flatten"}, )" + layers + "]}"));
    for (const Parameter& p : vae.definitions()) {
        bool he = p.name == "encoder.layers.1.layers.0.weight";
        CHECK_MESSAGE(p.gain == (he ? std::sqrt(6.0f) : 1.0f), p.name);
    }
}

TEST_CASE("data of another model give no start values") {
    std::vector<std::byte> bytes = pictures(2);
    Model model(model_with("bernoulli", kFlat));
    std::vector<float> before = model.weights();
    CHECK(outcome_of([&] { initialise(model.parameters, model.vae, view_of(bytes, 20), 2); }).status == Status::data);
    CHECK(outcome_of([&] { initialise(model.parameters, model.vae, DataView{{}, 0, kPixels}, 2); }).status == Status::data);
    CHECK(same_bits(model.weights(), before));
}

} // namespace
} // namespace vkvae::test
