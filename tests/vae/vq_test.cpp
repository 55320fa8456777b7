// The vq posterior: it trains, uses its codes, is exact to the bit, and is saved whole; the prior over its codes.
#include "vae/model_fixture.hpp"

#include <map>
#include <set>

namespace vkvae::test {
namespace {

constexpr int64_t kPixels = 64, kCount = 60;

const std::vector<std::byte>& some_data() {
    static const std::vector<std::byte> bytes = blobs(kCount, 8, 8);
    return bytes;
}

// A map of 4 x 4 codes.
std::string model_json(const std::string& posterior = R"("codes": 16, "dim": 4)", const std::string& more = "") {
    return concat_text(R"({"name": "tiny vq", "input": [8, 8, 1], "posterior": {"type": "vq", )", posterior, "}, ",
                       more,
                       R"("encoder": [{"type": "conv2d", "out": 12, "kernel": 4, "stride": 2, "padding": 1,
                                      "activation": "relu"}],
                          "decoder": [{"type": "conv_transpose2d", "out": 12, "kernel": 4, "stride": 2, "padding": 1,
                                       "activation": "relu"},
                                      {"type": "conv2d", "out": 1, "kernel": 3, "padding": 1}]})");
}

const char* const kPrior = R"("prior": {"type": "pixelcnn", "channels": 12, "layers": 2}, )";

struct Run {
    Model model;
    Trainer trainer;
    Run(const std::string& json, TrainOptions options = {.batch = 10, .lr = 5e-3f, .seed = 3, .max_steps = 8})
        : model(json), trainer((start(model, options.seed), test_device()), model.vae, model.parameters,
                               view_of(some_data(), kPixels), options) {}
    static void start(Model& m, uint64_t seed) {
        initialise(m.parameters, m.vae, view_of(some_data(), kPixels), seed);
    }
};

double mean_nll(std::span<const StepStats> stats) {
    double total = 0;
    for (const StepStats& s : stats)
        total += s.nll;
    return total / double(stats.size());
}

TEST_CASE("a vq model learns, and uses its codes") {
    for (const char* posterior : {R"("codes": 16, "dim": 4)", R"("codes": 16, "dim": 4, "codebook": "gradient")",
                                  R"("codes": 7, "dim": 3, "residual": 2)"}) {
        CAPTURE(posterior);
        Run run(model_json(posterior));
        std::vector<StepStats> stats = run.trainer.run(150);
        CHECK(mean_nll(std::span(stats).last(20)) < 0.6 * mean_nll(std::span(stats).first(5)));
        const VqConfig& vq = run.model.vae.config().vq;
        CHECK(vq.positions() == 16);
        for (const StepStats& s : stats) {
            REQUIRE(int64_t(s.perplexity.size()) == vq.levels);
            REQUIRE(int64_t(s.kl_dims.size()) == vq.levels);
            CHECK(s.kl == doctest::Approx(double(vq.levels) * 16 * std::log(double(vq.codes))));
            CHECK(s.loss > s.nll); // by the quantisation error
        }
        for (float perplexity : stats.back().perplexity) {
            CHECK(perplexity > 2.5f); // most places are dark, and have one code
            CHECK(perplexity <= float(vq.codes) * 1.001f);
        }
    }
}

TEST_CASE("training a vq model gives the same bits, in one go, in pieces, and through files") {
    std::string json = model_json(R"("codes": 16, "dim": 4, "residual": 2, "restart": 0.5, "decay": 0.8)", kPrior);
    Run whole(json), pieces(json);
    whole.trainer.run(20);
    pieces.trainer.run(9);
    TempFolder folder;
    save_model(folder.path / "m.safetensors", pieces.model.vae, pieces.model.parameters);
    TrainState state = {.step = pieces.trainer.step(), .extra = {}};
    save_train_state(folder.path / "s.safetensors", pieces.model.parameters, state);
    Run resumed(json);
    load_model(folder.path / "m.safetensors", resumed.model.vae, resumed.model.parameters);
    resumed.trainer.set_step(load_train_state(folder.path / "s.safetensors", resumed.model.parameters).step);
    resumed.trainer.run(11);
    CHECK(same_bits(resumed.model.weights(), whole.model.weights()));
    Run other(json, {.batch = 10, .lr = 5e-3f, .seed = 4, .max_steps = 8});
    other.trainer.run(20);
    CHECK_FALSE(same_bits(other.model.weights(), whole.model.weights()));
}

