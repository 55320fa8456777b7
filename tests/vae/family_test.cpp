// The kinds of models beside the plain VAE: several levels, labels, other priors, noise before the encoder, no posterior.
// All train, resume to the bit, are saved, evaluated and sampled like any other; a ladder's ELBO against double precision.
#include "vae/model_fixture.hpp"

#include <map>
#include <numbers>

namespace vkvae::test {
namespace {

constexpr int64_t kPixels = 36, kCount = 50;

const std::vector<std::byte>& tiny_data() {
    static const std::vector<std::byte> bytes = blobs(kCount, 6, 6);
    return bytes;
}

const std::vector<uint8_t>& tiny_labels() { // which quarter of the picture the blob is in
    static const std::vector<uint8_t> labels = [] {
        std::vector<uint8_t> all;
        for (int64_t i = 0; i < kCount; i++) {
            auto first = tiny_data().begin() + i * kPixels;
            int64_t at = std::max_element(first, first + kPixels) - first;
            all.push_back(uint8_t(at / 6 / 3 * 2 + at % 6 / 3));
        }
        return all;
    }();
    return labels;
}

DataView labelled() {
    DataView view = view_of(tiny_data(), kPixels);
    view.labels = tiny_labels();
    return view;
}

std::string tiny_model(const std::string& more) {
    return R"({"name": "tiny", "input": [6, 6, 1], "latent": 3, )" + more + R"(,
        "encoder": [{"type": "linear", "out": 16, "activation": "relu"}],
        "decoder": [{"type": "linear", "out": 16, "activation": "relu"}, {"type": "linear", "out": 36}]})";
}

const std::string kLadder = R"({"name": "ladder", "input": [6, 6, 1], "levels": [
    {"latent": 2, "encoder": [{"type": "linear", "out": 7, "activation": "tanh"}],
     "decoder": [{"type": "linear", "out": 9, "activation": "tanh"}, {"type": "linear", "out": 36}]},
    {"latent": 3, "free_bits": 0.1, "encoder": [{"type": "linear", "out": 5, "activation": "tanh"}],
     "decoder": [{"type": "linear", "out": 6, "activation": "tanh"}]}]})";

const std::string kMapLadder = R"({"name": "maps", "input": [6, 6, 1], "condition": {"classes": 4}, "levels": [
    {"latent": 2, "encoder": [{"type": "conv2d", "out": 4, "kernel": 4, "stride": 2, "padding": 1, "activation": "silu"}],
     "decoder": [{"type": "conv_transpose2d", "out": 1, "kernel": 4, "stride": 2, "padding": 1}]},
    {"latent": 3, "encoder": [{"type": "flatten"}, {"type": "linear", "out": 8, "activation": "silu"}],
     "decoder": [{"type": "linear", "out": 36, "activation": "silu"}, {"type": "reshape", "shape": [3, 3, 4]}]}]})";

const std::vector<std::pair<const char*, std::string>>& kinds() {
    static const std::vector<std::pair<const char*, std::string>> all = {
        {"ladder", kLadder},
        {"ladder of maps, conditional", kMapLadder},
        {"ladder, iwae", R"({"objective": {"type": "iwae", "samples": 3}, )" + kLadder.substr(1, kLadder.find(R"("free_bits": 0.1, )") - 1) +
                             kLadder.substr(kLadder.find(R"("free_bits": 0.1, )") + 18)},
        {"conditional", tiny_model(R"("condition": {"classes": 4})")},
        {"vamp", tiny_model(R"("prior": {"type": "vamp", "components": 5})")},
        {"vamp with iwae", tiny_model(R"("prior": {"type": "vamp", "components": 5}, "objective": {"type": "iwae", "samples": 3})")},
        {"denoising", tiny_model(R"("corruption": {"type": "masking", "amount": 0.3})")},
        {"autoencoder", tiny_model(R"("posterior": "none")")},
        {"dreg", tiny_model(R"("objective": {"type": "dreg", "samples": 3})")},
        {"beta-tc", tiny_model(R"("objective": {"type": "beta_tc", "beta": 2})")},
        {"dip", tiny_model(R"("objective": {"type": "dip", "off_diagonal": 2, "diagonal": 2})")},
        {"capacity", tiny_model(R"("objective": {"type": "capacity", "beta": 10, "capacity": 2, "steps": 50})")},
        {"free bits and cycles", tiny_model(R"("objective": {"type": "elbo", "free_bits": 0.2, "cycle": 40})")}};
    return all;
}

