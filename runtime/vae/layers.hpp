// Builds the layers of a model into a graph; the table of layer types.
#pragma once

#include "vkvae/vae.hpp"

namespace vkvae {

// Where layers get their parameters from. Without weights it collects definitions, and each parameter is an input of
// its own: that is how a Vae checks its layers and learns its parameters before there is any memory.
struct Vae::Scope {
    Graph& graph;
    const Weights* weights = nullptr;
    const std::vector<Parameter>* known = nullptr; // where the weights are
    std::vector<Parameter>* definitions = nullptr; // or being collected
    bool he_init = false;                          // of the definitions
    std::string prefix = {};                       // "encoder.layers.0."
    int64_t row = 0, column = 0; // of the parameters that are asked for next, see Parameter
    int64_t classes = 0; // of the data, if they are tokens

    // The parameter of that name, in the shape that the kernel wants; the rest as in Parameter.
    Tensor parameter(const std::string& name, Shape shape, Shape disk_shape, Shape disk_view, std::vector<int> order,
                     int64_t fan_in, float fill = 0);
};

// What flows between layers: a tensor, and how its features would be ordered in PyTorch. PyTorch flattens (C, H, W),
// we flatten (H, W, C); `flattened` remembers the (H, W, C) whose order the features have, so that the parameters that
// meet them can be permuted on their way from and to disk.
struct Flow {
    Tensor x;        // (N, H, W, C) or (N, features)
    Shape flattened; // (H, W, C), or empty: the order is PyTorch's own
    bool doubled = false; // x stands for its upsampling by two, which the next convolution does as well
};

// (H, W, C) if the order of its flat features matters: if there are several channels and several positions; else empty.
Shape order_of(const Shape& hwc);
// (N, H, W, C) -> (N, features); flat features stay as they are.
Flow flatten(Vae::Scope& scope, const Flow& flow);

// Runs the layers. `stack` is "encoder", "decoder" or the name of a residual layer; `end_shape` (H, W, C) is what the
// last features stand for, if they are flat; empty for an encoder. Errors: Status::data, naming the layer.
Flow build_layers(Vae::Scope& scope, const std::string& stack, std::span<const Layer> layers, Flow flow,
                  const Shape& end_shape);

// The error again, as that of a layer; the innermost of nested layers is the one that is named.
[[noreturn]] void fail_in_layer(const std::string& name, const std::string& type, const Error& error);

// A dense layer on flat features: PyTorch's nn.Linear. flatten_out: the (H, W, C) that its outputs will stand for.
struct DenseParameters {
    Tensor weight, bias;
};
DenseParameters dense_parameters(Vae::Scope& scope, const Flow& flow, int64_t out, bool bias, const Shape& flatten_out);
Tensor dense(Vae::Scope& scope, const Flow& flow, int64_t out, bool bias, Activation activation,
             const Shape& flatten_out);

// A layer type: its name, the JSON keys it takes beside "type" and "activation", and how it is built.
struct LayerType {
    const char* name;
    const char* keys; // space-separated; a trailing ! marks a required one
    Flow (*build)(Vae::Scope& scope, const Layer& layer, const Flow& flow, const Shape& flatten_out);
};
std::span<const LayerType> layer_types();
const LayerType& find_layer_type(const std::string& name); // errors: Status::data, listing the known ones

} // namespace vkvae