TEST_CASE("a model file holds codebooks and frequencies under their names") {
    Run run(model_json());
    run.trainer.run(5);
    TempFolder folder;
    save_model(folder.path / "m.safetensors", run.model.vae, run.model.parameters);
    Model loaded(read_model_config(folder.path / "m.safetensors").json);
    load_model(folder.path / "m.safetensors", loaded.vae, loaded.parameters);
    CHECK(same_bits(loaded.weights(), run.model.weights()));
    const Parameter& frequencies = loaded.definition("quantizer.levels.0.frequencies");
    CHECK(loaded.definition("quantizer.levels.0.codes").disk_shape == Shape{16, 4});
    double total = 0;
    for (float f : loaded.parameters.read(frequencies))
        total += f;
    CHECK(total == doctest::Approx(1));
}

TEST_CASE("state is behind what the optimizer reaches: neither its norm nor its decay touches it") {
    TrainOptions options = {.batch = 10, .optimizer = "adamw", .lr = 0.1f, .weight_decay = 0.5f, .max_steps = 4};
    Run run(model_json(R"("codes": 16, "dim": 4, "decay": 1, "restart": 0)"), options);
    const Parameters& parameters = run.model.parameters;
    CHECK(parameters.trained() < parameters.padded());
    for (const Parameter& p : parameters.list())
        CHECK((p.offset < parameters.trained()) == p.trained);
    const Parameter& codes = run.model.definition("quantizer.levels.0.codes");
    CHECK_FALSE(codes.trained);
    std::vector<float> before = parameters.read(codes);
    StepStats stats = run.trainer.run(1).front();
    CHECK(same_bits(parameters.read(codes), before));
    double squares = 0;
    for (const Parameter& p : parameters.list())
        for (float d : p.trained ? parameters.read_gradient(p) : std::vector<float>{})
            squares += double(d) * d;
    CHECK(stats.gradient_norm == doctest::Approx(std::sqrt(squares)).epsilon(1e-4));
    Run learned(model_json(R"("codes": 16, "dim": 4, "codebook": "gradient")"), options);
    CHECK(learned.model.definition("quantizer.levels.0.codes").trained);
}

TEST_CASE("a codebook starts as vectors that the encoder makes of the data") {
    Run run(model_json());
    const Parameters& parameters = run.model.parameters;
    std::vector<float> codes = parameters.read(run.model.definition("quantizer.levels.0.codes"));
    Graph g;
    Weights w = run.model.vae.add_weights(g);
    Tensor x = g.input({kCount, kPixels}, "x");
    Tensor encoded = run.model.vae.encode(g, w, x);
    g.keep(encoded);
    Plan plan(test_device(), g);
    plan.bind(w.flat, parameters.buffer());
    plan.write(x, std::span<const float>(as_floats(some_data())));
    plan.run();
    std::vector<float> z = plan.read(encoded);
    std::set<std::vector<float>> different;
    for (size_t k = 0; k < 16; k++) {
        double least = 1e30;
        for (size_t row = 0; row < z.size() / 4; row++) {
            double sum = 0;
            for (size_t d = 0; d < 4; d++)
                sum += std::abs(double(z[row * 4 + d]) - codes[k * 4 + d]);
            least = std::min(least, sum);
        }
        CHECK(least < 1e-5);
        different.insert({codes.begin() + int64_t(k) * 4, codes.begin() + int64_t(k + 1) * 4});
    }
    CHECK(different.size() == 16);
}

TEST_CASE("evaluation agrees with what the model makes of the data") {
    Run run(model_json(R"("codes": 16, "dim": 4, "residual": 2)"));
    run.trainer.run(60);
    DataView data = view_of(some_data(), kPixels);
    Evaluation e = evaluate(test_device(), run.model.vae, run.model.parameters, data, {.batch = 16});
    CHECK(e.kl == doctest::Approx(2 * 16 * std::log(16.0)));
    CHECK(e.elbo == doctest::Approx(-(e.nll + e.kl)));
    Evaluation alone = evaluate(test_device(), run.model.vae, run.model.parameters, data, {.batch = 7});
    CHECK(alone.nll == doctest::Approx(e.nll).epsilon(1e-6));
    CHECK(alone.perplexity == e.perplexity);

    Sampler sampler(test_device(), run.model.vae, run.model.parameters, 16);
    std::vector<float> images = as_floats(some_data()), again = sampler.reconstruct(images);
    double squares = 0;
    for (size_t i = 0; i < images.size(); i++)
        squares += (double(images[i]) - again[i]) * (double(images[i]) - again[i]);
    CHECK(e.mse == doctest::Approx(squares / double(images.size())).epsilon(1e-4));

    std::vector<uint32_t> codes = sampler.encode_codes(images);
    CHECK(codes.size() == size_t(kCount) * 2 * 16);
    std::vector<float> z = sampler.encode(images).mu, of_codes = sampler.latents_of(codes);
    REQUIRE(z.size() == of_codes.size());
    for (size_t i = 0; i < z.size(); i++)
        CHECK(of_codes[i] == doctest::Approx(z[i]).epsilon(1e-6));
    for (size_t level = 0; level < 2; level++) {
        std::vector<double> counts(16);
        for (size_t i = 0; i < codes.size(); i++)
            counts[codes[i]] += i / 16 % 2 == level;
        double entropy = 0, total = double(kCount) * 16;
        for (double n : counts)
            entropy -= n > 0 ? n / total * std::log(n / total) : 0;
        CHECK(e.perplexity[level] == doctest::Approx(std::exp(entropy)));
    }
    CHECK_THROWS_AS(evaluate(test_device(), run.model.vae, run.model.parameters, data, {.importance_samples = 2}),
                    Error);
}

