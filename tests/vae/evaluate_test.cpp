// Evaluation against a model whose marginal likelihood is known in closed form, and against plain sums.
#include "vae/model_fixture.hpp"

#include <limits>
#include <numbers>

namespace vkvae::test {
namespace {

// Probabilistic PCA (Tipping and Bishop 1999): x = W z + b + sigma n, so log p(x) is Gaussian with covariance
// W W' + sigma^2 I. With orthogonal columns w_d and m_d = |w_d|^2 + sigma^2 the posterior is diagonal,
//   q(z_d|x) = N(w_d.(x - b) / m_d, sigma^2 / m_d),
// and a linear encoder with constant logvar is that posterior: the ELBO is log p(x), and all importance weights agree.
struct Ppca {
    static constexpr size_t kPixels = 12, kLatent = 3;
    static constexpr double kSigma = 0.5;
    double w[kPixels][kLatent] = {}, b[kPixels] = {}, m[kLatent] = {};
    std::string json = R"({"input": [12], "latent": 3, "likelihood": "gaussian", "sigma": 0.5, "encoder": [],
                           "decoder": [{"type": "linear", "out": 12}]})";

    Ppca() {
        // Each latent has four pixels of its own: orthogonal whatever the numbers are.
        std::vector<float> values = random_values(2 * kPixels, 1, 0.2f, 1.2f);
        for (size_t p = 0; p < kPixels; p++) {
            w[p][p % kLatent] = values[p] * (p % 2 ? 1 : -1);
            b[p] = values[kPixels + p];
        }
        for (size_t d = 0; d < kLatent; d++)
            m[d] = squared_norm(d) + kSigma * kSigma;
    }
    double squared_norm(size_t d) const {
        double sum = 0;
        for (size_t p = 0; p < kPixels; p++)
            sum += w[p][d] * w[p][d];
        return sum;
    }
    double project(size_t d, std::span<const float> x) const { // w_d . (x - b)
        double sum = 0;
        for (size_t p = 0; p < kPixels; p++)
            sum += w[p][d] * (x[p] - b[p]);
        return sum;
    }
    void load_into(Model& model) const {
        std::vector<float> decoder, bias(b, b + kPixels), mu, mu_bias, logvar_bias;
        for (size_t p = 0; p < kPixels; p++)
            decoder.insert(decoder.end(), w[p], w[p] + kLatent);
        for (size_t d = 0; d < kLatent; d++) {
            double offset = 0;
            for (size_t p = 0; p < kPixels; p++) {
                mu.push_back(float(w[p][d] / m[d]));
                offset -= w[p][d] * b[p] / m[d];
            }
            mu_bias.push_back(float(offset));
            logvar_bias.push_back(float(std::log(kSigma * kSigma / m[d])));
        }
        model.set("decoder.layers.0.weight", decoder);
        model.set("decoder.layers.0.bias", bias);
        model.set("fc_mu.weight", mu);
        model.set("fc_mu.bias", mu_bias);
        model.fill("fc_logvar.weight", 0);
        model.set("fc_logvar.bias", logvar_bias);
    }
    std::vector<float> draw(size_t count) const {
        std::vector<float> x;
        for (size_t i = 0; i < count; i++)
            for (size_t p = 0; p < kPixels; p++) {
                double value = b[p] + kSigma * random_normal(2, Stream::data, 0, 0, uint32_t(i * kPixels + p));
                for (size_t d = 0; d < kLatent; d++)
                    value += w[p][d] * random_normal(2, Stream::sample, 0, 0, uint32_t(i * kLatent + d));
                x.push_back(float(value));
            }
        return x;
    }
    double nll(std::span<const float> x) const { // -log p(x)
        double s2 = kSigma * kSigma, quadratic = 0, log_det = double(kPixels - kLatent) * std::log(s2);
        for (size_t p = 0; p < kPixels; p++)
            quadratic += (x[p] - b[p]) * (x[p] - b[p]) / s2;
        for (size_t d = 0; d < kLatent; d++) {
            quadratic -= project(d, x) * project(d, x) / m[d] / s2;
            log_det += std::log(m[d]);
        }
        return 0.5 * (double(kPixels) * std::log(2 * std::numbers::pi) + log_det + quadratic);
    }
    double kl(size_t d, std::span<const float> x) const {
        double mu = project(d, x) / m[d], var = kSigma * kSigma / m[d];
        return 0.5 * (mu * mu + var - 1 - std::log(var));
    }
    // Of -log p(x|z) over q(z|x), as its residual and the noise s_d w_d eps_d are known:
    // |r - sum_d s_d w_d eps_d|^2 / 2 sigma^2.
    double variance_of_nll(std::span<const float> x) const {
        double s2 = kSigma * kSigma, variance = 0;
        for (size_t d = 0; d < kLatent; d++) {
            double ww = squared_norm(d), along = project(d, x) * (1 - ww / m[d]); // w_d . r
            double s = std::sqrt(s2 / m[d]);
            variance += std::pow(s * along / s2, 2) + 2 * std::pow(s * s * ww / (2 * s2), 2);
        }
        return variance;
    }
};

