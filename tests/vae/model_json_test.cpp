// Models from JSON: what is a model, what is not, and what it is told.
#include "vae/model_fixture.hpp"

namespace vkvae::test {
namespace {

Outcome refusal(const std::string& json) {
    return outcome_of([&] { Vae vae(parse_model(json)); });
}

// A model whose layers are given; 4 x 4 x 2, latent 3.
std::string with_layers(const std::string& encoder, const std::string& decoder) {
    return R"({"input": [4, 4, 2], "latent": 3, "encoder": [)" + encoder + R"(], "decoder": [)" + decoder + "]}";
}
std::string with_decoder(const std::string& decoder) {
    return with_layers("", decoder);
}
std::string with_encoder(const std::string& encoder) {
    return with_layers(encoder, R"({"type": "linear", "out": 32})");
}

// A model whose keys other than the layers are given.
std::string with_keys(const std::string& keys) {
    return "{" + keys + R"(, "encoder": [], "decoder": [{"type": "linear", "out": 32}]})";
}

struct Refused {
    std::string json, says;
};

void check_refused(std::span<const Refused> cases) {
    for (const Refused& c : cases) {
        Outcome outcome = refusal(c.json);
        INFO(c.json.substr(0, 200), "\n  gives: ", outcome.message);
        CHECK(outcome.status == Status::data);
        CHECK(outcome.says(c.says));
        CHECK(outcome.message.size() < 400);
    }
}

using NamedShape = std::pair<std::string, Shape>;

std::vector<NamedShape> disk_shapes(const std::string& preset) {
    std::vector<NamedShape> list;
    Vae vae(parse_model(preset_model(preset)));
    for (const Parameter& p : vae.definitions())
        list.push_back({p.name, p.disk_shape});
    return list;
}

TEST_CASE("every preset is a model") {
    std::vector<std::string> names = preset_names();
    for (const char* name : {"conv28", "conv64", "mlp", "res128", "vq28"})
        CHECK(std::count(names.begin(), names.end(), name) == 1);
    for (const std::string& name : preset_names()) {
        Vae vae(parse_model(preset_model(name)));
        CHECK(vae.config().name == name);
        CHECK(parse_model(vae.config().json).json == vae.config().json); // what a checkpoint carries is the model again
    }
    CHECK(preset_model("conv29").empty());
}

TEST_CASE("parameters have PyTorch's names and shapes: mlp") {
    CHECK(disk_shapes("mlp") == std::vector<NamedShape>{{"encoder.layers.0.weight", {400, 784}},
                                                        {"encoder.layers.0.bias", {400}},
                                                        {"fc_mu.weight", {20, 400}},
                                                        {"fc_mu.bias", {20}},
                                                        {"fc_logvar.weight", {20, 400}},
                                                        {"fc_logvar.bias", {20}},
                                                        {"decoder.layers.0.weight", {400, 20}},
                                                        {"decoder.layers.0.bias", {400}},
                                                        {"decoder.layers.1.weight", {784, 400}},
                                                        {"decoder.layers.1.bias", {784}}});
}

TEST_CASE("parameters have PyTorch's names and shapes: conv28") {
    CHECK(disk_shapes("conv28") == std::vector<NamedShape>{{"encoder.layers.0.weight", {32, 1, 4, 4}},
                                                           {"encoder.layers.0.bias", {32}},
                                                           {"encoder.layers.1.weight", {64, 32, 4, 4}},
                                                           {"encoder.layers.1.bias", {64}},
                                                           {"encoder.layers.3.weight", {256, 3136}},
                                                           {"encoder.layers.3.bias", {256}},
                                                           {"fc_mu.weight", {20, 256}},
                                                           {"fc_mu.bias", {20}},
                                                           {"fc_logvar.weight", {20, 256}},
                                                           {"fc_logvar.bias", {20}},
                                                           {"decoder.layers.0.weight", {256, 20}},
                                                           {"decoder.layers.0.bias", {256}},
                                                           {"decoder.layers.1.weight", {3136, 256}},
                                                           {"decoder.layers.1.bias", {3136}},
                                                           {"decoder.layers.3.weight", {64, 32, 4, 4}},
                                                           {"decoder.layers.3.bias", {32}},
                                                           {"decoder.layers.4.weight", {32, 1, 4, 4}},
                                                           {"decoder.layers.4.bias", {1}}});
}

TEST_CASE("parameters have PyTorch's names and shapes: residual layers") {
    Vae vae(parse_model(with_layers(R"(
        {"type": "residual", "layers": [{"type": "group_norm", "groups": 1}, {"type": "residual", "layers": [
            {"type": "conv2d", "out": 5, "kernel": 3, "stride": 2, "padding": 1, "bias": false}]}]},
        {"type": "residual", "layers": [{"type": "conv2d", "out": 5, "kernel": 1}]}, {"type": "linear", "out": 4},
        {"type": "residual", "layers": [{"type": "linear", "out": 6}]})",
                                                R"({"type": "linear", "out": 32})")));
    std::vector<NamedShape> list;
    for (const Parameter& p : vae.definitions())
        list.push_back({p.name, p.disk_shape});
    list.resize(12);
    CHECK(list == std::vector<NamedShape>{{"encoder.layers.0.layers.0.weight", {2}},
                                          {"encoder.layers.0.layers.0.bias", {2}},
                                          {"encoder.layers.0.layers.1.layers.0.weight", {5, 2, 3, 3}},
                                          {"encoder.layers.0.layers.1.shortcut.weight", {5, 2, 1, 1}},
                                          {"encoder.layers.0.layers.1.shortcut.bias", {5}},
                                          {"encoder.layers.0.shortcut.weight", {5, 2, 1, 1}},
                                          {"encoder.layers.0.shortcut.bias", {5}},
                                          {"encoder.layers.1.layers.0.weight", {5, 5, 1, 1}},
                                          {"encoder.layers.1.layers.0.bias", {5}}, // and no shortcut
                                          {"encoder.layers.2.weight", {4, 20}},
                                          {"encoder.layers.2.bias", {4}},
                                          {"encoder.layers.3.layers.0.weight", {6, 4}}});
}

TEST_CASE("a learned sigma is a parameter, a fixed one is not") {
    Vae fixed(parse_model(with_keys(R"("input": [32], "latent": 3, "likelihood": "gaussian", "sigma": 0.1)")));
    Vae learned(parse_model(with_keys(R"("input": [32], "latent": 3, "likelihood": "gaussian", "sigma": "learned")")));
    CHECK(learned.definitions().size() == fixed.definitions().size() + 1);
    CHECK(learned.definitions().back().name == "likelihood.log_sigma");
}

TEST_CASE("a model of vectors takes the number of features as its input") {
    ModelConfig config = parse_model(with_keys(R"("input": [32], "latent": 3)"));
    CHECK(config.pixels() == 32);
    CHECK(config.likelihood == "bernoulli");
}

TEST_CASE("keys and types of a model are checked") {
    const std::string input = R"("input": [4, 4, 2], )", latent = R"("latent": 3)";
    std::string deep(100, '[');
    check_refused(std::vector<Refused>{
        {"", "not valid JSON"},
        {"[]", "must be a JSON object"},
        {"null", "must be a JSON object"},
        {"{}", "needs \"input\""},
        {with_keys(input + latent + R"(, "latents": 3)"), "no \"latents\""},
        {with_keys(input + latent + R"(, "latent": 3)"), "\"latent\" is there twice"},
        {with_keys(input + R"("latent": -3)"), "\"latent\" is -3"},
        {with_keys(input + R"("latent": 0)"), "\"latent\" is 0"},
        {with_keys(input + R"("latent": 3.5)"), "must be an integer, not 3.5"},
        {with_keys(input + R"("latent": "3")"), "must be an integer, not \"3\""},
        {with_keys(input + R"("latent": 18446744073709551615)"), "\"latent\" is 18446744073709551615"},
        {with_keys(input + R"("latent": 1e999)"), "not valid JSON"},
        {with_keys(latent), "needs \"input\""},
        {with_keys(latent + R"(, "input": [4, 4])"), "[height, width, channels]"},
        {with_keys(latent + R"(, "input": [])"), "list of 1 to 3 sizes"},
        {with_keys(latent + R"(, "input": 16)"), "list of 1 to 3 sizes"},
        {with_keys(latent + R"(, "input": [4, -4, 2])"), "has the size -4"},
        {with_keys(latent + R"(, "input": [4, 4, 18446744073709551615])"), "has the size 18446744073709551615"},
        {with_keys(latent + R"(, "input": [9000, 4, 1])"), "is too large"},
        {with_keys(latent + R"(, "input": [8192, 8192, 4096])"), "(1, 274877906944)"},
        {with_keys(input + latent + R"(, "likelihood": "poison")"), "known are bernoulli, continuous_bernoulli, gaussian"},
        {with_keys(input + latent + R"(, "likelihood": "laplace", "sigma": "per_pixel")"), "or \"learned\", not"},
        {with_keys(input + latent + R"(, "likelihood": "poisson", "sigma": 1)"), "poisson likelihood has no \"sigma\""},
        {with_keys(input + latent + R"(, "likelihood": "categorical")"), "categorical likelihood needs \"classes\""},
        {with_keys(input + latent + R"(, "likelihood": "categorical", "classes": 1)"), "\"classes\" is 1"},
        {with_keys(input + latent + R"(, "likelihood": "categorical", "classes": 3)"), "3 parameters for each number"},
        {with_keys(input + latent + R"(, "likelihood": "multinomial", "components": 3)"), "has no \"components\""},
        {with_keys(input + latent + R"(, "likelihood": "discretised_logistic", "components": 65)"), "\"components\" is 65"},
        {with_keys(input + latent + R"(, "classes": 4)"), "bernoulli likelihood has no \"classes\""},
        {R"({"input": [2], "latent": 1, "likelihood": "categorical", "classes": 3, "output_bias": "data_mean", "encoder": [],
            "decoder": [{"type": "linear", "out": 6}]})", "has no parameter that says the mean"},
        {with_keys(input + latent + R"(, "sigma": 1)"), "bernoulli likelihood has no \"sigma\""},
        {with_keys(input + latent + R"(, "likelihood": "gaussian", "sigma": 0)"), "\"sigma\" is 0"},
        {with_keys(input + latent + R"(, "likelihood": "gaussian", "sigma": "free")"), "or \"per_pixel\", not \"free\""},
        {with_keys(input + latent + R"(, "name": 7)"), "must be a string"},
        {with_keys(input + latent + R"(, "name": )" + deep), "nested deeper"},
        {with_keys(input + latent + R"(, "name": [")" + std::string(5000, 'x') + "\"]"), "must be a string"},
        {std::string(2 << 20, ' '), "bytes"},
    });
}

