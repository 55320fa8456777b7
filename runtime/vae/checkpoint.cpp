// Model files and training states, both safetensors. A model file is what PyTorch's load_state_dict takes, with the
// model's JSON in the metadata: one file is a model. No dates or host names: equal runs give equal bytes.
#include <cmath>
#include <limits>

#include "io/file.hpp"
#include "io/safetensors.hpp"
#include "vkvae/version.hpp"
#include "vkvae/vae.hpp"

namespace vkvae {
namespace {

ModelConfig config_of(const SafetensorsFile& contents, const std::filesystem::path& file) {
    auto found = contents.metadata.find("vkvae_config");
    require_data(found != contents.metadata.end(), path_text(file),
                 " carries no vkvae_config: it is not a model that vkvae saved");
    try {
        return parse_model(found->second);
    } catch (const Error& error) {
        fail(Status::data, path_text(file), ": ", error.what());
    }
}

constexpr const char *kStepKey = "vkvae_step", *kLayoutKey = "vkvae_layout", *kVersionKey = "vkvae_version";

// Tells moments of one model from those of another: which parameter is where in the flat buffers.
std::string layout_of(const Parameters& parameters) {
    std::string text;
    for (const Parameter& p : parameters.list())
        text += concat_text(p.offset, " ", p.name, to_text(p.shape), "\n");
    return std::to_string(crc32c(std::as_bytes(std::span(text))));
}

} // namespace

void save_model(const std::filesystem::path& file, const Vae& vae, const Parameters& parameters) {
    std::vector<std::vector<float>> values;
    std::vector<TensorEntry> tensors;
    for (const Parameter& p : parameters.list()) {
        values.push_back(parameters.read(p));
        tensors.push_back({p.name, "F32", p.disk_shape, std::as_bytes(std::span(values.back()))});
    }
    write_safetensors(file, {{"format", "pt"}, {kVersionKey, kVersion}, {"vkvae_config", vae.config().json}},
                      tensors);
}

ModelConfig read_model_config(const std::filesystem::path& file) { return config_of(read_safetensors(file), file); }

void load_model(const std::filesystem::path& file, const Vae& vae, Parameters& parameters) {
    SafetensorsFile contents = read_safetensors(file);
    require_data(config_of(contents, file).json == vae.config().json, path_text(file),
                 " is a checkpoint of another model");
    // Everything is checked before anything is written.
    std::vector<std::vector<float>> values;
    for (const Parameter& p : parameters.list()) {
        const TensorEntry* entry = contents.find(p.name);
        require_data(entry != nullptr, path_text(file), ": the tensor ", p.name, " is missing");
        require_data(entry->shape == p.disk_shape, path_text(file), ": the tensor ", p.name, " has the shape ",
                     to_text(entry->shape), ", the model needs ", to_text(p.disk_shape));
        values.push_back(to_f32(*entry));
    }
    require_data(contents.tensors.size() == parameters.list().size(), path_text(file), " has ", contents.tensors.size(),
                 " tensors, the model has ", parameters.list().size());
    for (size_t i = 0; i < values.size(); i++)
        parameters.write(parameters.list()[i], values[i]);
}

void save_train_state(const std::filesystem::path& file, const Parameters& parameters, const TrainState& state) {
    using Region = Parameters::Region;
    std::vector<float> m = parameters.read(Region::m), v = parameters.read(Region::v);
    Shape shape = {parameters.padded()};
    std::vector<TensorEntry> tensors = {{"optimizer.m", "F32", shape, std::as_bytes(std::span(m))},
                                        {"optimizer.v", "F32", shape, std::as_bytes(std::span(v))}};
    std::array<float, 3> scale = {};
    if (parameters.precision() == DType::f16) {
        scale = parameters.loss_scale();
        tensors.push_back({"optimizer.loss_scale", "F32", {3}, std::as_bytes(std::span(scale))});
    }
    std::map<std::string, std::string> metadata = state.extra;
    metadata[kStepKey] = std::to_string(state.step);
    metadata[kLayoutKey] = layout_of(parameters);
    metadata[kVersionKey] = kVersion;
    write_safetensors(file, metadata, tensors);
}

TrainState load_train_state(const std::filesystem::path& file, Parameters& parameters) {
    SafetensorsFile contents = read_safetensors(file);
    TrainState state;
    const std::string& step = contents.metadata[kStepKey];
    // Random numbers are counted by 32-bit steps.
    bool number = !step.empty() && step.size() <= 10 && step.find_first_not_of("0123456789") == std::string::npos &&
                  std::stoll(step) <= std::numeric_limits<uint32_t>::max();
    require_data(number, path_text(file), " is not a training state: it has no step");
    require_data(contents.metadata[kLayoutKey] == layout_of(parameters), path_text(file),
                 " is the training state of another model, or of another version of vkvae");
    state.step = std::stoll(step);
    state.extra = contents.metadata;
    for (const char* key : {kStepKey, kLayoutKey, kVersionKey})
        state.extra.erase(key);
    std::vector<float> moments[2];
    const char* names[] = {"optimizer.m", "optimizer.v"};
    for (int i = 0; i < 2; i++) {
        const TensorEntry* entry = contents.find(names[i]);
        require_data(entry && entry->shape == Shape{parameters.padded()}, path_text(file), ": ", names[i],
                     entry ? " has another model's shape" : " is missing");
        moments[i] = to_f32(*entry);
    }
    if (parameters.precision() == DType::f16) {
        const TensorEntry* entry = contents.find("optimizer.loss_scale");
        require_data(entry && entry->shape == Shape{3}, path_text(file),
                     " has no loss scale, which training in f16 needs");
        std::vector<float> scale = to_f32(*entry);
        bool whole = std::floor(scale[1]) == scale[1] && std::floor(scale[2]) == scale[2];
        require_data(scale[0] >= 0x1p-20f && scale[0] <= 0x1p60f && whole && scale[1] >= 0 && scale[2] >= 0,
                     path_text(file), ": no loss scale is ", scale[0], ", good for ", scale[1], " steps, after ", scale[2],
                     " skipped");
        parameters.set_loss_scale({scale[0], scale[1], scale[2]});
    }
    parameters.write(Parameters::Region::m, moments[0]);
    parameters.write(Parameters::Region::v, moments[1]);
    return state;
}

} // namespace vkvae
