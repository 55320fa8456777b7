// The VAE: encoder, posterior, decoder, likelihood and their ELBO, built into a graph.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "vae/levels.hpp"
#include "vae/objective.hpp"
#include "vae/quantizer.hpp"

namespace vkvae {
namespace {

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
        Scope scope = {.graph = g, .definitions = &definitions_, .he_init = config_.he_init, .classes = config_.classes};
        Tensor y = config_.label_classes > 0 ? g.input({1, config_.label_classes}, "y") : Tensor{};
        std::vector<Flow> features = bottom_up(scope, config_, g.input({1, config_.pixels()}, "x"), y);
        for (size_t i = 0; i < features.size(); i++) {
            Shape s = g.shape(features[i].x);
            bool map = features.size() > 1 && s.size() == 4;
            maps_.push_back(map ? Shape{s[1], s[2]} : Shape{});
            level_widths_.insert(level_widths_.begin(), config_.levels[i].latent * (map ? s[1] * s[2] : 1));
        }
        if (config_.vq) {
            set_map(g, config_, project_to_codes(scope, config_.vq, features[0]));
            level_widths_ = {config_.latent};
            build_codebooks(scope, config_.vq);
        }
        config_.latent = std::accumulate(level_widths_.begin(), level_widths_.end(), int64_t{0});
        top_down(scope, config_, maps_, y, [&](size_t level, const Flow& above) {
            if (!config_.vq)
                level_moments(scope, config_, level, features[level], above);
            return g.input({1, level_widths_[config_.levels.size() - 1 - level]}, "e");
        });
        if (config_.vq.prior_channels > 0)
            build_code_prior(scope, config_.vq, placeholder_codes(g, config_.vq));
        log_sigma_parameter(scope, config_);
        define_prior(scope, config_);
        g.input({make_parameters().padded()}, "weights"); // has to be one tensor
        if (config_.output_at_mean)
            output_bias();
    } catch (const Error& error) {
        fail(Status::data, error.what());
    }
}