double mean_nll(std::span<const StepStats> stats) {
    double sum = 0;
    for (const StepStats& s : stats)
        sum += s.nll;
    return sum / double(stats.size());
}

} // namespace

TEST_CASE("every kind of model learns, and goes on from a checkpoint as if it had never stopped") {
    for (const auto& kind : kinds()) {
        INFO(kind.first);
        const std::string& json = kind.second;
        TrainOptions options = {.batch = 8, .lr = 5e-3f, .seed = 11, .max_steps = 8};
        Model model(json);
        Trainer trainer(test_device(), model.vae, model.parameters, labelled(), options);
        std::vector<StepStats> stats = trainer.run(60);
        TempFolder folder;
        save_model(folder.path / "m.safetensors", model.vae, model.parameters);
        save_train_state(folder.path / "t.safetensors", model.parameters, {.step = 60});
        std::vector<StepStats> rest = trainer.run(60);
        CHECK(mean_nll(std::span(rest).last(20)) < 0.9 * mean_nll(std::span(stats).first(10)));
        CHECK(rest[0].kl_dims.size() == size_t(model.vae.kl_columns()));
        CHECK(rest[0].extras.size() == model.vae.extras().size());

        Model again(json, true, 99);
        CHECK(read_model_config(folder.path / "m.safetensors").json == model.vae.config().json);
        load_model(folder.path / "m.safetensors", again.vae, again.parameters);
        load_train_state(folder.path / "t.safetensors", again.parameters);
        Trainer resumed(test_device(), again.vae, again.parameters, labelled(), options);
        resumed.set_step(60);
        std::vector<StepStats> repeated = resumed.run(60);
        CHECK(same_bits(again.weights(), model.weights()));
        for (size_t i = 0; i < rest.size(); i++)
            CHECK(repeated[i].loss == rest[i].loss);
    }
}

TEST_CASE("every kind of model is evaluated, encoded, decoded and sampled, in pieces or at once") {
    for (const auto& kind : kinds()) {
        INFO(kind.first);
        const std::string& json = kind.second;
        Model model(json);
        const ModelConfig& c = model.vae.config();
        EvaluateOptions options = {.batch = 16, .importance_samples = c.deterministic ? 0 : 20, .seed = 3};
        Evaluation e = evaluate(test_device(), model.vae, model.parameters, labelled(), options);
        CHECK(e.elbo == doctest::Approx(-(e.nll + e.kl)));
        CHECK(e.kl_dims.size() == size_t(model.vae.kl_columns()));
        CHECK(std::isfinite(e.elbo));
        if (!c.deterministic)
            CHECK(e.iw_nll < -e.elbo + 0.05 * std::abs(e.elbo)); // a tighter bound, on the average
        Sampler sampler(test_device(), model.vae, model.parameters, 7), other(test_device(), model.vae, model.parameters, 5);
        std::vector<float> z = sampler.sample_latents(11, 2), images = as_floats(tiny_data());
        CHECK(z.size() == size_t(11 * c.latent));
        CHECK(same_bits(z, other.sample_latents(11, 2)));
        std::vector<uint8_t> labels;
        if (c.label_classes > 0)
            labels.assign(tiny_labels().begin(), tiny_labels().begin() + 11);
        CHECK(same_bits(sampler.decode(z, labels), other.decode(z, labels)));
        images.resize(11 * kPixels);
        Sampler::Encoded encoded = sampler.encode(images, labels);
        CHECK(encoded.mu.size() == size_t(11 * c.latent));
        CHECK(same_bits(encoded.mu, other.encode(images, labels).mu));
        if (c.deterministic)
            CHECK(encoded.logvar[0] == -30);
    }
}