TEST_CASE("without a prior codes are drawn with the frequencies of training") {
    Model model(model_json(R"("codes": 4, "dim": 1)"), false);
    model.set("quantizer.levels.0.codes", {10, 20, 30, 40});
    model.set("quantizer.levels.0.frequencies", {0.1f, 0.6f, 0, 0.3f});
    Sampler sampler(test_device(), model.vae, model.parameters, 8);
    std::vector<float> z = sampler.sample_latents(200, 5);
    std::map<float, double> parts;
    for (float value : z)
        parts[value] += 1 / double(z.size());
    CHECK(parts[10] == doctest::Approx(0.1).epsilon(0.15));
    CHECK(parts[20] == doctest::Approx(0.6).epsilon(0.05));
    CHECK(parts[40] == doctest::Approx(0.3).epsilon(0.1));
    CHECK(parts[30] == 0);
    std::vector<float> few = sampler.sample_latents(3, 5), cold = sampler.sample_latents(3, 5, 0);
    CHECK(std::equal(few.begin(), few.end(), z.begin()));
    CHECK(cold == std::vector<float>(3 * 16, 20));
    CHECK(sampler.decode(few).size() == 3 * size_t(kPixels));
}

TEST_CASE("the prior of a code sees those before it and none after") {
    Model model(model_json(R"("codes": 5, "dim": 2, "residual": 2)", kPrior), false);
    Graph g;
    Weights w = model.vae.add_weights(g);
    std::vector<Tensor> codes = {g.input({2 * 16}, "codes", DType::u32), g.input({2 * 16}, "codes", DType::u32)};
    std::vector<Tensor> logits = model.vae.code_logits(g, w, codes);
    for (Tensor t : logits)
        g.keep(t);
    Plan plan(test_device(), g);
    plan.bind(w.flat, model.parameters.buffer());
    auto run = [&](size_t level, size_t place, uint32_t code) { // all other codes are 1
        for (size_t l = 0; l < 2; l++) {
            std::vector<uint32_t> map(2 * 16, 1);
            if (l == level)
                map[place] = code;
            plan.write(codes[l], std::as_bytes(std::span(map)));
        }
        plan.run();
        return std::vector<std::vector<float>>{plan.read(logits[0]), plan.read(logits[1])};
    };
    std::vector<std::vector<float>> base = run(0, 0, 1);
    for (size_t level = 0; level < 2; level++)
        for (size_t place : {0u, 5u, 10u, 15u, 21u}) { // the last in the second sample
            std::vector<std::vector<float>> other = run(level, place, 3);
            size_t later = 0;
            for (size_t l = 0; l < 2; l++)
                for (size_t i = 0; i < base[l].size(); i++) {
                    size_t at = i / 5;
                    bool after = at / 16 == place / 16 && (at > place || (at == place && l > level));
                    bool changed = std::abs(base[l][i] - other[l][i]) > 1e-5f; // Winograd's filtering mixes roundings
                    CHECK_FALSE((changed && !after));
                    later += changed;
                }
            CAPTURE(place);
            CHECK((later > 0 || (place == 15 && level == 1)));
        }
}