TEST_CASE("with the exact posterior the ELBO is log p(x), and every importance weight says so") {
    constexpr size_t kCount = 301; // the last of the batches of 64 is not full
    Ppca ppca;
    Model model(ppca.json, false);
    ppca.load_into(model);
    std::vector<float> data = ppca.draw(kCount);
    double nll = 0, variance = 0, kl_dims[Ppca::kLatent] = {};
    for (size_t i = 0; i < kCount; i++) {
        std::span<const float> x = std::span(data).subspan(i * Ppca::kPixels, Ppca::kPixels);
        nll += ppca.nll(x) / kCount;
        variance += ppca.variance_of_nll(x) / kCount / kCount;
        for (size_t d = 0; d < Ppca::kLatent; d++)
            kl_dims[d] += ppca.kl(d, x) / kCount;
    }
    for (int64_t k : {1, 5, 33}) { // less than one submission of draws, and several
        EvaluateOptions options = {.batch = 64, .importance_samples = k, .seed = uint64_t(k)};
        Evaluation e = evaluate(test_device(), model.vae, model.parameters, view_of(data, Ppca::kPixels), options);
        CHECK(e.count == int64_t(kCount));
        CHECK(e.iw_nll == doctest::Approx(nll).epsilon(1e-6));
        CHECK(std::abs(-e.elbo - nll) < 4 * std::sqrt(variance));
        CHECK(e.elbo == -(e.nll + e.kl));
        REQUIRE(e.kl_dims.size() == Ppca::kLatent);
        for (size_t d = 0; d < Ppca::kLatent; d++)
            CHECK(e.kl_dims[d] == doctest::Approx(kl_dims[d]).epsilon(1e-5));
        CHECK(e.kl == doctest::Approx(kl_dims[0] + kl_dims[1] + kl_dims[2]).epsilon(1e-5));
        CHECK(e.active_units == 3);
    }
}

TEST_CASE("the importance-weighted bound is below the ELBO's and tightens with K") {
    Model model(kTinyModel, false, 4);
    for (const char* name :
         {"decoder.layers.0.weight", "decoder.layers.1.weight"}) { // z matters, the posterior is poor
        std::vector<float> values = model.parameters.read(model.definition(name));
        for (float& value : values)
            value *= 4;
        model.set(name, values);
    }
    std::vector<std::byte> data = blobs(40, 6, 6);
    double last = std::numeric_limits<double>::infinity();
    for (int64_t k : {1, 8, 64}) {
        EvaluateOptions options = {.batch = 16, .importance_samples = k};
        Evaluation e = evaluate(test_device(), model.vae, model.parameters, view_of(data, 36), options);
        CHECK(e.iw_nll < last);
        if (k > 1)
            CHECK(e.iw_nll < e.nll + e.kl);
        last = e.iw_nll;
    }
}