TEST_CASE("a conditional model draws what the label says, and cannot do without one") {
    Model model(tiny_model(R"("condition": {"classes": 4})"));
    Trainer trainer(test_device(), model.vae, model.parameters, labelled(), {.batch = 8, .lr = 1e-2f, .max_steps = 64});
    trainer.run(400);
    Sampler sampler(test_device(), model.vae, model.parameters, 16);
    std::vector<float> z = sampler.sample_latents(40, 1);
    std::vector<uint8_t> labels;
    for (int i = 0; i < 40; i++)
        labels.push_back(uint8_t(i % 4));
    std::vector<float> images = sampler.decode(z, labels);
    int right = 0;
    for (int64_t i = 0; i < 40; i++) {
        double mass[4] = {};
        for (int64_t at = 0; at < kPixels; at++)
            mass[at / 6 / 3 * 2 + at % 6 / 3] += images[size_t(i * kPixels + at)];
        right += std::max_element(mass, mass + 4) - mass == labels[size_t(i)];
    }
    CHECK(right >= 36);
    CHECK(outcome_of([&] { sampler.decode(z); }).says("it needs 40 labels"));
    CHECK(outcome_of([&] { sampler.decode(z, std::vector<uint8_t>(40, 4)); }).says("no label 4"));
    CHECK(outcome_of([&] { sampler.decode(z, std::vector<uint8_t>(40, 4)); }).status == Status::usage);
    DataView unlabelled = view_of(tiny_data(), kPixels);
    CHECK(outcome_of([&] { evaluate(test_device(), model.vae, model.parameters, unlabelled, {}); })
              .says("needs a label for each of the 50 samples"));
    std::vector<uint8_t> wrong(kCount, 7);
    unlabelled.labels = wrong;
    CHECK(outcome_of([&] { evaluate(test_device(), model.vae, model.parameters, unlabelled, {}); })
              .says("sample 0 has the label 7"));
}

TEST_CASE("labels stream with data that do not fit the device") {
    TrainOptions options = {.batch = 4, .lr = 5e-3f, .seed = 11, .max_steps = 4};
    std::vector<std::byte> bytes;
    std::vector<uint8_t> labels;
    for (int i = 0; i < 10; i++) {
        bytes.insert(bytes.end(), tiny_data().begin(), tiny_data().end());
        labels.insert(labels.end(), tiny_labels().begin(), tiny_labels().end());
    }
    DataView data = view_of(bytes, kPixels);
    data.labels = labels;
    std::vector<std::vector<float>> weights;
    std::unique_ptr<Device> small = device_with_storage_range("9000"); // of 18000 bytes of data
    for (Device* device : {&test_device(), small.get()}) {
        Model model(tiny_model(R"("condition": {"classes": 4})"), true, 1, *device);
        Trainer trainer(*device, model.vae, model.parameters, data, options);
        trainer.run(100);
        CHECK(trainer.data_resident() == (device != small.get()));
        weights.push_back(model.weights());
    }
    REQUIRE(weights[0].size() == weights[1].size());
    for (size_t i = 0; i < weights[0].size(); i++)
        CHECK(weights[0][i] == doctest::Approx(weights[1][i]).epsilon(1e-3));
}

TEST_CASE("each level of a ladder has a temperature of its own") {
    Model model(kLadder);
    CHECK(model.vae.level_widths() == std::vector<int64_t>{3, 2});
    Sampler sampler(test_device(), model.vae, model.parameters, 4);
    std::vector<float> one = sampler.sample_latents(4, 5), half[] = {{}, {}};
    const float top[] = {0.5f, 1}, three[] = {1, 1, 1};
    std::vector<float> cooled = sampler.sample_latents(4, 5, std::span<const float>(top));
    for (size_t i = 0; i < one.size(); i++)
        CHECK(cooled[i] == one[i] * (i % 5 < 3 ? 0.5f : 1.0f));
    CHECK(outcome_of([&] { sampler.sample_latents(4, 5, std::span<const float>(three)); }).status == Status::usage);
    Model maps(kMapLadder);
    CHECK(maps.vae.level_widths() == std::vector<int64_t>{3, 18});
    CHECK(maps.vae.config().latent == 21);
}

namespace {

using Values = std::vector<double>;

// The ladder above in double, from its parameters by name, for one sample: nll and the KL of each level, top first.
struct LadderTwin {
    std::map<std::string, Values> w;