TEST_CASE("a prior learns the codes beside the model, and leaves the model as it is without one") {
    Run with(model_json(R"("codes": 16, "dim": 4)", kPrior)), without(model_json());
    std::vector<StepStats> stats = with.trainer.run(200), plain = without.trainer.run(20);
    CHECK(stats.front().kl > 0.8 * 16 * std::log(16.0));
    CHECK(stats.back().kl < 0.6 * 16 * std::log(16.0));
    for (size_t i = 0; i < plain.size(); i++)
        CHECK(stats[i].nll == doctest::Approx(plain[i].nll).epsilon(1e-4));
    const StepStats& last = stats.back();
    CHECK(last.loss > last.nll + last.kl);
    Evaluation e = evaluate(test_device(), with.model.vae, with.model.parameters, view_of(some_data(), kPixels), {});
    CHECK(e.kl < 0.6 * 16 * std::log(16.0));

    // Drawing is the prior's own: samples do not depend on how many there are, and score as data do.
    Sampler sampler(test_device(), with.model.vae, with.model.parameters, 5);
    std::vector<uint32_t> seven = sampler.sample_codes(7, 9), two = sampler.sample_codes(2, 9);
    CHECK(seven.size() == 7 * 16);
    CHECK(std::equal(two.begin(), two.end(), seven.begin()));
    CHECK(sampler.sample_codes(2, 9) == two);
    CHECK(sampler.sample_codes(2, 10) != two);
}

TEST_CASE("in mixed precision codebooks stay f32, and learning goes its way" * doctest::test_suite("once")) {
    const char* wide = R"({"input": [8, 8, 1], "posterior": {"type": "vq", "codes": 16, "dim": 20, "residual": 2},
        "prior": {"type": "pixelcnn", "channels": 20, "layers": 1},
        "encoder": [{"type": "conv2d", "out": 24, "kernel": 4, "stride": 2, "padding": 1, "activation": "relu"}],
        "decoder": [{"type": "conv_transpose2d", "out": 24, "kernel": 4, "stride": 2, "padding": 1,
                     "activation": "relu"}, {"type": "conv2d", "out": 1, "kernel": 3, "padding": 1}]})";
    double exact = 0;
    for (DType precision : {DType::f32, DType::f16, DType::bf16}) {
        CAPTURE(std::string(type_name(precision)));
        Model model(wide);
        model.parameters.allocate(test_device(), true, precision);
        Run::start(model, 3);
        Trainer trainer(test_device(), model.vae, model.parameters, view_of(some_data(), kPixels),
                        {.batch = 10, .lr = 5e-3f, .seed = 3, .precision = precision, .max_steps = 8});
        std::vector<StepStats> stats = trainer.run(60);
        if (precision == DType::f32)
            exact = stats[0].loss;
        CHECK(stats[0].loss == doctest::Approx(exact).epsilon(0.02)); // a place between two codes may take either
        CHECK(mean_nll(std::span(stats).last(5)) < 0.7 * mean_nll(std::span(stats).first(3)));
    }
}

TEST_CASE("a vector can be quantised too, and its model has one place") {
    Model model(R"({"input": [6], "posterior": {"type": "vq", "codes": 8, "dim": 3}, "likelihood": "gaussian",
                    "encoder": [{"type": "linear", "out": 5, "activation": "relu"}],
                    "decoder": [{"type": "linear", "out": 6}]})");
    CHECK(model.vae.config().latent == 3);
    std::vector<float> data = random_values(6 * 40, 0, 0, 1);
    initialise(model.parameters, model.vae, view_of(data, 6), 1);
    Trainer trainer(test_device(), model.vae, model.parameters, view_of(data, 6), {.batch = 9});
    CHECK(trainer.run(3).back().perplexity.front() > 1);
}

TEST_CASE("what a vq model cannot be is said in a sentence") {
    auto refused = [](const std::string& json, const char* text) {
        CHECK_THROWS_WITH_AS(Vae(parse_model(json)), doctest::Contains(text), Error);
    };
    refused(model_json(R"("codes": 16)"), "needs \"dim\"");
    refused(model_json(R"("codes": 1, "dim": 4)"), "\"codes\" is 1, it must be from 2");
    refused(model_json(R"("codes": 16, "dim": 4, "codebook": "kmeans")"), "known are ema and gradient");
    refused(model_json(R"("codes": 16, "dim": 4, "decay": 2)"), "\"decay\" is 2");
    refused(model_json(R"("codes": 16, "dim": 4, "beta": 1)"), "a vq posterior has no \"beta\"");
    refused(model_json(R"("codes": 16, "dim": 4)", R"("latent": 3, )"), "a vq posterior has no \"latent\"");
    refused(model_json(R"("codes": 16, "dim": 4)", R"("prior": {"type": "vamp"}, )"), "pixelcnn");
    refused(R"({"input": [4], "encoder": [], "decoder": []})", "needs \"latent\"");
    Model model(model_json());
    CHECK_THROWS_WITH_AS(Trainer(test_device(), model.vae, model.parameters, view_of(some_data(), kPixels),
                                 {.batch = 4, .beta = 2}),
                         doctest::Contains("commitment"), Error);
}

} // namespace
} // namespace vkvae::test
