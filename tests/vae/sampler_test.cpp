// Generation and reconstruction.
#include "vae/model_fixture.hpp"

namespace vkvae::test {
namespace {

constexpr size_t kPixels = 36, kLatent = 3;

double norm(std::span<const float> v) {
    double squares = 0;
    for (float value : v)
        squares += double(value) * value;
    return std::sqrt(squares);
}

TEST_CASE("latents are the prior's as the device draws them, bit for bit") {
    Model model(kTinyModel, false);
    Sampler sampler(test_device(), model.vae, model.parameters, 8);
    constexpr uint64_t kSeed = (uint64_t(9) << 32) + 4;
    constexpr int64_t kSamples = 1000;
    Graph g;
    Tensor z = random_normal(g, {kSamples, int64_t(kLatent)}, Stream::sample);
    g.keep(z);
    Plan plan(test_device(), g, plan_options());
    StepParams params;
    params.set_seed(kSeed);
    plan.run(params);
    std::vector<float> latents = sampler.sample_latents(kSamples, kSeed);
    CHECK(same_bits(latents, plan.read(z)));
    CHECK(norm(latents) == doctest::Approx(std::sqrt(3 * kSamples)).epsilon(0.1));
}

TEST_CASE("a latent depends on seed and number alone, and scales with the temperature") {
    Model model(kTinyModel, false);
    Sampler sampler(test_device(), model.vae, model.parameters, 8);
    std::vector<float> many = sampler.sample_latents(20, 5), few = sampler.sample_latents(7, 5);
    CHECK(same_bits(few, std::span(many).first(7 * kLatent)));
    std::vector<float> hot = sampler.sample_latents(7, 5, 2);
    for (size_t i = 0; i < few.size(); i++)
        CHECK(hot[i] == 2 * few[i]);
    CHECK_FALSE(same_bits(few, sampler.sample_latents(7, 6)));
    CHECK(sampler.sample_latents(0, 5).empty());
    CHECK(outcome_of([&] { sampler.sample_latents(-1, 5); }).status == Status::runtime);
    CHECK(outcome_of([&] { sampler.sample_latents(int64_t(1) << 32, 5); }).status == Status::runtime);
}

TEST_CASE("how samples are split into batches changes nothing" * doctest::test_suite("once")) {
    Model model(preset_model("conv28"), false);
    Sampler sampler(test_device(), model.vae, model.parameters, 4),
        other(test_device(), model.vae, model.parameters, 7);
    std::vector<float> z = sampler.sample_latents(9, 1), whole = sampler.decode(z);
    REQUIRE(whole.size() == 9 * 28 * 28);
    CHECK(same_bits(whole, other.decode(z)));
    std::vector<float> pieces;
    for (size_t first = 0; first < 9; first++)
        for (float value : sampler.decode(std::span(z).subspan(first * 20, 20)))
            pieces.push_back(value);
    CHECK(same_bits(whole, pieces));
    Sampler::Encoded a = sampler.encode(whole), b = other.encode(whole);
    REQUIRE(a.mu.size() == 9 * 20);
    REQUIRE(a.logvar.size() == 9 * 20);
    CHECK(same_bits(a.mu, b.mu));
    CHECK(same_bits(a.logvar, b.logvar));
    CHECK(same_bits(sampler.reconstruct(whole), other.decode(a.mu)));
}

TEST_CASE("images are means: probabilities for a bernoulli model, the prediction itself for a gaussian one") {
    Model bernoulli(kTinyModel, false);
    bernoulli.fill("decoder.layers.1.weight", 0);
    bernoulli.fill("decoder.layers.1.bias", -1);
    std::string json = kTinyModel;
    json.replace(json.find("bernoulli"), 9, "gaussian");
    Model gaussian(json, false);
    gaussian.fill("decoder.layers.1.weight", 0);
    gaussian.fill("decoder.layers.1.bias", -1);
    std::vector<float> z(kLatent, 0.5f);
    for (float value : Sampler(test_device(), bernoulli.vae, bernoulli.parameters, 2).decode(z))
        CHECK(value == doctest::Approx(1 / (1 + std::exp(1))).epsilon(1e-6));
    for (float value : Sampler(test_device(), gaussian.vae, gaussian.parameters, 2).decode(z))
        CHECK(value == -1.0f);
}

TEST_CASE("a sampler sees weights that change under it") {
    Model model(kTinyModel, false);
    Sampler sampler(test_device(), model.vae, model.parameters, 2);
    std::vector<float> z(kLatent, 1), before = sampler.decode(z);
    model.parameters.initialise(2);
    CHECK_FALSE(same_bits(before, sampler.decode(z)));
}

TEST_CASE("inputs that are not whole samples are refused; none is no error") {
    Model model(kTinyModel, false);
    Sampler sampler(test_device(), model.vae, model.parameters, 2);
    CHECK(outcome_of([&] { sampler.decode(std::vector<float>(4)); }).says("4 numbers, not a multiple of 3"));
    CHECK(outcome_of([&] { sampler.encode(std::vector<float>(kPixels + 1)); }).says("37 numbers"));
    CHECK(sampler.decode({}).empty());
    CHECK(sampler.encode({}).mu.empty());
    CHECK(outcome_of([&] { Sampler(test_device(), model.vae, model.parameters, 0); }).says("must be positive"));
}

TEST_CASE("interpolation meets its end points exactly") {
    std::vector<float> a = random_values(16, 1, -2, 2), b = random_values(16, 2, -2, 2);
    for (bool spherical : {false, true}) {
        CHECK(interpolate(a, b, 0, spherical) == a);
        CHECK(interpolate(a, b, 1, spherical) == b);
    }
    CHECK(outcome_of([&] { interpolate(a, std::span(b).first(3), 0, true); }).says("16 and 3"));
}

TEST_CASE("spherical interpolation keeps the norm, linear cuts through") {
    std::vector<float> a = random_values(64, 1, -2, 2), b = random_values(64, 2, -2, 2);
    float factor = float(norm(a) / norm(b));
    for (float& value : b)
        value *= factor;
    for (float t : {0.25f, 0.5f, 0.9f})
        CHECK(norm(interpolate(a, b, t, true)) == doctest::Approx(norm(a)).epsilon(1e-5));
    CHECK(norm(interpolate(a, b, 0.5f, false)) < 0.95 * norm(a));
    std::vector<float> middle = interpolate(a, b, 0.5f, false);
    for (size_t i = 0; i < a.size(); i++)
        CHECK(middle[i] == doctest::Approx((a[i] + b[i]) / 2));
}

TEST_CASE("spherical interpolation of parallel, opposite and zero vectors stays finite") {
    std::vector<float> a = random_values(8, 1, -2, 2), zero(8, 0.0f), same = a, opposite = a;
    for (float& value : opposite)
        value = -value;
    for (const std::vector<float>& b : {same, opposite, zero})
        for (float value : interpolate(a, b, 0.3f, true))
            CHECK(std::isfinite(value));
    for (size_t i = 0; i < a.size(); i++)
        CHECK(interpolate(a, same, 0.3f, true)[i] == doctest::Approx(a[i]));
}

} // namespace
} // namespace vkvae::test