    Values linear(const std::string& name, const Values& x, bool bounded) const {
        const Values &weight = w.at(name + ".weight"), &bias = w.at(name + ".bias");
        Values y = bias;
        for (size_t o = 0; o < y.size(); o++) {
            for (size_t i = 0; i < x.size(); i++)
                y[o] += weight[o * x.size() + i] * x[i];
            if (bounded)
                y[o] = std::tanh(y[o]);
        }
        return y;
    }
    struct Result {
        double nll = 0, kl[2] = {};
    };
    // eps: of the top level, then of the lower
    Result run(const Values& x, const Values& eps) const {
        Result r;
        Values h1 = linear("levels.0.encoder.layers.0", x, true), h2 = linear("levels.1.encoder.layers.0", h1, true);
        Values q2 = linear("levels.1.posterior", h2, false), z2(3), z1(2);
        auto kl = [](double mu, double lv) { return 0.5 * (mu * mu + std::exp(lv) - 1 - lv); };
        for (size_t d = 0; d < 3; d++) {
            z2[d] = q2[d] + std::exp(0.5 * q2[3 + d]) * eps[d];
            r.kl[0] += kl(q2[d], q2[3 + d]);
        }
        Values d2 = linear("levels.1.decoder.layers.0", z2, true), both = h1;
        both.insert(both.end(), d2.begin(), d2.end());
        Values q1 = linear("levels.0.posterior", both, false), p1 = linear("levels.0.prior", d2, false);
        for (size_t d = 0; d < 2; d++) {
            double e = q1[d] + std::exp(0.5 * q1[2 + d]) * eps[3 + d];
            z1[d] = p1[d] + std::exp(0.5 * p1[2 + d]) * e;
            r.kl[1] += kl(q1[d], q1[2 + d]);
        }
        // The same KL between the two normals in z, as the papers write it.
        double in_z = 0;
        for (size_t d = 0; d < 2; d++) {
            double sp = std::exp(0.5 * p1[2 + d]), mu_q = p1[d] + sp * q1[d], sq = sp * std::exp(0.5 * q1[2 + d]);
            in_z += std::log(sp / sq) + (sq * sq + (mu_q - p1[d]) * (mu_q - p1[d])) / (2 * sp * sp) - 0.5;
        }
        CHECK(in_z == doctest::Approx(r.kl[1]).epsilon(1e-9));
        z1.insert(z1.end(), d2.begin(), d2.end());
        Values logits = linear("levels.0.decoder.layers.1", linear("levels.0.decoder.layers.0", z1, true), false);
        for (size_t i = 0; i < logits.size(); i++)
            r.nll += std::log1p(std::exp(logits[i])) - x[i] * logits[i];
        return r;
    }
};

} // namespace

TEST_CASE("a ladder's ELBO and its gradients are those of the formulas in double precision") {
    constexpr int64_t kBatch = 5;
    Model model(kLadder);
    Graph g;
    Weights w = model.vae.add_weights(g);
    Tensor x = g.input({kBatch, kPixels}, "x");
    Elbo e = model.vae.elbo(g, w, x);
    std::vector<Tensor> gradients = g.backward(e.loss, w.tensors);
    for (Tensor t : gradients)
        g.keep(t);
    for (Tensor t : {e.nll, e.kl, e.loss})
        g.keep(t);
    Plan plan(test_device(), g, plan_options());
    plan.bind(w.flat, model.parameters.buffer());
    std::vector<float> images = as_floats(tiny_data());
    images.resize(kBatch * kPixels);
    plan.write(x, std::span<const float>(images));
    StepParams step;
    step.set_seed(7);
    step.step = 3;
    plan.run(step);

    LadderTwin twin;
    for (const Parameter& p : model.parameters.list()) {
        std::vector<float> values = model.parameters.read(p);
        twin.w[p.name] = Values(values.begin(), values.end());
    }
    auto loss = [&](double& nll, double& kl) {
        nll = kl = 0;
        double levels[2] = {};
        for (int64_t n = 0; n < kBatch; n++) {
            Values eps;
            for (int64_t d = 0; d < 3; d++)
                eps.push_back(random_normal(7, Stream::reparam, 3, 0, uint32_t(n * 3 + d)));
            for (int64_t d = 0; d < 2; d++) // after all of the level above
                eps.push_back(random_normal(7, Stream::reparam, 3, 0, uint32_t(kBatch * 3 + n * 2 + d)));
            LadderTwin::Result r = twin.run(Values(images.begin() + n * kPixels, images.begin() + (n + 1) * kPixels), eps);
            nll += r.nll / kBatch;
            for (int level : {0, 1})
                levels[level] += r.kl[level] / kBatch;
        }
        kl = levels[0] + levels[1];
        return nll + std::max(levels[0], 0.1) + levels[1]; // the top level has free bits
    };
    double nll, kl, exact = loss(nll, kl);
    CHECK(plan.read(e.nll)[0] == doctest::Approx(nll).epsilon(1e-5));
    CHECK(plan.read(e.kl)[0] == doctest::Approx(kl).epsilon(1e-5));
    CHECK(plan.read(e.loss)[0] == doctest::Approx(exact).epsilon(1e-5));

    for (size_t i = 0; i < model.parameters.list().size(); i++) {
        const Parameter& p = model.parameters.list()[i];
        INFO(p.name);
        std::vector<float> got = plan.read(gradients[i]);
        Values& values = twin.w[p.name];
        bool matrix = p.disk_shape.size() == 2; // (out, in) on disk, (in, out) inside
        for (size_t at = 0; at < values.size(); at += 1 + values.size() / 3) {
            const double kept = values[at], h = 1e-4;
            double ignored[2];
            values[at] = kept + h;
            double up = loss(ignored[0], ignored[1]);
            values[at] = kept - h;
            double down = loss(ignored[0], ignored[1]);
            values[at] = kept;
            size_t in = matrix ? size_t(p.disk_shape[1]) : 1, out = size_t(p.disk_shape[0]);
            size_t inside = matrix ? at % in * out + at / in : at;
            const double slope = (up - down) / (2 * h);
            CHECK(got[inside] == doctest::Approx(slope).epsilon(1e-3).scale(0.1));
        }
    }
}

