// The VAE: encoder, posterior, decoder, likelihood and their ELBO, built into a graph.
#include <cmath>

#include "vae/quantizer.hpp"

namespace vkvae {
namespace {

Tensor as_images(Graph& g, const ModelConfig& c, Tensor x) {
    return reshape(g, x, {g.dim(x, 0), c.height, c.width, c.channels});
}

// mu and logvar are one product: their weights are columns of one matrix in memory, two parameters on disk.
Tensor build_encoder(Vae::Scope& scope, const ModelConfig& c, Tensor x) {
    Graph& g = scope.graph;
    Flow flow = build_layers(scope, "encoder", c.encoder, {as_images(g, c, x), {}}, {});
    if (c.vq)
        return project_to_codes(scope, c.vq, flow);
    flow = flatten(scope, flow);
    scope.row = 2 * c.latent;
    scope.prefix = "fc_mu.";
    DenseParameters both = dense_parameters(scope, flow, c.latent, true, {});
    scope.prefix = "fc_logvar.";
    scope.column = c.latent;
    dense_parameters(scope, flow, c.latent, true, {});
    scope.row = scope.column = 0;
    Tensor moments = linear(g, flow.x, both.weight, both.bias);
    g.rename(moments, "moments");
    return moments;
}

Tensor build_decoder(Vae::Scope& scope, const ModelConfig& c, Tensor z) {
    Graph& g = scope.graph;
    Shape image = {c.height, c.width, c.channels};
    Flow from = {c.vq ? as_map(g, c.vq, z) : z, {}};
    Flow flow = build_layers(scope, "decoder", c.decoder, from, image);
    Shape s = g.shape(flow.x);
    Shape made(s.begin() + 1, s.end());
    bool fits = s.size() == 4 ? made == image : s[1] == c.pixels();
    require_data(fits, "the decoder makes ", to_text(made), " for each sample, the input is ", to_text(image));
    require_data(s.size() == 4 || flow.flattened == order_of(image), "the decoder makes ", to_text(made),
                 " numbers of unknown order: let it end in an image ", to_text(image), " or in a linear layer");
    return reshape(g, flow.x, {s[0], c.pixels()});
}

Tensor log_sigma_parameter(Vae::Scope& scope, const ModelConfig& c) {
    if (!c.learned_sigma)
        return {};
    scope.prefix = "likelihood.";
    return scope.parameter("log_sigma", {1}, {1}, {1}, {0}, 0, std::log(c.sigma));
}

} // namespace

Vae::Vae(ModelConfig config) : config_(std::move(config)) {
    // A dry run: checks every shape and collects the parameters. The config is untrusted: errors are its fault.
    try {
        Graph g;
        Scope scope = {g, nullptr, &definitions_, 0, "", config_.he_init, 0, 0};
        Tensor encoded = build_encoder(scope, config_, g.input({1, config_.pixels()}, "x"));
        if (config_.vq) {
            set_map(g, config_, encoded);
            codebooks_begin_ = definitions_.size();
            build_codebooks(scope, config_.vq);
        }
        decoder_begin_ = definitions_.size();
        build_decoder(scope, config_, g.input({1, config_.latent}, "z"));
        prior_begin_ = definitions_.size();
        if (config_.vq.prior_channels > 0)
            build_code_prior(scope, config_.vq, placeholder_codes(g, config_.vq));
        log_sigma_parameter(scope, config_);
        g.input({make_parameters().padded()}, "weights"); // has to be one tensor
        if (config_.output_at_mean)
            output_bias();
    } catch (const Error& error) {
        fail(Status::data, error.what());
    }
}

size_t Vae::output_bias() const {
    for (size_t i = config_.decoder.size(); i-- > 0;) {
        const Layer& layer = config_.decoder[i];
        if (layer.activation != Activation::none)
            break;
        if (layer.type == "reshape" || layer.type == "flatten")
            continue;
        if (layer.type == "linear" || layer.type == "conv2d" || layer.type == "conv_transpose2d")
            for (size_t k = 0; k < definitions_.size(); k++)
                if (definitions_[k].name == concat_text("decoder.layers.", i, ".bias"))
                    return k;
        break;
    }
    fail(Status::data, "\"output_bias\" is \"data_mean\", but the decoder does not end in a linear layer or a "
                       "convolution that has a bias and no activation");
}

Weights Vae::add_weights(Graph& g, DType precision) const {
    Parameters layout(definitions_);
    Weights w;
    w.flat = g.input({layout.padded()}, "weights");
    if (is_16_bit(precision))
        w.narrow = g.input({layout.padded()}, concat_text("weights in ", type_name(precision)), precision);
    w.tensors = layout.views(g, w.flat, w.narrow);
    return w;
}

// Parameters are asked for in the order encoder, codebooks, decoder, prior of codes, likelihood.
Tensor Vae::encode(Graph& g, const Weights& w, Tensor x) const {
    Scope scope = {g, &w, nullptr, 0, "", false, 0, 0};
    Tensor made = build_encoder(scope, config_, x);
    return config_.vq ? reshape(g, made, {g.dim(x, 0), config_.latent}) : made;
}

Tensor Vae::decode(Graph& g, const Weights& w, Tensor z) const {
    Scope scope = {g, &w, nullptr, decoder_begin_, "", false, 0, 0};
    return build_decoder(scope, config_, z);
}

Tensor Vae::mean(Graph& g, Tensor prediction) const { return find_likelihood(config_.likelihood).mean(g, prediction); }

Tensor Vae::nll_parts(Graph& g, const Weights& w, Tensor x, Tensor prediction, float factor) const {
    const Likelihood& likelihood = find_likelihood(config_.likelihood);
    Tensor log_sigma;
    if (config_.learned_sigma)
        log_sigma = w.tensors.back();
    else if (likelihood.has_sigma)
        log_sigma = g.constant(std::log(config_.sigma), {1});
    return likelihood.nll(g, x, prediction, log_sigma, factor);
}

Tensor Vae::nll(Graph& g, const Weights& w, Tensor x, Tensor prediction, float factor) const {
    return sum(g, nll_parts(g, w, x, prediction, factor), 1, 1);
}

Elbo Vae::elbo(Graph& g, const Weights& w, Tensor x, Tensor eps) const {
    if (config_.vq)
        return elbo_vq(g, w, x);
    Elbo e;
    float per_sample = 1.0f / float(g.dim(x, 0));
    e.moments = encode(g, w, x);
    Rsample drawn = standard_normal().posterior_sample(g, e.moments, eps, KlEstimate::analytic);
    e.z = drawn.z;
    e.prediction = decode(g, w, drawn.z);
    ElboSums sums = elbo_sums(g, nll_parts(g, w, x, e.prediction, per_sample), drawn.kl);
    e.kl_dims = sums.kl_dims;
    e.nll = sums.nll;
    e.kl = sums.kl;
    e.loss = sums.loss;
    return e;
}

} // namespace vkvae