TEST_CASE("keys and types of a layer are checked, and the layer is named") {
    const std::string conv = R"({"type": "conv2d", "out": 4, "kernel": 3)";
    std::string many;
    for (int i = 0; i < 300; i++)
        many += R"({"type": "flatten"},)";
    check_refused(std::vector<Refused>{
        {with_encoder("7"), "encoder.layers.0: a layer must be an object"},
        {with_encoder(R"({"out": 4})"), "with a \"type\""},
        {with_encoder(R"({"type": "conv3d"})"), "known are linear, conv2d"},
        {with_encoder(R"({"type": "flatten"}, {"type": "linear"})"), "encoder.layers.1: a linear layer needs \"out\""},
        {with_encoder(conv + R"(, "dilation": 2})"), "no \"dilation\"; it takes out! kernel!"},
        {with_encoder(conv + R"(, "kernel": 3})"), "\"kernel\" is there twice"},
        {with_encoder(conv + R"(, "stride": 0})"), "\"stride\" is 0"},
        {with_encoder(conv + R"(, "padding": -1})"), "\"padding\" is -1"},
        {with_encoder(conv + R"(, "padding": [1, 1]})"), "[top, left, bottom, right]"},
        {with_encoder(conv + R"(, "padding": [1, 1, 1, 9223372036854775808]})"), "from 0 to 1024"},
        {with_encoder(conv + R"(, "bias": 1})"), "\"bias\" must be true or false"},
        {with_encoder(conv + R"(, "activation": "swoosh"})"), "swoosh"},
        {with_encoder(R"({"type": "conv2d", "out": 1000000000, "kernel": 3})"), "\"out\" is 1000000000"},
        {with_encoder(R"({"type": "activation", "name": "relu", "activation": "tanh"})"), "no \"activation\""},
        {with_encoder(R"({"type": "layer_norm", "eps": -1})"), "\"eps\" is -1"},
        {R"({"input": [4], "latent": 1, "encoder": [{"type": "layer_norm"}], "decoder": [{"type": "linear", "out": 4}]})",
         "put a flatten before it"},
        {with_encoder(R"({"type": "layer_norm", "eps": "small"})"), "must be a number"},
        {with_decoder(R"({"type": "reshape", "shape": [4, 4]})"), "list of 3 sizes"},
        {with_encoder(many + R"({"type": "flatten"})"), "at most 256 layers"},
    });
}