TEST_CASE("a VampPrior's KL is that of the mixture of its pseudo-inputs' posteriors") {
    Model model(tiny_model(R"("prior": {"type": "vamp", "components": 4})"));
    initialise(model.parameters, model.vae, labelled(), 5);
    Graph g;
    Weights w = model.vae.add_weights(g);
    Tensor x = g.input({3, kPixels}, "x");
    Vae::Inference q = model.vae.infer(g, w, x, {}, {}, {});
    Tensor pseudo = model.vae.pseudo_inputs(g, w), moments = model.vae.encode(g, w, pseudo);
    for (Tensor t : {q.z, q.kl, q.moments, moments, pseudo})
        g.keep(t);
    Plan plan(test_device(), g, plan_options());
    plan.bind(w.flat, model.parameters.buffer());
    std::vector<float> images = as_floats(tiny_data());
    images.resize(3 * kPixels);
    plan.write(x, std::span<const float>(images));
    plan.run();
    std::vector<float> inputs = plan.read(pseudo), m = plan.read(moments), z = plan.read(q.z), own = plan.read(q.moments);
    int from_data = 0; // each is a sample, within the sigmoid's reach
    for (int64_t k = 0; k < 4; k++)
        for (int64_t i = 0; i < kCount; i++) {
            bool same = true;
            for (int64_t at = 0; at < kPixels; at++) {
                float value = float(uint8_t(tiny_data()[size_t(i * kPixels + at)])) / 255;
                same = same && std::abs(std::clamp(value, 0.02f, 0.98f) - inputs[size_t(k * kPixels + at)]) < 1e-5;
            }
            from_data += same;
        }
    CHECK(from_data == 4);
    auto log_density = [](double value, double mu, double lv) {
        return -0.5 * ((value - mu) * (value - mu) * std::exp(-lv) + lv + std::log(2 * std::numbers::pi));
    };
    for (size_t n = 0; n < 3; n++) {
        double log_q = 0, mixture = 0;
        for (size_t d = 0; d < 3; d++)
            log_q += log_density(z[n * 3 + d], own[n * 6 + d], own[n * 6 + 3 + d]);
        for (size_t k = 0; k < 4; k++) {
            double log_p = 0;
            for (size_t d = 0; d < 3; d++)
                log_p += log_density(z[n * 3 + d], m[k * 6 + d], m[k * 6 + 3 + d]);
            mixture += std::exp(log_p) / 4;
        }
        CHECK(plan.read(q.kl)[n] == doctest::Approx(log_q - std::log(mixture)).epsilon(1e-4));
    }
}

} // namespace vkvae::test