size_t Vae::output_bias() const {
    require_data(find_likelihood(config_.likelihood).prediction_of, "\"output_bias\" is \"data_mean\", but a ",
                 config_.likelihood, " likelihood has no parameter that says the mean");
    const std::vector<Layer>& decoder = config_.levels[0].decoder;
    std::string prefix = config_.levels.size() > 1 ? "levels.0." : "";
    for (size_t i = decoder.size(); i-- > 0;) {
        const Layer& layer = decoder[i];
        if (layer.activation != Activation::none)
            break;
        if (layer.type == "reshape" || layer.type == "flatten")
            continue;
        if (layer.type == "linear" || layer.type.starts_with("conv"))
            for (size_t k = 0; k < definitions_.size(); k++)
                if (definitions_[k].name == concat_text(prefix, "decoder.layers.", i, ".bias"))
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

Vae::Scope Vae::scope(Graph& g, const Weights& w) const {
    return {.graph = g, .weights = &w, .known = &definitions_, .classes = config_.classes};
}

namespace {

// Counts the random numbers that the posteriors of one graph draw, so that no two are the same.
RsampleOptions next_draws(const RsampleOptions& options, int64_t& drawn, int64_t count) {
    RsampleOptions result = options;
    result.first = drawn;
    drawn += count;
    return result;
}

} // namespace

Tensor Vae::encode(Graph& g, const Weights& w, Tensor x, Tensor y) const {
    Scope s = scope(g, w);
    std::vector<Flow> features = bottom_up(s, config_, x, y);
    if (config_.vq)
        return reshape(g, project_to_codes(s, config_.vq, features[0]), {g.dim(x, 0), config_.latent});
    if (features.size() == 1)
        return level_moments(s, config_, 0, features[0], {}).rows;
    Tensor mu, logvar;
    top_down(s, config_, maps_, y, [&](size_t level, const Flow& above) {
        Moments m = level_moments(s, config_, level, features[level], above);
        int64_t latent = config_.levels[level].latent;
        Shape flat = {g.dim(x, 0), m.positions * latent};
        Tensor level_mu = reshape(g, slice(g, m.rows, 1, 0, latent), flat);
        Tensor level_logvar = reshape(g, slice(g, m.rows, 1, latent, latent), flat);
        mu = mu ? concat(g, mu, level_mu) : level_mu;
        logvar = logvar ? concat(g, logvar, level_logvar) : level_logvar;
        return level_mu;
    });
    return concat(g, mu, logvar);
}

Tensor Vae::decode(Graph& g, const Weights& w, Tensor z, Tensor y) const {
    Scope s = scope(g, w);
    int64_t at = 0;
    return top_down(s, config_, maps_, y, [&](size_t level, const Flow&) {
        int64_t width = level_widths_[config_.levels.size() - 1 - level];
        Tensor e = width == config_.latent ? z : slice(g, z, 1, at, width);
        at += width;
        return e;
    });
}

// The KL term of draws z from rsample, whose own says what the prior needs: (N K, kl_columns()).
Tensor Vae::kl_of(Graph& g, const Weights& w, const Rsample& drawn) const {
    const Prior& prior = find_prior(config_.prior);
    if (config_.deterministic)
        return g.constant(0, g.shape(drawn.kl));
    if (!prior.nll)
        return drawn.kl;
    Tensor kl = add(g, sum(g, drawn.kl, 1, 1), prior.nll(g, *this, w, drawn.z));
    return reshape(g, kl, {g.dim(drawn.z, 0), 1});
}

Vae::Inference Vae::infer(Graph& g, const Weights& w, Tensor x, Tensor y, Tensor eps, RsampleOptions o) const {
    Scope s = scope(g, w);
    std::vector<Flow> features = bottom_up(s, config_, x, y);
    if (find_prior(config_.prior).nll)
        o.kl = KlEstimate::log_q;
    Inference result;
    int64_t drawn = 0;
    int64_t rows = g.dim(x, 0) * o.draws;
    Tensor labels = y && o.draws > 1 ? repeat_rows(g, y, o.draws) : y;
    result.prediction = top_down(s, config_, maps_, labels, [&](size_t level, const Flow& above) {
        Flow below = features[level];
        bool top = !above.x, repeated = o.draws > 1 && (!top || !maps_[level].empty());
        if (repeated) { // the levels above have drawn already, and maps draw at each position
            Shape shape = g.shape(below.x), flat = {shape[0], element_count(shape) / shape[0]};
            shape[0] *= o.draws;
            below.x = reshape(g, repeat_rows(g, reshape(g, below.x, flat), o.draws), shape);
        }
        Moments m = level_moments(s, config_, level, below, above);
        int64_t latent = config_.levels[level].latent, width = m.positions * latent;
        RsampleOptions level_options = next_draws(o, drawn, rows * width);
        if (repeated)
            level_options.draws = 1;
        if (config_.deterministic) {
            result.moments = m.rows;
            result.z = slice(g, m.rows, 1, 0, latent);
            result.kl = g.constant(0, {rows, latent});
            return result.z;
        }
        Rsample draws = rsample(g, m.rows, eps, level_options);
        Tensor z = reshape(g, draws.z, {rows, width});
        Tensor kl = config_.levels.size() > 1 ? reshape(g, draws.kl, {rows, width}) : kl_of(g, w, draws);
        result.moments = config_.levels.size() == 1 ? m.rows : Tensor{};
        result.z = result.z ? concat(g, result.z, z) : z;
        result.kl = result.kl ? concat(g, result.kl, kl) : kl;
        return z;
    });
    return result;
}

Vae::Inference Vae::infer_from(Graph& g, const Weights& w, Tensor moments, Tensor y, RsampleOptions o) const {
    require(config_.levels.size() == 1, "the moments of several levels depend on their draws");
    if (find_prior(config_.prior).nll)
        o.kl = KlEstimate::log_q;
    Rsample draws = rsample(g, moments, {}, o);
    Tensor z = config_.deterministic ? slice(g, moments, 1, 0, config_.latent) : draws.z;
    return {moments, z, kl_of(g, w, draws), decode(g, w, z, y && o.draws > 1 ? repeat_rows(g, y, o.draws) : y)};
}

int64_t Vae::kl_columns() const {
    return config_.vq ? config_.vq.levels : find_prior(config_.prior).nll ? 1 : config_.latent;
}

Tensor Vae::mean(Graph& g, Tensor prediction) const {
    return find_likelihood(config_.likelihood).mean(g, prediction, config_.parameters);
}

Tensor Vae::nll_parts(Graph& g, const Weights& w, Tensor x, Tensor prediction, float factor) const {
    const Likelihood& likelihood = find_likelihood(config_.likelihood);
    Tensor log_sigma;
    if (config_.learned_sigma)
        log_sigma = scope(g, w).parameter("likelihood.log_sigma", {1}, {1}, {1}, {0}, 0);
    else if (std::string(likelihood.keys) == "sigma" && !config_.pixel_sigma)
        log_sigma = g.constant(std::log(config_.sigma), {1});
    return likelihood.nll(g, x, prediction, log_sigma, factor);
}

Tensor Vae::nll(Graph& g, const Weights& w, Tensor x, Tensor prediction, float factor) const {
    return sum(g, nll_parts(g, w, x, prediction, factor), 1, 1);
}

Elbo Vae::elbo(Graph& g, const Weights& w, Tensor x, Tensor eps, Tensor y) const {
    const Objective& objective = find_objective(config_.objective.name);
    int64_t draws = config_.objective.samples;
    Tensor seen = corrupt(g, x, config_.corruption, config_.corruption_amount);
    if (config_.vq)
        return elbo_vq(g, w, x, seen);
    Inference q = infer(g, w, seen, y, eps, {.kl = objective.kl, .draws = draws, .gradient = objective.gradient});
    Elbo e;
    e.moments = q.moments;
    e.z = q.z;
    e.prediction = q.prediction;
    Tensor repeated = repeat_rows(g, x, draws);
    auto nll = [&](float factor) { return nll_parts(g, w, repeated, q.prediction, factor); };
    objective.build(g, *this, {g.dim(x, 0), draws, q, nll}, e);
    return e;
}

std::vector<std::string> Vae::extras() const {
    std::vector<std::string> names;
    for (const char* name : find_objective(config_.objective.name).extras)
        names.push_back(name);
    return names;
}

} // namespace vkvae