TEST_CASE("every batch is handed over with the values of each sample, whose means the evaluation is") {
    constexpr size_t kCount = 77;
    Ppca ppca;
    Model model(ppca.json, false);
    ppca.load_into(model);
    std::vector<float> data = ppca.draw(kCount);
    double nll = 0, kl = 0, iw = 0, squares = 0;
    int64_t next = 0;
    EvaluateOptions options = {.batch = 32, .importance_samples = 3};
    options.each_batch = [&](const EvaluatedBatch& b) {
        CHECK(b.first == next);
        REQUIRE(b.count == std::min<int64_t>(32, int64_t(kCount) - next));
        REQUIRE(b.x.size() == size_t(b.count) * Ppca::kPixels);
        REQUIRE(b.mean.size() == b.x.size());
        REQUIRE(b.moments.size() == size_t(b.count) * 2 * Ppca::kLatent);
        REQUIRE(b.nll.size() == size_t(b.count));
        REQUIRE(b.kl.size() == size_t(b.count) * Ppca::kLatent);
        REQUIRE(b.iw_nll.size() == size_t(b.count));
        for (size_t i = 0; i < size_t(b.count); i++) {
            std::span<const float> x = std::span(data).subspan((size_t(next) + i) * Ppca::kPixels, Ppca::kPixels);
            CHECK(same_bits(b.x.subspan(i * Ppca::kPixels, Ppca::kPixels), x));
            CHECK(b.iw_nll[i] == doctest::Approx(ppca.nll(x)).epsilon(1e-5)); // each sample's own, not the mean
            for (size_t d = 0; d < Ppca::kLatent; d++) {
                double mu = ppca.project(d, x) / ppca.m[d];
                CHECK(b.moments[i * 2 * Ppca::kLatent + d] == doctest::Approx(mu).epsilon(1e-4));
                CHECK(b.kl[i * Ppca::kLatent + d] == doctest::Approx(ppca.kl(d, x)).epsilon(1e-4));
                kl += b.kl[i * Ppca::kLatent + d] / double(kCount);
            }
            for (size_t p = 0; p < Ppca::kPixels; p++) {
                double mean = ppca.b[p], error = x[p] - b.mean[i * Ppca::kPixels + p];
                for (size_t d = 0; d < Ppca::kLatent; d++)
                    mean += ppca.w[p][d] * ppca.project(d, x) / ppca.m[d];
                CHECK(b.mean[i * Ppca::kPixels + p] == doctest::Approx(mean).epsilon(1e-4));
                squares += error * error / double(kCount * Ppca::kPixels);
            }
            nll += b.nll[i] / double(kCount);
            iw += b.iw_nll[i] / double(kCount);
        }
        next += b.count;
    };
    Evaluation e = evaluate(test_device(), model.vae, model.parameters, view_of(data, Ppca::kPixels), options);
    CHECK(next == int64_t(kCount));
    CHECK(e.nll == doctest::Approx(nll).epsilon(1e-9));
    CHECK(e.kl == doctest::Approx(kl).epsilon(1e-9));
    CHECK(e.mse == doctest::Approx(squares).epsilon(1e-9));
    CHECK(e.iw_nll == doctest::Approx(iw).epsilon(1e-9));
    options.importance_samples = 0;
    options.each_batch = [](const EvaluatedBatch& b) { CHECK(b.iw_nll.empty()); };
    evaluate(test_device(), model.vae, model.parameters, view_of(data, Ppca::kPixels), options);
}

// z is mu: the noise of the ELBO is gone.
void make_certain(Model& model) {
    model.fill("fc_logvar.weight", 0);
    model.fill("fc_logvar.bias", -29);
}

TEST_CASE("the batch size does not matter, and the reconstruction error is that of mu") {
    Model model(kTinyModel, false, 4);
    make_certain(model);
    std::vector<std::byte> data = blobs(50, 6, 6);
    std::vector<float> x = as_floats(data);
    std::vector<float> mean = Sampler(test_device(), model.vae, model.parameters, 50).reconstruct(x);
    double mse = 0, nll = 0;
    for (size_t i = 0; i < x.size(); i++) {
        mse += (double(x[i]) - mean[i]) * (double(x[i]) - mean[i]) / double(x.size());
        nll -= (x[i] * std::log(double(mean[i])) + (1 - x[i]) * std::log(1 - double(mean[i]))) / 50;
    }
    for (int64_t batch : {1, 16, 50, 1000}) {
        Evaluation e = evaluate(test_device(), model.vae, model.parameters, view_of(data, 36), {.batch = batch});
        CHECK(e.nll == doctest::Approx(nll).epsilon(1e-5));
        CHECK(e.mse == doctest::Approx(mse).epsilon(1e-5));
        CHECK(e.iw_nll == 0);
    }
}

