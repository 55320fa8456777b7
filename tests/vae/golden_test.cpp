// Twenty Adam steps against PyTorch in float64: losses, first gradients and final weights (golden/make_golden.py).
// One model has every kind of layer that presets are made of, the other residual layers at odd sizes.
#include "io/safetensors.hpp"
#include "vae/model_fixture.hpp"

#include <algorithm>

namespace vkvae::test {
namespace {

constexpr int64_t kSteps = 20, kBatch = 6;
constexpr double kTolerance = 1e-4;

// Encoder, decoder, ELBO, backward and Adam with x and eps from outside: a Trainer without its data and its noise.
struct GoldenStep {
    Graph graph;
    Tensor x, eps, loss;
    std::unique_ptr<Plan> plan;

    explicit GoldenStep(Model& model) {
        const ModelConfig& config = model.vae.config();
        x = graph.input({kBatch, config.pixels()}, "x");
        eps = graph.input({kBatch, config.latent}, "eps");
        Weights w = model.vae.add_weights(graph);
        Elbo elbo = model.vae.elbo(graph, w, x, eps);
        loss = elbo.loss;
        graph.keep(loss);
        Shape flat = graph.shape(w.flat);
        Tensor gradients = graph.input(flat, "gradients"), m = graph.input(flat, "m"), v = graph.input(flat, "v");
        graph.backward(elbo.loss, w.tensors, model.parameters.views(graph, gradients));
        OptimizerState state = {w.flat, gradients, graph.input({1}, "halted", DType::u32)};
        adam(graph, state, m, v, {});
        plan = std::make_unique<Plan>(test_device(), graph, plan_options());
        using Region = Parameters::Region;
        std::pair<Tensor, Region> places[] = {
            {w.flat, Region::weights}, {gradients, Region::gradients}, {m, Region::m}, {v, Region::v}};
        for (auto [tensor, region] : places)
            plan->bind(tensor, model.parameters.buffer(), model.parameters.offset_bytes(region));
    }
};

// One step's images of the file, (N, C, H, W), as rows in (H, W, C) order.
std::vector<float> to_rows(std::span<const float> nchw, const ModelConfig& c) {
    std::vector<float> rows;
    for (int64_t n = 0; n < kBatch; n++)
        for (int64_t at = 0; at < c.height * c.width; at++)
            for (int64_t channel = 0; channel < c.channels; channel++)
                rows.push_back(nchw[size_t((n * c.channels + channel) * c.height * c.width + at)]);
    return rows;
}

// The largest difference, relative to the largest element.
double deviation(std::span<const float> got, std::span<const float> truth) {
    REQUIRE(got.size() == truth.size());
    double worst = 0, largest = 0;
    for (size_t i = 0; i < got.size(); i++) {
        double difference = std::abs(double(got[i]) - truth[i]);
        worst = difference <= worst ? worst : difference; // keeps a NaN
        largest = std::max(largest, std::abs(double(truth[i])));
    }
    return worst / largest;
}

struct Golden {
    SafetensorsFile file;
    explicit Golden(const std::string& model)
        : file(read_safetensors(VKVAE_SOURCE_DIR "/tests/golden/" + model + ".safetensors")) {}
    std::vector<float> operator[](const std::string& name) const {
        const TensorEntry* entry = file.find(name);
        REQUIRE_MESSAGE(entry, "the file has no " << name);
        return to_f32(*entry);
    }
};

void check_steps(const std::string& name) {
    Golden golden(name);
    Model model(golden.file.metadata.at("vkvae_config"));
    for (const Parameter& p : model.parameters.list())
        model.parameters.write(p, golden[p.name]);
    GoldenStep step(model);
    const ModelConfig& config = model.vae.config();
    std::vector<float> x = golden["x"], eps = golden["eps"], losses = golden["losses"];
    size_t pixels = size_t(kBatch * config.pixels()), latents = size_t(kBatch * config.latent);

    double worst_loss = 0, worst_gradient = 0, worst_weight = 0;
    for (int64_t t = 0; t < kSteps; t++) {
        step.plan->write(step.x,
                         std::span<const float>(to_rows(std::span(x).subspan(size_t(t) * pixels, pixels), config)));
        step.plan->write(step.eps, std::span<const float>(eps).subspan(size_t(t) * latents, latents));
        AdamOptions adam;
        StepParams params;
        params.step = uint32_t(t);
        params.lr = 1e-3f;
        params.bias1 = float(1 - std::pow(double(adam.beta1), double(t + 1)));
        params.bias2 = float(1 - std::pow(double(adam.beta2), double(t + 1)));
        step.plan->run(params);
        float loss = step.plan->read(step.loss)[0];
        double error = std::abs(loss / losses[size_t(t)] - 1.0);
        INFO("step ", t, ": loss ", loss, ", PyTorch has ", losses[size_t(t)]);
        CHECK(error <= kTolerance);
        worst_loss = std::max(worst_loss, error);
        if (t > 0)
            continue;
        for (const Parameter& p : model.parameters.list()) {
            error = deviation(model.parameters.read_gradient(p), golden["grad." + p.name]);
            CHECK_MESSAGE(error <= kTolerance, "gradient of " << p.name << ": " << error);
            worst_gradient = std::max(worst_gradient, error);
        }
    }
    for (const Parameter& p : model.parameters.list()) {
        double error = deviation(model.parameters.read(p), golden["final." + p.name]);
        CHECK_MESSAGE(error <= kTolerance, "final " << p.name << ": " << error);
        worst_weight = std::max(worst_weight, error);
    }
    MESSAGE(name << ", largest relative errors: losses " << worst_loss << ", gradients " << worst_gradient << ", final weights "
                                               << worst_weight);
}

TEST_CASE("twenty Adam steps follow PyTorch's: losses, gradients and weights") {
    check_steps("golden");
    check_steps("residual");
}

} // namespace
} // namespace vkvae::test
