// Model files and training states, both safetensors. A model file is what PyTorch's load_state_dict takes, with the
// model's JSON in the metadata: one file is a model. No dates or host names: equal runs give equal bytes.
#include "io/safetensors.hpp"
#include "vkvae/version.hpp"
#include "vkvae/vae.hpp"

namespace vkvae {
namespace {

std::string text_of(const std::filesystem::path& file) { return file.string(); }

ModelConfig config_of(const SafetensorsFile& contents, const std::filesystem::path& file) {
    auto found = contents.metadata.find("vkvae_config");
    require_data(found != contents.metadata.end(), text_of(file),
                 " carries no vkvae_config: it is not a model that vkvae saved");
    try {
        return parse_model(found->second);
    } catch (const Error& error) {
        fail(Status::data, text_of(file), ": ", error.what());
    }
}

} // namespace

void save_model(const std::filesystem::path& file, const Vae& vae, const Parameters& parameters) {
    std::vector<std::vector<float>> values;
    std::vector<TensorEntry> tensors;
    for (const Parameter& p : parameters.list()) {
        values.push_back(parameters.read(p));
        tensors.push_back({p.name, "F32", p.disk_shape, std::as_bytes(std::span(values.back()))});
    }
    write_safetensors(file, {{"format", "pt"}, {"vkvae_version", kVersion}, {"vkvae_config", vae.config().json}},
                      tensors);
}

ModelConfig read_model_config(const std::filesystem::path& file) { return config_of(read_safetensors(file), file); }

void load_model(const std::filesystem::path& file, const Vae& vae, Parameters& parameters) {
    SafetensorsFile contents = read_safetensors(file);
    require_data(config_of(contents, file).json == vae.config().json, text_of(file), " is a checkpoint of another model");
    // Everything is checked before anything is written.
    std::vector<std::vector<float>> values;
    for (const Parameter& p : parameters.list()) {
        const TensorEntry* entry = contents.find(p.name);
        require_data(entry != nullptr, text_of(file), ": the tensor ", p.name, " is missing");
        require_data(entry->shape == p.disk_shape, text_of(file), ": the tensor ", p.name, " has the shape ",
                     to_text(entry->shape), ", the model needs ", to_text(p.disk_shape));
        values.push_back(to_f32(*entry));
    }
    require_data(contents.tensors.size() == parameters.list().size(), text_of(file), " has ", contents.tensors.size(),
                 " tensors, the model has ", parameters.list().size());
    for (size_t i = 0; i < values.size(); i++)
        parameters.write(parameters.list()[i], values[i]);
}

void save_train_state(const std::filesystem::path& file, const Parameters& parameters, const TrainState& state) {
    using Region = Parameters::Region;
    std::vector<float> m = parameters.read(Region::m), v = parameters.read(Region::v);
    Shape shape = {parameters.padded()};
    TensorEntry tensors[] = {{"optimizer.m", "F32", shape, std::as_bytes(std::span(m))},
                             {"optimizer.v", "F32", shape, std::as_bytes(std::span(v))}};
    std::map<std::string, std::string> metadata = state.extra;
    metadata["vkvae_step"] = std::to_string(state.step);
    metadata["vkvae_version"] = kVersion;
    write_safetensors(file, metadata, tensors);
}

TrainState load_train_state(const std::filesystem::path& file, Parameters& parameters) {
    SafetensorsFile contents = read_safetensors(file);
    TrainState state;
    state.extra = contents.metadata;
    const std::string& step = contents.metadata["vkvae_step"];
    bool digits = !step.empty() && step.size() < 19 && step.find_first_not_of("0123456789") == std::string::npos;
    require_data(digits, text_of(file), " is not a training state: it has no step");
    state.step = std::stoll(step);
    std::vector<float> moments[2];
    const char* names[] = {"optimizer.m", "optimizer.v"};
    for (int i = 0; i < 2; i++) {
        const TensorEntry* entry = contents.find(names[i]);
        require_data(entry && entry->shape == Shape{parameters.padded()}, text_of(file), ": ", names[i],
                     entry ? " has another model's shape" : " is missing");
        moments[i] = to_f32(*entry);
    }
    parameters.write(Parameters::Region::m, moments[0]);
    parameters.write(Parameters::Region::v, moments[1]);
    return state;
}

} // namespace vkvae
