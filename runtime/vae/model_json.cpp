// Reads a model from JSON, strictly: an unknown key or an impossible number is an error, not a default.
#include <algorithm>
#include <set>

#include "vae/layers.hpp"
#include "vae/objective.hpp"
#include "vae/presets.hpp"

#include <nlohmann/json.hpp>

namespace vkvae {
namespace {

using Json = nlohmann::ordered_json; // what checkpoints carry reads as it was written

// Untrusted input: what a model may ask for. See SECURITY.md.
constexpr size_t kMostJsonBytes = 1 << 20;
constexpr int kDeepestJson = 32;
constexpr size_t kMostLayers = 256; // of encoder and decoder each, those inside of residual layers included
constexpr int kDeepestLayer = 8;    // residual layers around it
constexpr size_t kMostLevels = 64;
constexpr int64_t kLargestSide = 8192, kMostChannels = 4096, kMostFeatures = 1 << 20, kMostLatents = 65536,
                  kMostClasses = 65536;

// A value for a message: one line of ASCII, not a megabyte of somebody's file.
std::string shown(const Json& value) {
    std::string text = value.dump(-1, ' ', true);
    return text.size() <= 80 ? text : text.substr(0, 77) + "...";
}

int64_t integer(const Json& object, const std::string& key, int64_t low, int64_t high) {
    const Json& value = object.at(key);
    require_data(value.is_number_integer(), "\"", key, "\" must be an integer, not ", shown(value));
    // An unsigned number beyond int64 would wrap: compare as the JSON says it.
    bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= uint64_t(high) : value.get<int64_t>() <= high;
    require_data(fits && value.get<int64_t>() >= low, "\"", key, "\" is ", shown(value), ", it must be from ", low,
                 " to ", high);
    return value.get<int64_t>();
}

double number(const Json& object, const std::string& key, double low, double high) {
    const Json& value = object.at(key);
    require_data(value.is_number(), "\"", key, "\" must be a number, not ", shown(value));
    double result = value.get<double>();
    require_data(result >= low && result <= high, "\"", key, "\" is ", shown(value), ", it must be from ", low, " to ",
                 high);
    return result;
}

std::string word(const Json& object, const std::string& key) {
    const Json& value = object.at(key);
    require_data(value.is_string(), "\"", key, "\" must be a string, not ", shown(value));
    return value.get<std::string>();
}

Shape sizes(const Json& object, const std::string& key, size_t least, size_t most) {
    const Json& value = object.at(key);
    require_data(value.is_array() && value.size() >= least && value.size() <= most, "\"", key,
                 "\" must be a list of ", least, least == most ? "" : concat_text(" to ", most), " sizes, not ",
                 shown(value));
    Shape shape;
    for (const Json& size : value) {
        require_data(size.is_number_integer() && size.get<int64_t>() > 0 && size.get<int64_t>() <= kMostFeatures,
                     "\"", key, "\" has the size ", shown(size), ", sizes go from 1 to ", kMostFeatures);
        shape.push_back(size.get<int64_t>());
    }
    return shape;
}

std::array<int, 4> paddings(const Json& object) {
    const Json& value = object.at("padding");
    if (!value.is_array()) {
        int p = int(integer(object, "padding", 0, 1024));
        return {p, p, p, p};
    }
    require_data(value.size() == 4, "\"padding\" must be a number or [top, left, bottom, right], not ", shown(value));
    std::array<int, 4> result = {};
    for (size_t i = 0; i < 4; i++) {
        require_data(value[i].is_number_integer() && value[i].get<int64_t>() >= 0 && value[i].get<int64_t>() <= 1024,
                     "\"padding\" ", shown(value), " must have four integers from 0 to 1024");
        result[i] = int(value[i].get<int64_t>());
    }
    return result;
}

// The keys of a layer against its row of the table: none unknown, none missing.
void check_keys(const Json& object, const LayerType& type) {
    std::set<std::string> allowed = {"type"}, required;
    std::string keys = type.keys;
    if (std::string(type.name) != "activation") // which has a name instead
        keys += " activation";
    std::istringstream words(keys);
    for (std::string key; words >> key;) {
        bool needed = key.back() == '!';
        if (needed)
            key.pop_back();
        allowed.insert(key);
        if (needed)
            required.insert(key);
    }
    for (const auto& [key, value] : object.items())
        require_data(allowed.count(key), "a ", type.name, " layer has no \"", key, "\"; it takes ", keys,
                     " (! must be given)");
    for (const std::string& key : required)
        require_data(object.contains(key), "a ", type.name, " layer needs \"", key, "\"");
}

// Where a list of layers is, and how many there are so far.
struct Place {
    std::string name; // "encoder", "encoder.layers.3"
    int depth = 0;
    size_t& count;
};
std::vector<Layer> parse_stack(const Json& object, const char* key, const Place& place);

// `place`: of the layers inside.
Layer parse_layer(const Json& object, const Place& place) {
    require_data(object.is_object() && object.contains("type"), "a layer must be an object with a \"type\", not ",
                 shown(object));
    Layer layer;
    layer.type = word(object, "type");
    check_keys(object, find_layer_type(layer.type));
    auto has = [&](const char* key) { return object.contains(key); };
    bool dense = layer.type == "linear";
    if (has("out"))
        layer.out = integer(object, "out", 1, dense ? kMostFeatures : kMostChannels);
    if (has("kernel"))
        layer.kernel = int(integer(object, "kernel", 1, 64));
    if (has("stride"))
        layer.stride = int(integer(object, "stride", 1, 64));
    if (has("output_padding"))
        layer.output_padding = int(integer(object, "output_padding", 0, 63));
    bool along_length = layer.type == "conv1d" || layer.type == "conv_transpose1d";
    if (has("padding") && along_length)
        layer.padding[1] = layer.padding[3] = int(integer(object, "padding", 0, 1024));
    else if (has("padding"))
        layer.padding = paddings(object);
    if (has("groups"))
        layer.groups = int(integer(object, "groups", 1, kMostChannels));
    if (has("eps"))
        layer.eps = float(number(object, "eps", 0, 1));
    if (has("shape"))
        layer.shape = sizes(object, "shape", 3, 3);
    if (has("layers"))
        layer.layers = parse_stack(object, "layers", place);
    if (has("bias")) {
        require_data(object["bias"].is_boolean(), "\"bias\" must be true or false");
        layer.bias = object["bias"].get<bool>();
    }
    const char* activation = layer.type == "activation" ? "name" : "activation";
    if (has(activation))
        layer.activation = activation_from_name(word(object, activation));
    return layer;
}

std::vector<Layer> parse_stack(const Json& object, const char* key, const Place& place) {
    const Json& list = object.at(key);
    require_data(list.is_array() && list.size() <= kMostLayers - place.count, "\"", key,
                 "\" must be a list of at most ", kMostLayers, " layers",
                 place.count > 0 ? ", with all others that are beside or around it" : "");
    require_data(place.depth <= kDeepestLayer, "residual layers are nested deeper than ", kDeepestLayer);
    require_data(place.depth == 0 || !list.empty(), "\"", key, "\" is empty, it must have a layer");
    place.count += list.size();
    std::vector<Layer> layers;
    for (size_t i = 0; i < list.size(); i++) {
        std::string name = concat_text(place.name, ".layers.", i);
        try {
            layers.push_back(parse_layer(list[i], {name, place.depth + 1, place.count}));
        } catch (const Error& error) {
            fail_in_layer(name, "", error);
        }
    }
    return layers;
}

void parse_sigma(const Json& object, ModelConfig& config) {
    const Json& sigma = object["sigma"];
    if (!sigma.is_string()) {
        config.sigma = float(number(object, "sigma", 1e-6, 1e6));
        return;
    }
    bool gaussian = config.likelihood == "gaussian";
    config.learned_sigma = sigma == "learned";
    config.pixel_sigma = gaussian && sigma == "per_pixel";
    require_data(config.learned_sigma || config.pixel_sigma, "\"sigma\" must be a number",
                 gaussian ? ", \"learned\" or \"per_pixel\"" : " or \"learned\"", ", not ", shown(sigma));
}

void parse_likelihood(const Json& object, ModelConfig& config) {
    config.likelihood = object.contains("likelihood") ? word(object, "likelihood") : "bernoulli";
    const Likelihood& likelihood = find_likelihood(config.likelihood);
    const std::string keys = likelihood.keys;
    for (const char* key : {"sigma", "classes", "components"}) {
        bool given = object.contains(key), taken = keys.starts_with(key);
        require_data(taken || !given, "a ", config.likelihood, " likelihood has no \"", key, "\"");
        require_data(given || keys != std::string(key) + "!", "a ", config.likelihood, " likelihood needs \"", key, "\"");
    }
    if (object.contains("sigma"))
        parse_sigma(object, config);
    if (object.contains("classes"))
        config.classes = integer(object, "classes", 2, kMostClasses);
    if (object.contains("components"))
        config.components = integer(object, "components", 1, 64);
    config.parameters = likelihood.parameters(config);
}

// An object whose "type" says which other keys it takes: `keys`, where ! marks those that must be given.
void check_typed(const Json& object, const std::string& what, const std::string& keys) {
    std::set<std::string> allowed = {"type"};
    std::istringstream words(keys);
    for (std::string key; words >> key;) {
        bool needed = key.back() == '!';
        if (needed)
            key.pop_back();
        allowed.insert(key);
        require_data(!needed || object.contains(key), what, " needs \"", key, "\"");
    }
    for (const auto& [key, value] : object.items())
        require_data(allowed.count(key), what, " has no \"", key, "\"; it takes ", keys);
}

std::string type_of(const Json& object, const char* key) {
    require_data(object.is_object() && object.contains("type"), "\"", key, "\" must be an object with a \"type\", not ",
                 shown(object));
    return word(object, "type");
}

constexpr int64_t kMostSteps = int64_t(1) << 32, kMostDraws = 10000, kMostComponents = 65536;

void parse_objective(const Json& object, ModelConfig& config) {
    if (!object.contains("objective"))
        return;
    const Json& given = object["objective"];
    ObjectiveConfig& o = config.objective;
    o.name = type_of(given, "objective");
    check_typed(given, "the objective " + o.name, concat_text("beta ", find_objective(o.name).keys));
    auto real = [&](const char* key, float& value, double high) {
        if (given.contains(key))
            value = float(number(given, key, 0, high));
    };
    auto count = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
        if (given.contains(key))
            value = integer(given, key, low, high);
    };
    real("beta", o.beta, 1e6);
    real("free_bits", o.free_bits, 1e6);
    real("capacity", o.capacity, 1e6);
    real("off_diagonal", o.off_diagonal, 1e6);
    real("diagonal", o.diagonal, 1e6);
    count("samples", o.samples, 1, kMostDraws);
    count("warmup", o.warmup, 0, kMostSteps);
    count("cycle", o.cycle, 1, kMostSteps);
    count("steps", o.capacity_steps, 1, kMostSteps);
    require_data(o.cycle == 0 || o.warmup <= o.cycle, "\"warmup\" is ", o.warmup, " steps, longer than a \"cycle\" of ",
                 o.cycle);
}

void check_part(const Json& object, const char* part, const char* type, const std::set<std::string>& known) {
    for (const auto& [key, value] : object.items())
        require_data(known.count(key), "a ", type, " ", part, " has no \"", key, "\"");
}

// {"type": "pixelcnn", ...}, the prior of codes.
void parse_code_prior(const Json& object, VqConfig& vq) {
    require_data(object.is_object() && object.contains("type") && word(object, "type") == "pixelcnn",
                 "the \"prior\" of a vq posterior must be {\"type\": \"pixelcnn\", ...}, not ", shown(object));
    check_part(object, "prior", "pixelcnn", {"type", "channels", "layers"});
    vq.prior_channels = object.contains("channels") ? integer(object, "channels", 1, kMostChannels) : 64;
    vq.prior_layers = object.contains("layers") ? integer(object, "layers", 0, kMostLayers) : 4;
}

// {"type": "vq", ...}
VqConfig parse_vq(const Json& object) {
    check_part(object, "posterior", "vq",
               {"type", "codes", "dim", "commitment", "decay", "codebook", "residual", "restart"});
    for (const char* key : {"codes", "dim"})
        require_data(object.contains(key), "a vq posterior needs \"", key, "\"");
    VqConfig vq;
    vq.codes = integer(object, "codes", 2, 65536);
    vq.dim = integer(object, "dim", 1, kMostChannels);
    if (object.contains("residual"))
        vq.levels = integer(object, "residual", 1, 32);
    if (object.contains("commitment"))
        vq.commitment = float(number(object, "commitment", 0, 1e6));
    if (object.contains("restart"))
        vq.restart = float(number(object, "restart", 0, 1));
    if (object.contains("codebook")) {
        std::string learned = word(object, "codebook");
        require_data(learned == "ema" || learned == "gradient", "\"codebook\" is \"", learned,
                     "\"; known are ema and gradient");
        vq.average = learned == "ema";
    }
    if (object.contains("decay"))
        vq.decay = float(number(object, "decay", 0, 1));
    return vq;
}

void parse_prior(const Json& object, ModelConfig& config) {
    if (!object.contains("prior"))
        return;
    const Json& given = object["prior"];
    if (config.vq)
        return parse_code_prior(given, config.vq);
    config.prior = type_of(given, "prior");
    check_typed(given, "the prior " + config.prior, find_prior(config.prior).keys);
    if (given.contains("components"))
        config.prior_components = integer(given, "components", 1, kMostComponents);
}

void parse_corruption(const Json& object, ModelConfig& config) {
    if (!object.contains("corruption"))
        return;
    const Json& given = object["corruption"];
    std::string type = type_of(given, "corruption");
    const std::map<std::string, Corruption> known = {{"masking", Corruption::masking},
                                                     {"salt_and_pepper", Corruption::salt_and_pepper},
                                                     {"gaussian", Corruption::gaussian}};
    require_data(known.count(type), "unknown corruption '", type, "'; known are gaussian, masking, salt_and_pepper");
    check_typed(given, "the corruption " + type, "amount!");
    config.corruption = known.at(type);
    config.corruption_amount = float(number(given, "amount", 0, config.corruption == Corruption::gaussian ? 1e3 : 1));
}

void parse_condition(const Json& object, ModelConfig& config) {
    if (!object.contains("condition"))
        return;
    const Json& given = object["condition"];
    require_data(given.is_object() && given.contains("classes") && given.size() == 1,
                 "\"condition\" must be {\"classes\": N}, not ", shown(given));
    config.label_classes = integer(given, "classes", 2, 256);
}

// "levels", or "latent", "encoder" and "decoder" of a model with one.
void parse_levels(const Json& object, ModelConfig& config) {
    size_t encoder_layers = 0, decoder_layers = 0;
    auto parse_level = [&](const Json& from, const std::string& prefix) {
        Level level;
        if (!config.vq)
            level.latent = integer(from, "latent", 1, kMostLatents);
        level.encoder = parse_stack(from, "encoder", {prefix + "encoder", 0, encoder_layers});
        level.decoder = parse_stack(from, "decoder", {prefix + "decoder", 0, decoder_layers});
        return level;
    };
    const bool several = object.contains("levels");
    for (const char* key : {"latent", "encoder", "decoder"})
        require_data(object.contains(key) != several || (config.vq && key == std::string("latent")), several ? "a model with \"levels\" has no \"" : "a model needs \"",
                     key, several ? "\" of its own" : "\"");
    if (!several) {
        config.levels.push_back(parse_level(object, ""));
        config.latent = config.levels[0].latent;
        return;
    }
    const Json& list = object["levels"];
    require_data(list.is_array() && list.size() >= 2 && list.size() <= kMostLevels, "\"levels\" must be a list of 2 to ",
                 kMostLevels, " levels");
    for (size_t i = 0; i < list.size(); i++) {
        const Json& given = list[i];
        require_data(given.is_object(), "level ", i, " must be an object, not ", shown(given));
        for (const auto& [key, value] : given.items())
            require_data(key == "latent" || key == "encoder" || key == "decoder" || key == "free_bits",
                         "a level has no \"", key, "\"; it takes latent, encoder, decoder, free_bits");
        for (const char* key : {"latent", "encoder", "decoder"})
            require_data(given.contains(key), "level ", i, " needs \"", key, "\"");
        config.levels.push_back(parse_level(given, concat_text("levels.", i, ".")));
        if (given.contains("free_bits"))
            config.levels.back().free_bits = float(number(given, "free_bits", 0, 1e6));
        config.latent += config.levels.back().latent;
    }
}

// "gaussian", "none" or {"type": "vq", ...}.
void parse_posterior(const Json& object, ModelConfig& config) {
    if (!object.contains("posterior"))
        return;
    const Json& posterior = object["posterior"];
    std::string type = posterior.is_object() ? type_of(posterior, "posterior") : word(object, "posterior");
    require_data(type == "gaussian" || type == "none" || type == "vq", "\"posterior\" is \"", type,
                 "\"; known are gaussian, none and vq");
    require_data(posterior.is_object() == (type == "vq"), "a ", type, " posterior is ",
                 type == "vq" ? "an object, with \"codes\" and \"dim\"" : "no object, but the word");
    config.deterministic = type == "none";
    if (type != "vq")
        return;
    config.vq = parse_vq(posterior);
    require_data(!object.contains("latent"), "a vq posterior has no \"latent\": how large its map is is up to the encoder, "
                                             "and \"dim\" is in the posterior");
    for (const char* key : {"levels", "condition", "objective"})
        require_data(!object.contains(key), "a model with a vq posterior has no \"", key, "\"");
}

ModelConfig parse_object(const Json& object) {
    require_data(object.is_object(), "a model must be a JSON object");
    const std::set<std::string> known = {"name",      "input",      "latent",      "likelihood", "sigma",     "classes",
                                         "components", "init",      "encoder",     "decoder",    "levels",    "posterior",
                                         "condition", "prior",      "objective",   "corruption", "output_bias"};
    for (const auto& [key, value] : object.items())
        require_data(known.count(key), "a model has no \"", key, "\"");
    require_data(object.contains("input"), "a model needs \"input\"");
    ModelConfig config;
    config.name = object.contains("name") ? word(object, "name") : "model";
    Shape input = sizes(object, "input", 1, 3);
    require_data(input.size() != 2, "\"input\" must be [height, width, channels], or [features] for vectors");
    config.height = input.size() == 3 ? input[0] : 1;
    config.width = input.size() == 3 ? input[1] : input[0];
    config.channels = input.size() == 3 ? input[2] : 1;
    require_data(input.size() == 1 || (config.height <= kLargestSide && config.width <= kLargestSide &&
                                       config.channels <= kMostChannels),
                 "\"input\" ", to_text(input), " is too large: ", kLargestSide, " a side, ", kMostChannels,
                 " channels are allowed");
    parse_posterior(object, config);
    parse_likelihood(object, config);
    if (object.contains("init")) {
        std::string init = word(object, "init");
        require_data(init == "he" || init == "pytorch", "\"init\" is \"", init, "\"; known are he and pytorch");
        config.he_init = init == "he";
    }
    parse_levels(object, config);
    parse_condition(object, config);
    parse_corruption(object, config);
    parse_prior(object, config);
    parse_objective(object, config);
    check_objective(config);
    require_data(config.prior == "standard_normal" || config.label_classes == 0, "the prior ", config.prior,
                 " does not go with a condition: its pseudo-inputs have no labels");
    if (object.contains("output_bias")) {
        std::string start = word(object, "output_bias");
        require_data(start == "data_mean" || start == "pytorch", "\"output_bias\" is \"", start,
                     "\"; known are data_mean and pytorch");
        config.output_at_mean = start == "data_mean";
    }
    config.json = object.dump();
    return config;
}

} // namespace

