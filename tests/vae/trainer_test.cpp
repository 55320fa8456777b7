// Training: it learns, it is exact to the bit, and it stops when numbers go bad.
#include "vae/model_fixture.hpp"

#include <limits>

namespace vkvae::test {
namespace {

constexpr int64_t kPixels = 36, kCount = 50;

const std::vector<std::byte>& tiny_data() {
    static const std::vector<std::byte> bytes = blobs(kCount, 6, 6);
    return bytes;
}

TrainOptions tiny_options() {
    return {.batch = 8, .lr = 3e-3f, .seed = 11, .max_steps = 8};
}

// A model after `runs` of training, for comparing bits.
struct Trained {
    std::vector<float> weights, m, v;
    std::vector<StepStats> stats;
    bool resident = true;
};

Trained train(const DataView& data, const TrainOptions& options, const std::vector<int64_t>& runs,
              Device& device = test_device()) {
    Model model(kTinyModel, true, 1, device);
    Trainer trainer(device, model.vae, model.parameters, data, options);
    Trained result;
    for (int64_t count : runs)
        for (StepStats& stats : trainer.run(count))
            result.stats.push_back(std::move(stats));
    result.weights = model.weights();
    result.m = model.parameters.read(Parameters::Region::m);
    result.v = model.parameters.read(Parameters::Region::v);
    result.resident = trainer.data_resident();
    return result;
}

Trained train(const TrainOptions& options, const std::vector<int64_t>& runs) {
    return train(view_of(tiny_data(), kPixels), options, runs);
}

void check_same(const Trained& a, const Trained& b) {
    CHECK(same_bits(a.weights, b.weights));
    CHECK(same_bits(a.m, b.m));
    CHECK(same_bits(a.v, b.v));
    REQUIRE(a.stats.size() == b.stats.size());
    for (size_t i = 0; i < a.stats.size(); i++) {
        CHECK(a.stats[i].step == b.stats[i].step);
        CHECK(a.stats[i].loss == b.stats[i].loss);
        CHECK(a.stats[i].gradient_norm == b.stats[i].gradient_norm);
        CHECK(same_bits(a.stats[i].kl_dims, b.stats[i].kl_dims));
    }
}

double mean_loss(std::span<const StepStats> stats) {
    double sum = 0;
    for (const StepStats& s : stats)
        sum += s.loss;
    return sum / double(stats.size());
}

std::vector<std::byte> file_bytes(const std::filesystem::path& path) {
    return read_file(path, 1 << 24);
}

TEST_CASE("the loss goes down, and its parts add up") {
    Trained result = train(tiny_options(), {150});
    std::span<const StepStats> stats = result.stats;
    CHECK(mean_loss(stats.last(20)) < 0.75 * mean_loss(stats.first(20)));
    for (const StepStats& s : stats) {
        CHECK(s.loss == doctest::Approx(s.nll + s.kl).epsilon(1e-5));
        REQUIRE(s.kl_dims.size() == 3);
        CHECK(s.kl == doctest::Approx(s.kl_dims[0] + s.kl_dims[1] + s.kl_dims[2]).epsilon(1e-5));
        CHECK(s.gradient_norm > 0);
        CHECK(s.step == &s - stats.data());
    }
}

TEST_CASE("one batch can be learned by heart") {
    std::span<const std::byte> one = std::span(tiny_data()).first(4 * kPixels);
    TrainOptions options = tiny_options();
    options.batch = 4;
    options.lr = 1e-2f;
    options.beta = 1e-3f;
    options.max_steps = 64;
    Trained result = train(view_of(one, kPixels), options, {600});
    double entropy = 0; // of grey pixels as Bernoulli targets: the least that the nll can be
    for (float x : as_floats(one))
        if (x > 0 && x < 1)
            entropy -= (x * std::log(x) + (1 - x) * std::log(1 - x)) / 4;
    CHECK(result.stats.back().nll < 1.15 * entropy);
    CHECK(result.stats.back().nll > 0.999 * entropy);
}

TEST_CASE("a seed gives the same bits, another seed others") {
    Trained first = train(tiny_options(), {20});
    check_same(first, train(tiny_options(), {20}));
    TrainOptions other = tiny_options();
    other.seed = 12;
    CHECK_FALSE(same_bits(first.weights, train(other, {20}).weights));
}

TEST_CASE("how steps are grouped into runs and submissions changes nothing") {
    Trained whole = train(tiny_options(), {20});
    check_same(whole, train(tiny_options(), {7, 13}));
    TrainOptions single = tiny_options();
    single.max_steps = 1;
    check_same(whole, train(single, {20}));
    TrainOptions eager = tiny_options();
    eager.submit_seconds = 100;
    check_same(whole, train(eager, {20}));
    CHECK(train(tiny_options(), {}).stats.empty());
    CHECK(train(tiny_options(), {0}).stats.empty());
}

TEST_CASE("a run that was saved and loaded ends in the same files, byte for byte") {
    for (const char* optimizer : {"adam", "sgd"}) {
        TempFolder folder;
        TrainOptions options = tiny_options();
        options.optimizer = optimizer;
        DataView data = view_of(tiny_data(), kPixels);
        auto save = [&](const Model& model, int64_t step, const char* name) {
            save_model(folder.path / name, model.vae, model.parameters);
            save_train_state(folder.path / (std::string(name) + ".state"), model.parameters,
                             {step, {{"note", "kept"}}});
        };
        Model whole(kTinyModel);
        Trainer trainer(test_device(), whole.vae, whole.parameters, data, options);
        trainer.run(10);
        save(whole, trainer.step(), "half");
        trainer.run(10);
        save(whole, trainer.step(), "whole");

        Model resumed(kTinyModel, true, 99);
        load_model(folder.path / "half", resumed.vae, resumed.parameters);
        TrainState state = load_train_state(folder.path / "half.state", resumed.parameters);
        CHECK(state.step == 10);
        CHECK(state.extra == std::map<std::string, std::string>{{"note", "kept"}});
        Trainer second(test_device(), resumed.vae, resumed.parameters, data, options);
        second.set_step(state.step);
        second.run(10);
        CHECK(second.step() == 20);
        save(resumed, second.step(), "resumed");
        CHECK(file_bytes(folder.path / "resumed") == file_bytes(folder.path / "whole"));
        CHECK(file_bytes(folder.path / "resumed.state") == file_bytes(folder.path / "whole.state"));
        CHECK(file_bytes(folder.path / "half") != file_bytes(folder.path / "whole"));
    }
}

TEST_CASE("the bytes follow from the choices: given ones hold whatever the cache says") {
    TempFolder folder;
    DeviceOptions with_cache = test_options();
    with_cache.cache_dir = folder.path.string();
    std::unique_ptr<Device> device = Device::create(with_cache);
    DataView data = view_of(tiny_data(), kPixels);
    TrainOptions options = tiny_options();
    options.batch = 600; // sums over so many samples can be split
    Tuning others;
    {
        Model model(kTinyModel, true, 1, *device);
        Trainer trainer(*device, model.vae, model.parameters, data, options);
        CHECK(trainer.tuning().empty());
        for (const auto& [family, decisions] : trainer.plan().decisions())
            for (const auto& [what, counts] : decisions)
                if (family.starts_with("slices "))
                    others[family + " " + what] = counts.back();
    }
    REQUIRE(!others.empty());
    Trained rule = train(data, options, {4}, *device);
    options.tuning = others;
    Trained given = train(data, options, {4}, *device);
    CHECK(!same_bits(given.weights, rule.weights));
    options.tuning = {};

    store_tuning(*device, others);
    check_same(train(data, options, {4}, *device), given);
    options.tuning = Tuning{};
    check_same(train(data, options, {4}, *device), rule);
    options.tuning = {};
    options.autotune = Autotune::off;
    check_same(train(data, options, {4}, *device), rule);

    options.autotune = Autotune::cached;
    Model model(kTinyModel, true, 1, *device);
    Trainer trainer(*device, model.vae, model.parameters, data, options);
    CHECK(trainer.tuning() == others);
    CHECK(trainer.tuned().tuning.empty()); // nothing was measured
}

TEST_CASE("data that stream give the same bits as data on the device") {
    // More data than the device can bind at once, and not a multiple of the window: 3000 x 36 bytes against 64 KiB.
    std::vector<std::byte> data = blobs(3000, 6, 6);
    std::unique_ptr<Device> device = device_with_storage_range("65536");
    TrainOptions options = tiny_options();
    options.batch = 100;
    options.max_steps = 32;
    Trained resident = train(view_of(data, kPixels), options, {70});
    Trained streamed = train(view_of(data, kPixels), options, {70}, *device);
    CHECK(resident.resident);
    CHECK_FALSE(streamed.resident);
    check_same(resident, streamed);
    check_same(resident, train(view_of(data, kPixels), options, {1, 2, 30, 37}, *device));
}

TEST_CASE("a batch may be larger than the data, down to a single sample") {
    TrainOptions options = tiny_options();
    options.batch = 64; // of 50
    Trained result = train(options, {6});
    CHECK(std::isfinite(result.stats.back().loss));
    std::span<const std::byte> one = std::span(tiny_data()).first(kPixels);
    CHECK(train(view_of(one, kPixels), options, {6}).stats.size() == 6);
}

TEST_CASE("every sample is visited once an epoch") {
    // lr 0 and a constant posterior: the nll of a batch is then a function of its samples. Two halves of the epoch
    // together are the same sum in every epoch.
    Model model(kTinyModel);
    model.fill("fc_logvar.weight", 0);
    model.fill("fc_logvar.bias", -60); // z = mu
    TrainOptions options = tiny_options();
    options.lr = 0;
    options.batch = 25;
    Trainer trainer(test_device(), model.vae, model.parameters, view_of(tiny_data(), kPixels), options);
    std::vector<StepStats> stats = trainer.run(6);
    CHECK(stats[0].nll != stats[2].nll); // shuffled anew
    CHECK(stats[0].nll + stats[1].nll == doctest::Approx(stats[2].nll + stats[3].nll).epsilon(1e-6));
    CHECK(stats[0].nll + stats[1].nll == doctest::Approx(stats[4].nll + stats[5].nll).epsilon(1e-6));
}

TEST_CASE("bytes and the floats they stand for train alike") {
    std::vector<float> floats = as_floats(tiny_data());
    check_same(train(tiny_options(), {10}), train(view_of(floats, kPixels), tiny_options(), {10}));
}

TEST_CASE("dynamic binarisation draws anew in every step") {
    // Nothing learns and z is mu: without the draws every step would have the same nll.
    Model model(kTinyModel);
    model.fill("fc_logvar.weight", 0);
    model.fill("fc_logvar.bias", -60);
    model.fill("fc_mu.weight", 0);
    TrainOptions options = tiny_options();
    options.lr = 0;
    std::vector<std::byte> grey(kPixels, std::byte(127));
    for (Binarize binarize : {Binarize::none, Binarize::dynamic}) {
        options.binarize = binarize;
        Trainer trainer(test_device(), model.vae, model.parameters, view_of(grey, kPixels), options);
        std::vector<StepStats> stats = trainer.run(3);
        CHECK((stats[0].nll == stats[1].nll) == (binarize == Binarize::none));
        CHECK((stats[1].nll == stats[2].nll) == (binarize == Binarize::none));
    }
}

TEST_CASE("every option of the optimizers changes the result") {
    std::vector<std::vector<float>> results;
    auto add = [&](auto change) {
        TrainOptions options = tiny_options();
        change(options);
        results.push_back(train(options, {5}).weights);
        for (size_t i = 0; i + 1 < results.size(); i++)
            CHECK_MESSAGE(!same_bits(results[i], results.back()), i << " and " << results.size() - 1);
    };
    add([](TrainOptions&) {});
    add([](TrainOptions& o) { o.lr = 2e-3f; });
    add([](TrainOptions& o) { o.beta = 4; });
    add([](TrainOptions& o) { o.clip_norm = 1e-3f; }); // Adam almost divides it out, but for its eps
    add([](TrainOptions& o) { o.weight_decay = 0.1f; });
    add([](TrainOptions& o) { o.optimizer = "adamw", o.weight_decay = 0.1f; });
    add([](TrainOptions& o) { o.optimizer = "sgd"; });
    add([](TrainOptions& o) { o.optimizer = "sgd", o.momentum = 0; });
    add([](TrainOptions& o) { o.optimizer = "sgd", o.weight_decay = 0.1f; });
    add([](TrainOptions& o) { o.optimizer = "sgd", o.clip_norm = 1; });
}

TEST_CASE("sgd steps no further than the clip norm times the learning rate") {
    TrainOptions options = tiny_options();
    options.optimizer = "sgd";
    options.momentum = 0;
    options.clip_norm = 0.5f;
    options.lr = 1;
    std::vector<float> before = train(options, {}).weights, after = train(options, {1}).weights;
    double squares = 0;
    for (size_t i = 0; i < before.size(); i++)
        squares += double(after[i] - before[i]) * (after[i] - before[i]);
    CHECK(std::sqrt(squares) == doctest::Approx(0.5).epsilon(1e-3));
}

TEST_CASE("options that make no sense are usage errors") {
    auto refused = [](auto change) {
        TrainOptions options = tiny_options();
        change(options);
        return outcome_of([&] { train(options, {1}); });
    };
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    Outcome unknown = refused([](TrainOptions& o) { o.optimizer = "adagrad"; });
    CHECK(unknown.says("known are adam, adamw, sgd"));
    for (const Outcome& outcome :
         {unknown, refused([](TrainOptions& o) { o.batch = 0; }), refused([](TrainOptions& o) { o.lr = nan; }),
          refused([](TrainOptions& o) { o.lr = -1; }), refused([](TrainOptions& o) { o.beta = std::numeric_limits<float>::quiet_NaN(); }),
          refused([](TrainOptions& o) { o.weight_decay = -1; }), refused([](TrainOptions& o) { o.momentum = nan; }),
          refused([](TrainOptions& o) { o.lr_schedule = "steps"; }),
          refused([](TrainOptions& o) { o.lr_schedule = "cosine"; }), // of how many steps?
          refused([](TrainOptions& o) { o.clip_norm = -1; }), refused([](TrainOptions& o) { o.max_steps = 0; })})
        CHECK(outcome.status == Status::usage);
}

TEST_CASE("data that are not what the model takes are refused") {
    Model model(kTinyModel);
    auto refused = [&](DataView data) {
        return outcome_of([&] { Trainer(test_device(), model.vae, model.parameters, data, tiny_options()); });
    };
    DataView good = view_of(tiny_data(), kPixels), empty = {{}, 0, kPixels}, narrow = good, longer = good;
    narrow.width = 35;
    longer.count++;
    CHECK(refused(empty).says("empty"));
    CHECK(refused(narrow).says("35 numbers a sample, the model takes 36"));
    CHECK(refused(longer).says("51 samples of 36 bytes, but have 1800"));
    for (const DataView& data : {empty, narrow, longer})
        CHECK(refused(data).status == Status::data);
    Model frozen(kTinyModel, false);
    CHECK(outcome_of([&] {
              Trainer(test_device(), frozen.vae, frozen.parameters, good, tiny_options());
          }).says("not allocated for training"));
}

} // namespace
} // namespace vkvae::test