// A residual layer around the given ones.
std::string residual(const std::string& layers, const std::string& keys = "") {
    return R"({"type": "residual", "layers": [)" + layers + "]" + keys + "}";
}

TEST_CASE("residual layers are as strict as others, and the layer inside is named") {
    const std::string flatten = R"({"type": "flatten"})", conv = R"({"type": "conv2d", "out": 2, "kernel": 1})";
    std::string many = flatten, deep = conv, deepest = conv;
    for (int i = 0; i < 99; i++)
        many += "," + flatten;
    for (int i = 0; i < 8; i++)
        deep = residual(deep);
    for (int i = 0; i < 9; i++)
        deepest = residual(deepest);
    CHECK(refusal(with_encoder(deep)).status == Status::ok);
    check_refused(std::vector<Refused>{
        {with_encoder(R"({"type": "residual"})"), "encoder.layers.0: a residual layer needs \"layers\""},
        {with_encoder(R"({"type": "residual", "layers": 3})"), "\"layers\" must be a list of at most 256 layers"},
        {with_encoder(residual("")), "\"layers\" is empty"},
        {with_encoder(residual(conv, R"(, "shortcut": true)")), "no \"shortcut\"; it takes layers! activation"},
        {with_encoder(residual(conv, R"(, "out": 2)")), "no \"out\""},
        {with_encoder(residual(conv, R"(, "activation": "swoosh")")), "swoosh"},
        {with_encoder(conv + "," + residual(conv + "," + residual(conv + R"(, {"type": "conv3d"})"))),
         "layer encoder.layers.1.layers.1.layers.1: unknown layer type 'conv3d'"},
        {with_encoder(deepest), "residual layers are nested deeper than 8"},
        {with_encoder(residual(many) + "," + residual(many) + "," + residual(many)),
         "layer encoder.layers.2: \"layers\" must be a list of at most 256 layers, with all others"},
    });
    CHECK(refusal(with_encoder(deepest)).says("layer encoder.layers.0.layers.0.layers.0.layers.0"));
}

