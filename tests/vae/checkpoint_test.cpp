// Model files and training states: what is written comes back, and nothing else is taken for one.
#include "io/safetensors.hpp"
#include "vae/model_fixture.hpp"

#include <cerrno>

namespace vkvae::test {
namespace {

using Region = Parameters::Region;

struct Saved {
    TempFolder folder;
    Model model{kTinyModel};
    std::filesystem::path file = folder.path / "model.safetensors", state = folder.path / "state.safetensors";
    Saved() {
        std::vector<float> moments = random_values(size_t(model.parameters.padded()), 1, 0, 1);
        model.parameters.write(Region::m, moments);
        save_model(file, model.vae, model.parameters);
        save_train_state(state, model.parameters, {123456, {{"best", "98.5"}, {"data", "ab12"}}});
    }
    // Loads into a model with other weights, which must stay as they are if it fails.
    Outcome load(const std::filesystem::path& path) const {
        Model other(kTinyModel, true, 2);
        std::vector<float> before = other.weights();
        Outcome outcome = outcome_of([&] { load_model(path, other.vae, other.parameters); });
        if (outcome.status != Status::ok)
            CHECK(same_bits(before, other.weights()));
        return outcome;
    }
    // The model file with something changed.
    template <class Change> Outcome load_changed(const Change& change) const {
        SafetensorsFile contents = read_safetensors(file);
        change(contents);
        std::filesystem::path path = folder.path / "changed.safetensors";
        write_safetensors(path, contents.metadata, contents.tensors);
        return load(path);
    }
};

TEST_CASE("a model comes back from its file") {
    Saved saved;
    CHECK(read_model_config(saved.file).json == saved.model.vae.config().json);
    Model other(kTinyModel, false, 2); // not for training
    load_model(saved.file, other.vae, other.parameters);
    CHECK(same_bits(saved.model.weights(), other.weights()));
    // Alone, too: the file says what model it is.
    Vae vae(read_model_config(saved.file));
    CHECK(vae.definitions().size() == saved.model.parameters.list().size());
}

TEST_CASE("a model file is what PyTorch loads: its names, its shapes, format pt") {
    Saved saved;
    SafetensorsFile contents = read_safetensors(saved.file);
    CHECK(contents.metadata.at("format") == "pt");
    for (const Parameter& p : saved.model.parameters.list()) {
        const TensorEntry* entry = contents.find(p.name);
        REQUIRE(entry);
        CHECK(entry->dtype == "F32");
        CHECK(entry->shape == p.disk_shape);
        CHECK(same_bits(to_f32(*entry), saved.model.parameters.read(p)));
    }
}

TEST_CASE("a training state comes back from its file") {
    Saved saved;
    Model other(kTinyModel);
    TrainState state = load_train_state(saved.state, other.parameters);
    CHECK(state.step == 123456);
    CHECK(state.extra == std::map<std::string, std::string>{{"best", "98.5"}, {"data", "ab12"}});
    CHECK(same_bits(saved.model.parameters.read(Region::m), other.parameters.read(Region::m)));
    CHECK(same_bits(saved.model.parameters.read(Region::v), other.parameters.read(Region::v)));
}

TEST_CASE("no truncation of a model file or a training state loads") {
    Saved saved;
    Model other(kTinyModel);
    int accepted = 0;
    auto refuses = [&](const std::filesystem::path& path, auto load) {
        for (uintmax_t size = std::filesystem::file_size(path); size-- > 0;) {
            if (size > 4096 && size % 97) // past the header every length is alike
                continue;
            std::filesystem::resize_file(path, size);
            accepted += outcome_of(load).status != Status::data;
        }
    };
    refuses(saved.file, [&] { load_model(saved.file, other.vae, other.parameters); });
    refuses(saved.state, [&] { load_train_state(saved.state, other.parameters); });
    CHECK(accepted == 0);
}

TEST_CASE("a file whose tensors are not the model's is refused before anything is written") {
    Saved saved;
    CHECK(saved.load_changed([](SafetensorsFile&) {}).status == Status::ok);
    Outcome missing = saved.load_changed([](SafetensorsFile& f) { f.tensors.erase(f.tensors.begin() + 2); });
    CHECK(missing.status == Status::data);
    CHECK(missing.says("decoder.layers.1.bias is missing"));

    std::vector<float> more(4);
    Outcome extra = saved.load_changed([&](SafetensorsFile& f) {
        f.tensors.push_back({"more", "F32", {4}, std::as_bytes(std::span(more))});
    });
    CHECK(extra.status == Status::data);
    CHECK(extra.says("11 tensors, the model has 10"));

    Outcome reshaped = saved.load_changed([](SafetensorsFile& f) {
        for (TensorEntry& t : f.tensors)
            if (t.name == "fc_mu.weight")
                t.shape = {16, 3};
    });
    CHECK(reshaped.status == Status::data);
    CHECK(reshaped.says("fc_mu.weight has the shape (16, 3), the model needs (3, 16)"));

    Outcome integers = saved.load_changed([](SafetensorsFile& f) { f.tensors[0].dtype = "I32"; });
    CHECK(integers.status == Status::data);
}

TEST_CASE("a file of another model, or of no model, is refused") {
    Saved saved;
    Outcome nameless = saved.load_changed([](SafetensorsFile& f) { f.metadata.erase("vkvae_config"); });
    CHECK(nameless.status == Status::data);
    CHECK(nameless.says("not a model that vkvae saved"));
    Outcome garbage = saved.load_changed([](SafetensorsFile& f) { f.metadata["vkvae_config"] = "{]"; });
    CHECK(garbage.status == Status::data);
    CHECK(garbage.says("changed.safetensors: the model is not valid JSON"));

    Model mlp(preset_model("mlp"));
    Outcome other = outcome_of([&] { load_model(saved.file, mlp.vae, mlp.parameters); });
    CHECK(other.status == Status::data);
    CHECK(other.says("another model"));
    CHECK(outcome_of([&] { load_model(saved.state, mlp.vae, mlp.parameters); }).status == Status::data);
    CHECK(outcome_of([&] { load_model(saved.folder.path / "absent", mlp.vae, mlp.parameters); }).status ==
          Status::data);
}

TEST_CASE("a training state of another model, or of none, is refused") {
    Saved saved;
    Model mlp(preset_model("mlp"));
    CHECK(outcome_of([&] { load_train_state(saved.state, mlp.parameters); }).says("another model"));
    CHECK(outcome_of([&] { load_train_state(saved.file, saved.model.parameters); }).says("no step"));
    // As many numbers, but not the same ones.
    std::string json = kTinyModel;
    json.replace(json.find("\"linear\", \"out\": 16"), 19, "\"linear\", \"out\": 15");
    Model twin(json);
    REQUIRE(twin.parameters.padded() == saved.model.parameters.padded());
    CHECK(outcome_of([&] { load_train_state(saved.state, twin.parameters); }).status == Status::data);
}

TEST_CASE("a training state's step is a number that training can count to") {
    Saved saved;
    for (const char* step : {"", "-1", "1e3", "0x10", " 7", "4294967296", "99999999999999999999"}) {
        SafetensorsFile contents = read_safetensors(saved.state);
        contents.metadata["vkvae_step"] = step;
        std::filesystem::path path = saved.folder.path / "changed.safetensors";
        write_safetensors(path, contents.metadata, contents.tensors);
        INFO(std::string(step));
        CHECK(outcome_of([&] { load_train_state(path, saved.model.parameters); }).status == Status::data);
    }
}

TEST_CASE("a full disk leaves the old checkpoint in place") {
    Saved saved;
    std::vector<std::byte> model = read_file(saved.file, 1 << 24), state = read_file(saved.state, 1 << 24);
    saved.model.parameters.initialise(9);
    FileFault before = set_file_fault([](FileCall call, std::size_t*) { return call == FileCall::write ? ENOSPC : 0; });
    Outcome of_model = outcome_of([&] { save_model(saved.file, saved.model.vae, saved.model.parameters); });
    Outcome of_state = outcome_of([&] { save_train_state(saved.state, saved.model.parameters, {1, {}}); });
    set_file_fault(before);
    CHECK(of_model.status == Status::runtime);
    CHECK(of_state.status == Status::runtime);
    CHECK(read_file(saved.file, 1 << 24) == model);
    CHECK(read_file(saved.state, 1 << 24) == state);
    CHECK(saved.folder.entries() == 2); // no temporaries left
    save_model(saved.file, saved.model.vae, saved.model.parameters);
    CHECK(read_file(saved.file, 1 << 24) != model);
}

} // namespace
} // namespace vkvae::test