TEST_CASE("units are active when their mean varies by more than 0.01") {
    Model model(R"({"input": [2], "latent": 4, "encoder": [], "decoder": [{"type": "linear", "out": 2}]})", false);
    // The first pixel is 0 or 1, half of the time each: the variance of a x is a^2 / 4.
    model.set("fc_mu.weight", {0.25f, 0, 0.15f, 0, 0, 9, -1, 0});
    model.set("fc_mu.bias", {5, 0, 5, -100});
    std::vector<float> data = {0, 0.5f, 1, 0.5f, 1, 0.5f, 0, 0.5f};
    Evaluation e = evaluate(test_device(), model.vae, model.parameters, view_of(data, 2), {.batch = 3});
    CHECK(e.active_units == 2); // the first and the last; the third does not vary at all
}

TEST_CASE("a seed gives the same evaluation to the bit, with dynamic binarisation too") {
    Model model(kTinyModel, false, 4);
    std::vector<std::byte> data = blobs(40, 6, 6);
    std::vector<Evaluation> results;
    for (uint64_t seed : {1, 1, 2}) {
        EvaluateOptions options = {.batch = 16, .importance_samples = 3, .seed = seed, .binarize = Binarize::dynamic};
        results.push_back(evaluate(test_device(), model.vae, model.parameters, view_of(data, 36), options));
    }
    CHECK(results[0].elbo == results[1].elbo);
    CHECK(results[0].iw_nll == results[1].iw_nll);
    CHECK(results[0].mse == results[1].mse);
    CHECK(results[0].elbo != results[2].elbo);
    CHECK(results[0].mse != results[2].mse);
}

TEST_CASE("an evaluation reports its progress and can be stopped") {
    Model model(kTinyModel, false);
    std::vector<std::byte> data = blobs(40, 6, 6);
    std::vector<int64_t> seen;
    EvaluateOptions options = {.batch = 16};
    options.progress = [&](int64_t done, int64_t total) {
        CHECK(total == 40);
        seen.push_back(done);
        return done < 32;
    };
    Outcome outcome =
        outcome_of([&] { evaluate(test_device(), model.vae, model.parameters, view_of(data, 36), options); });
    CHECK(outcome.status == Status::interrupted);
    CHECK(seen == std::vector<int64_t>{16, 32});
}

TEST_CASE("an evaluation of nothing, of other data or without a batch is refused") {
    Model model(kTinyModel, false);
    std::vector<std::byte> data = blobs(4, 6, 6);
    auto run = [&](const DataView& view, const EvaluateOptions& options) {
        return outcome_of([&] { evaluate(test_device(), model.vae, model.parameters, view, options); });
    };
    CHECK(run({{}, 0, 36}, {}).status == Status::data);
    CHECK(run(view_of(data, 48), {}).says("48 numbers a sample, the model takes 36"));
    CHECK(run(view_of(data, 36), {.batch = 0}).status == Status::usage);
    CHECK(run(view_of(data, 36), {.importance_samples = -1}).status == Status::usage);
}

TEST_CASE("a model gone bad evaluates to something that is not finite, not to a plausible number") {
    Model model(kTinyModel, false);
    std::vector<float> bias(3, std::numeric_limits<float>::quiet_NaN());
    std::vector<std::byte> data = blobs(4, 6, 6);
    for (const char* name : {"fc_mu.bias", "fc_logvar.bias"}) {
        model.parameters.initialise(1);
        model.set(name, bias);
        Evaluation e =
            evaluate(test_device(), model.vae, model.parameters, view_of(data, 36), {.importance_samples = 2});
        CHECK_FALSE(std::isfinite(e.elbo));
        CHECK_FALSE(std::isfinite(e.iw_nll));
    }
}

} // namespace
} // namespace vkvae::test