ModelConfig parse_model(const std::string& text) {
    require_data(text.size() <= kMostJsonBytes, "a model's JSON of ", text.size(), " bytes; ", kMostJsonBytes,
                 " are allowed");
    std::vector<std::set<std::string>> open; // keys seen in each open object: JSON parsers keep the last of two
    Json::parser_callback_t check = [&](int depth, Json::parse_event_t event, Json& parsed) {
        require_data(depth <= kDeepestJson, "the model's JSON is nested deeper than ", kDeepestJson);
        if (event == Json::parse_event_t::object_start)
            open.emplace_back();
        if (event == Json::parse_event_t::object_end)
            open.pop_back();
        if (event == Json::parse_event_t::key)
            require_data(open.back().insert(parsed.get<std::string>()).second, "the key ", shown(parsed),
                         " is there twice");
        return true;
    };
    try {
        return parse_object(Json::parse(text, check));
    } catch (const Json::exception& error) {
        fail(Status::data, "the model is not valid JSON: ", error.what());
    }
}

std::string preset_model(const std::string& name) {
    for (const Preset& preset : kPresets)
        if (name == preset.name)
            return preset.json;
    return "";
}

std::vector<std::string> preset_names() {
    std::vector<std::string> names;
    for (const Preset& preset : kPresets)
        names.push_back(preset.name);
    return names;
}

} // namespace vkvae