TEST_CASE("residual layers that do not fit what they are given are refused with the shapes") {
    const std::string linear = R"({"type": "linear", "out": 32})", image = R"({"type": "reshape", "shape": [4, 4, 2]})",
                      flatten = R"({"type": "flatten"})";
    check_refused(std::vector<Refused>{
        {with_encoder(residual(residual(R"({"type": "group_norm", "groups": 3})"))),
         "layer encoder.layers.0.layers.0.layers.0 (group_norm): group_norm: 2 channels do not make 3 groups"},
        {with_encoder(residual(R"({"type": "conv2d", "out": 2, "kernel": 3})")),
         "layer encoder.layers.0 (residual): its layers make (1, 2, 2, 2) of (1, 4, 4, 2), a 1x1 convolution with their "
         "stride of 1 does not"},
        {with_encoder(residual(R"({"type": "conv2d", "out": 2, "kernel": 3, "stride": 2, "padding": 2})")),
         "a 1x1 convolution with their stride of 2 does not"},
        {with_encoder(residual(R"({"type": "upsample"})")), "its layers make (1, 8, 8, 2) of (1, 4, 4, 2)"},
        {with_encoder(residual(linear)), "a picture must stay a picture, and a vector a vector"},
        {with_encoder(linear + "," + residual(linear + "," + image)), "its layers make (1, 4, 4, 2) of (1, 32); a picture must stay"},
        // PyTorch would add numbers in the order (C, H, W) to numbers in their own.
        {with_encoder(linear + "," + residual(linear + "," + image + "," + flatten)),
         "layer encoder.layers.1 (residual): the order of its features is not known"},
        {with_encoder(flatten + "," + residual(R"({"type": "linear", "out": 6})")), "the order of its features"},
        {with_decoder(linear + "," + residual(linear) + "," + image), "layer decoder.layers.2 (reshape): the order of"},
        {with_decoder(linear + "," + residual(linear)), "of unknown order"},
    });
}

