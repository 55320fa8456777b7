// The layer types a model can name, and how a stack of them becomes ops. Adding one: a function and a row below.
#include "vae/layers.hpp"

#include <algorithm>
#include <cmath>

namespace vkvae {

using Scope = Vae::Scope;

Tensor Scope::parameter(const std::string& name, Shape shape, Shape disk_shape, Shape disk_view,
                        std::vector<int> order, int64_t fan_in, float fill) {
    if (weights) {
        for (size_t i = 0; i < known->size(); i++)
            if ((*known)[i].name == prefix + name)
                return weights->tensors[i];
        require(false, "there is no parameter ", prefix, name);
    }
    Parameter p;
    p.name = prefix + name;
    p.disk_shape = std::move(disk_shape);
    p.disk_view = std::move(disk_view);
    p.order = std::move(order);
    p.shape = std::move(shape);
    p.fan_in = fan_in;
    p.fill = fill;
    p.narrow = p.shape.size() > 1;
    p.row = row;
    p.column = column;
    definitions->push_back(p);
    Shape in_memory = p.shape;
    if (row)
        in_memory.back() = row;
    return graph.input(in_memory, p.name);
}

namespace {

// A vector of per-feature numbers (a bias, gamma, beta) whose features stand for an (H, W, C) picture.
Tensor feature_vector(Scope& scope, const char* name, int64_t features, const Shape& hwc, int64_t fan_in, float fill) {
    if (hwc.empty())
        return scope.parameter(name, {features}, {features}, {features}, {0}, fan_in, fill);
    return scope.parameter(name, {features}, {features}, {hwc[2], hwc[0], hwc[1]}, {1, 2, 0}, fan_in, fill);
}

bool is_image(Scope& scope, const Flow& flow) { return scope.graph.shape(flow.x).size() == 4; }

void require_image(Scope& scope, const Flow& flow) {
    require(is_image(scope, flow), "it takes images (N, H, W, C), but gets ", to_text(scope.graph.shape(flow.x)),
            "; put a reshape before it");
}

const char* const kUnknownOrder = "the order of its features is not known: put a linear layer before it";

Flow build_linear(Scope& scope, const Layer& layer, const Flow& flow, const Shape& flatten_out) {
    Tensor y = dense(scope, flatten(scope, flow), layer.out, layer.bias, layer.activation, flatten_out);
    return {y, flatten_out};
}

Conv2d conv_options(const Layer& layer) {
    return {layer.stride, layer.padding[0], layer.padding[1], layer.padding[2], layer.padding[3]};
}

// conv1d and conv_transpose1d: of signals (N, 1, L, C), whose kernels have the height 1.
bool is_1d(const Layer& layer) { return layer.type == "conv1d" || layer.type == "conv_transpose1d"; }

// The kernel's height; PyTorch's shape of a weight without it.
int64_t kernel_height(Scope& scope, const Layer& layer, const Flow& flow) {
    require_image(scope, flow);
    require(!is_1d(layer) || scope.graph.dim(flow.x, 1) == 1, "it takes signals (N, 1, L, C), but gets ",
            to_text(scope.graph.shape(flow.x)), "; let an input be [L], or [1, L, C], or put a reshape before it");
    return is_1d(layer) ? 1 : layer.kernel;
}
Shape disk_of(const Layer& layer, int64_t first, int64_t second) {
    Shape disk = {first, second, layer.kernel};
    if (!is_1d(layer))
        disk.push_back(layer.kernel);
    return disk;
}

Flow build_conv2d(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    int64_t kh = kernel_height(scope, layer, flow), c = scope.graph.dim(flow.x, 3), k = layer.kernel;
    int64_t fan_in = c * kh * k;
    Tensor w = scope.parameter("weight", {kh, k, c, layer.out}, disk_of(layer, layer.out, c), {layer.out, c, kh, k},
                               {2, 3, 1, 0}, fan_in);
    if (flow.doubled && scope.definitions)
        scope.definitions->back().narrow = false; // it is folded first, in f32
    Tensor b = layer.bias ? feature_vector(scope, "bias", layer.out, {}, fan_in, 0) : Tensor{};
    if (flow.doubled)
        return {upsample2x_conv2d(scope.graph, flow.x, w, b, layer.activation), {}};
    return {conv2d(scope.graph, flow.x, w, b, conv_options(layer), layer.activation), {}};
}

Flow build_conv_transpose2d(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    // PyTorch stores (in, out, KH, KW) and takes out KH KW for the fan-in.
    int64_t kh = kernel_height(scope, layer, flow), c = scope.graph.dim(flow.x, 3), k = layer.kernel;
    int64_t fan_in = layer.out * kh * k;
    Tensor w = scope.parameter("weight", {kh, k, layer.out, c}, disk_of(layer, c, layer.out), {c, layer.out, kh, k},
                               {2, 3, 1, 0}, fan_in);
    Tensor b = layer.bias ? feature_vector(scope, "bias", layer.out, {}, fan_in, 0) : Tensor{};
    return {conv_transpose2d(scope.graph, flow.x, w, b, conv_options(layer), layer.output_padding, layer.activation),
            {}};
}

// A learned vector for each token, PyTorch's nn.Embedding: a product with unit vectors.
Flow build_embedding(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    require(scope.classes > 0, "it takes tokens, which only models with a categorical likelihood have");
    require(scope.prefix == "encoder.layers.0." && is_image(scope, flow) && scope.graph.dim(flow.x, 3) == 1,
            "it takes the tokens themselves, one at each place: let it be the encoder's first layer");
    Shape table = {scope.classes, layer.out};
    Tensor w = scope.parameter("weight", table, table, table, {0, 1}, 1); // about as large as PyTorch's normals
    Shape s = scope.graph.shape(flow.x);
    Tensor tokens = one_hot(scope.graph, reshape(scope.graph, flow.x, {s[0] * s[1] * s[2]}), scope.classes);
    Tensor y = linear(scope.graph, tokens, w, {}, layer.activation);
    return {reshape(scope.graph, y, {s[0], s[1], s[2], layer.out}), {}};
}

Flow build_group_norm(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    require(is_image(scope, flow) || flow.flattened.empty(), "it cannot follow a flatten; put it before");
    int64_t c = scope.graph.dim(flow.x, -1);
    Tensor gamma = feature_vector(scope, "weight", c, {}, 0, 1), beta = feature_vector(scope, "bias", c, {}, 0, 0);
    Tensor y = group_norm(scope.graph, flow.x, gamma, beta, layer.groups, layer.eps);
    return {activate(scope.graph, y, layer.activation), flow.flattened};
}

Flow build_layer_norm(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    int64_t c = scope.graph.dim(flow.x, -1);
    require(c > 1, "it would make ", to_text(scope.graph.shape(flow.x)), " all zeros, one number at a time; put a flatten ",
            "before it");
    Tensor gamma = feature_vector(scope, "weight", c, flow.flattened, 0, 1);
    Tensor beta = feature_vector(scope, "bias", c, flow.flattened, 0, 0);
    Tensor y = layer_norm(scope.graph, flow.x, gamma, beta, layer.eps);
    return {activate(scope.graph, y, layer.activation), flow.flattened};
}

Flow build_activation(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    return {activate(scope.graph, flow.x, layer.activation), flow.flattened};
}

Flow build_flatten(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    Flow flat = flatten(scope, flow);
    return {activate(scope.graph, flat.x, layer.activation), flat.flattened};
}

Flow build_reshape(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    const Shape& to = layer.shape;
    Flow flat = flatten(scope, flow);
    int64_t features = scope.graph.dim(flat.x, 1);
    require(features == element_count(to), "it makes ", to_text(to), " = ", element_count(to), " numbers, but gets ",
            to_text(scope.graph.shape(flow.x)), ", ", features, " a sample");
    require(order_of(to) == flat.flattened, kUnknownOrder);
    Tensor y = reshape(scope.graph, flat.x, {scope.graph.dim(flow.x, 0), to[0], to[1], to[2]});
    return {activate(scope.graph, y, layer.activation), {}};
}

// What upsample2x_conv2d does together with an upsampling before it.
bool folds(const Layer& layer) {
    return layer.type == "conv2d" && layer.kernel == 3 && layer.stride == 1 &&
           std::all_of(std::begin(layer.padding), std::end(layer.padding), [](int pad) { return pad == 1; });
}

Flow build_upsample(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    require_image(scope, flow);
    return {activate(scope.graph, upsample2x(scope.graph, flow.x), layer.activation), {}};
}

int64_t stride_of(std::span<const Layer> layers) {
    int64_t stride = 1;
    for (const Layer& layer : layers) { // no further than a number that no convolution takes
        bool strides = layer.type == "conv2d" || layer.type == "conv1d";
        stride = std::min<int64_t>(stride * (strides ? layer.stride : stride_of(layer.layers)), 1 << 16);
    }
    return stride;
}

bool has_1d(std::span<const Layer> layers) {
    return std::any_of(layers.begin(), layers.end(),
                       [](const Layer& layer) { return is_1d(layer) || has_1d(layer.layers); });
}

// What `from` is added as to `to`, which the layers made of it: itself, or where only the number of channels or features
// differs, or the layers have a stride, a projection of it. No norm follows, so the projection has a bias.
Tensor build_shortcut(Scope& scope, std::span<const Layer> layers, const Flow& from, const Flow& to) {
    Shape x = scope.graph.shape(from.x), y = scope.graph.shape(to.x);
    require(x.size() == y.size(), "its layers make ", to_text(y), " of ", to_text(x),
            "; a picture must stay a picture, and a vector a vector: put the flatten or reshape outside");
    require(from.flattened == to.flattened && (x == y || from.flattened.empty()), kUnknownOrder);
    if (x == y)
        return from.x;
    if (x.size() == 2)
        return dense(scope, from, y[1], true, Activation::none, {});
    int64_t stride = x[1] == y[1] && x[2] == y[2] ? 1 : stride_of(layers);
    require((x[1] - 1) / stride + 1 == y[1] && (x[2] - 1) / stride + 1 == y[2], "its layers make ", to_text(y), " of ",
            to_text(x), ", a 1x1 convolution with their stride of ", stride,
            " does not; let them keep height and width, or divide them by their stride and round up");
    Layer projection;
    projection.type = has_1d(layers) ? "conv1d" : "conv2d";
    projection.out = y[3];
    projection.kernel = 1;
    projection.stride = int(stride);
    return build_conv2d(scope, projection, from, {}).x;
}

// y = activation(layers(x) + shortcut(x)). He et al. 2015, "Deep Residual Learning for Image Recognition", section 3.2.
Flow build_residual(Scope& scope, const Layer& layer, const Flow& flow, const Shape&) {
    std::string name = scope.prefix.substr(0, scope.prefix.size() - 1);
    Flow y = build_layers(scope, name, layer.layers, flow, flow.flattened);
    scope.prefix = name + ".shortcut.";
    Tensor x = build_shortcut(scope, layer.layers, flow, y);
    return {activate(scope.graph, add(scope.graph, y.x, x), layer.activation), flow.flattened};
}

const LayerType kLayerTypes[] = {
    {"linear", "out! bias", build_linear},
    {"conv2d", "out! kernel! stride padding bias", build_conv2d},
    {"conv_transpose2d", "out! kernel! stride padding output_padding bias", build_conv_transpose2d},
    {"conv1d", "out! kernel! stride padding bias", build_conv2d}, // of (1, L, C)
    {"conv_transpose1d", "out! kernel! stride padding bias", build_conv_transpose2d},
    {"embedding", "out!", build_embedding},
    {"group_norm", "groups! eps", build_group_norm},
    {"layer_norm", "eps", build_layer_norm},
    {"activation", "name!", build_activation},
    {"flatten", "", build_flatten},
    {"reshape", "shape!", build_reshape},
    {"upsample", "", build_upsample}, // nearest, by two
    {"residual", "layers!", build_residual},
};

// What the output of layer i will stand for: the shape of the reshape that its features reach unmixed.
Shape shape_ahead(std::span<const Layer> layers, size_t i, const Shape& end_shape) {
    for (size_t next = i + 1; next < layers.size(); next++) {
        if (layers[next].type == "reshape")
            return order_of(layers[next].shape);
        if (layers[next].type != "activation" && layers[next].type != "layer_norm" && layers[next].type != "flatten")
            return {};
    }
    return order_of(end_shape);
}

} // namespace

Shape order_of(const Shape& hwc) { return hwc.empty() || hwc[2] == 1 || hwc[0] * hwc[1] == 1 ? Shape{} : hwc; }

Flow flatten(Scope& scope, const Flow& flow) {
    if (!is_image(scope, flow))
        return flow;
    Shape s = scope.graph.shape(flow.x);
    return {reshape(scope.graph, flow.x, {s[0], s[1] * s[2] * s[3]}), order_of({s[1], s[2], s[3]})};
}

std::span<const LayerType> layer_types() { return kLayerTypes; }

const LayerType& find_layer_type(const std::string& name) {
    std::string known;
    for (const LayerType& type : kLayerTypes) {
        if (name == type.name)
            return type;
        known += concat_text(known.empty() ? "" : ", ", type.name);
    }
    fail(Status::data, "unknown layer type '", name, "'; known are ", known);
}

DenseParameters dense_parameters(Scope& scope, const Flow& flow, int64_t out, bool bias, const Shape& flatten_out) {
    int64_t in = scope.graph.dim(flow.x, 1);
    // Disk (out, in), where out and in may be (C, H, W) each; inside (in, out) in (H, W, C) order.
    const Shape &o = flatten_out, &i = flow.flattened;
    Shape view = o.empty() ? Shape{out} : Shape{o[2], o[0], o[1]};
    int in_axis = int(view.size());
    std::vector<int> order, out_order = o.empty() ? std::vector<int>{0} : std::vector<int>{1, 2, 0};
    if (i.empty()) {
        view.push_back(in);
        order = {in_axis};
    } else {
        view.insert(view.end(), {i[2], i[0], i[1]});
        order = {in_axis + 1, in_axis + 2, in_axis};
    }
    order.insert(order.end(), out_order.begin(), out_order.end());
    Tensor w = scope.parameter("weight", {in, out}, {out, in}, view, order, in);
    Tensor b = bias ? feature_vector(scope, "bias", out, flatten_out, in, 0) : Tensor{};
    return {w, b};
}

Tensor dense(Scope& scope, const Flow& flow, int64_t out, bool bias, Activation activation, const Shape& flatten_out) {
    DenseParameters p = dense_parameters(scope, flow, out, bias, flatten_out);
    return linear(scope.graph, flow.x, p.weight, p.bias, activation);
}

namespace {

// "init": "he": weights uniform in +-sqrt(6 / fan_in), PyTorch's kaiming_uniform_(w, nonlinearity="relu"). The default is
// smaller by sqrt(6); through a deep stack the signal fades, and a VAE starts by ignoring its latents.
// Source: He et al. 2015, "Delving Deep into Rectifiers", section 2.2.
void initialise_like_he(Activation a, const std::string& weight, std::span<Parameter> parameters) {
    bool rectifier = a == Activation::relu || a == Activation::leaky_relu || a == Activation::elu ||
                     a == Activation::silu || a == Activation::gelu;
    for (Parameter& p : parameters)
        if (rectifier && p.fan_in > 0 && p.name == weight)
            p.gain = std::sqrt(6.0f);
}

} // namespace

void fail_in_layer(const std::string& name, const std::string& type, const Error& error) {
    std::string message = error.what();
    if (message.starts_with("layer " + name + "."))
        fail(Status::data, message);
    fail(Status::data, "layer ", name, type.empty() ? "" : " (" + type + ")", ": ", message);
}

Flow build_layers(Scope& scope, const std::string& stack, std::span<const Layer> layers, Flow flow,
                  const Shape& end_shape) {
    for (size_t i = 0; i < layers.size(); i++) {
        std::string name = concat_text(stack, ".layers.", i);
        scope.prefix = name + ".";
        size_t before = scope.definitions ? scope.definitions->size() : 0;
        try {
            bool fold = layers[i].type == "upsample" && layers[i].activation == Activation::none &&
                        i + 1 < layers.size() && folds(layers[i + 1]);
            if (fold) {
                require_image(scope, flow);
                flow.doubled = true;
                continue;
            }
            flow = find_layer_type(layers[i].type).build(scope, layers[i], flow, shape_ahead(layers, i, end_shape));
        } catch (const Error& error) {
            fail_in_layer(name, layers[i].type, error);
        }
        if (scope.definitions && scope.he_init)
            initialise_like_he(layers[i].activation, name + ".weight", std::span(*scope.definitions).subspan(before));
        scope.graph.rename(flow.x, name);
    }
    return flow;
}

} // namespace vkvae