TEST_CASE("layers that do not fit together are refused with the layer and the shapes") {
    const std::string linear = R"({"type": "linear", "out": 32},)",
                      image = R"({"type": "reshape", "shape": [4, 4, 2]})";
    check_refused(std::vector<Refused>{
        {with_encoder(R"({"type": "linear", "out": 9}, {"type": "conv2d", "out": 4, "kernel": 3})"),
         "encoder.layers.1 (conv2d): it takes images (N, H, W, C), but gets (1, 9)"},
        {with_encoder(R"({"type": "conv2d", "out": 4, "kernel": 7})"), "encoder.layers.0 (conv2d)"},
        {with_encoder(R"({"type": "group_norm", "groups": 3})"), "2 channels do not make 3 groups"},
        {with_encoder(R"({"type": "flatten"}, {"type": "group_norm", "groups": 2})"), "cannot follow a flatten"},
        {with_encoder(R"({"type": "linear", "out": 1048576}, {"type": "linear", "out": 1048576})"),
         "(1048576, 1048576)"},
        {with_decoder(R"({"type": "linear", "out": 30}, {"type": "reshape", "shape": [4, 4, 2]})"),
         "decoder.layers.1 (reshape): it makes (4, 4, 2) = 32 numbers, but gets (1, 30), 30 a sample"},
        {with_decoder(R"({"type": "linear", "out": 30})"),
         "the decoder makes (30) for each sample, the input is (4, 4, 2)"},
        {with_decoder(linear + image + R"(, {"type": "upsample"})"), "the decoder makes (8, 8, 2)"},
        {with_decoder(""), "the decoder makes (3)"},
        {with_decoder(R"({"type": "conv_transpose2d", "out": 2, "kernel": 4})"), "put a reshape before it"},
    });
}

TEST_CASE("features whose order PyTorch would see differently are refused, not scrambled") {
    const std::string linear = R"({"type": "linear", "out": 32},)";
    check_refused(std::vector<Refused>{
        // A norm over groups mixes features, so the linear layer cannot know that a picture follows.
        {with_decoder(linear + R"({"type": "group_norm", "groups": 2}, {"type": "reshape", "shape": [4, 4, 2]})"),
         "the order of its features is not known"},
        {with_decoder(linear + R"({"type": "reshape", "shape": [2, 8, 2]}, {"type": "reshape", "shape": [4, 4, 2]})"),
         "the order of its features is not known"},
        {with_decoder(linear + R"({"type": "reshape", "shape": [8, 4, 1]}, {"type": "reshape", "shape": [4, 4, 2]})"),
         "the order of its features is not known"},
        {with_decoder(linear + R"({"type": "reshape", "shape": [2, 8, 2]}, {"type": "flatten"})"), "of unknown order"},
        {R"({"input": [4, 4, 2], "latent": 32, "encoder": [], "decoder": []})", "of unknown order"},
    });
}

TEST_CASE("a model whose weights no kernel could index is refused") {
    std::string layers = R"({"type": "linear", "out": 1048576})";
    for (int i = 0; i < 8; i++)
        layers += R"(, {"type": "linear", "out": 512}, {"type": "linear", "out": 1048576})";
    Outcome outcome = refusal(with_encoder(layers));
    CHECK(outcome.status == Status::data);
    CHECK(outcome.says("more than 2^31 elements"));
}

TEST_CASE("no truncation of a model's JSON is a model") {
    std::string whole = preset_model("conv28");
    whole.erase(whole.find_last_of('}') + 1);
    int accepted = 0;
    for (size_t size = 0; size < whole.size(); size++)
        accepted += refusal(whole.substr(0, size)).status != Status::data;
    CHECK(accepted == 0);
    CHECK(refusal(whole).status == Status::ok);
}

} // namespace
} // namespace vkvae::test
