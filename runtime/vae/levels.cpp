// Levels of latents: a ladder of encoders up, and of decoders down.
//
//   h_0 = x, h_l = encoder_l(h_(l-1))                       up, l = 1 ... L
//   e_L ~ q(e_L | h_L),  z_L = e_L,  d_L = decoder_L(z_L)   down
//   e_l ~ q(e_l | h_l, d_(l+1)),  z_l = m(d_(l+1)) + s(d_(l+1)) e_l,  d_l = decoder_l(z_l, d_(l+1))
//
// A level's prior is N(m, s^2), with m and log s^2 by a linear layer ("prior") from d_(l+1). Its posterior is relative to
// that: q(z_l) = N(m + s mu, s^2 exp(logvar)), with mu and logvar by another from h_l and d_(l+1). In the standardised
// latents e all that is N(mu, exp(logvar)) against N(0, I): so z of the whole model is all e, p(z) = N(0, I), KL,
// importance weights and sampling are those of a plain VAE, and where z_l is made is the decoder's affair.
//
// Sources: Sonderby et al. 2016, "Ladder Variational Autoencoders"; Vahdat and Kautz 2020, "NVAE", section 3.2 (residual
// posteriors); Child 2021, "Very Deep VAEs".
#include "vae/levels.hpp"

#include "vae/quantizer.hpp"

namespace vkvae {

using Scope = Vae::Scope;

namespace {

// "levels.1." of a hierarchical model; a plain VAE's parameters have the names that PyTorch users give them.
std::string level_prefix(const ModelConfig& c, size_t level) {
    return c.levels.size() == 1 ? "" : concat_text("levels.", level, ".");
}

bool is_map(Scope& scope, const Flow& flow) { return scope.graph.shape(flow.x).size() == 4; }

// Side by side: features, or channels of maps of one size.
Flow join(Scope& scope, const Flow& a, const Flow& b, const char* what) {
    Graph& g = scope.graph;
    Shape s = g.shape(a.x), t = g.shape(b.x);
    bool fit = s.size() == t.size() && (s.size() == 2 || (s[1] == t[1] && s[2] == t[2]));
    require(fit, what, " are ", to_text(s), " and ", to_text(t),
            "; both must be vectors, or maps of the same height and width");
    require(a.flattened.empty() && b.flattened.empty(), what,
            " meet right after a flatten, where the order of features is not known; put a linear layer before");
    return {concat(g, a.x, b.x), {}};
}

// With the labels y (N, classes): beside the features of a vector; as one more channel of a map, a plane of weights for
// each class.
Flow with_labels(Scope& scope, const ModelConfig& c, const Flow& flow, Tensor y, const std::string& name) {
    if (c.label_classes == 0)
        return flow;
    Graph& g = scope.graph;
    require(bool(y), "the model is conditional: it needs labels");
    Shape s = g.shape(flow.x);
    require(g.shape(y) == Shape{s[0], c.label_classes}, "the labels are ", to_text(g.shape(y)), ", not ",
            to_text({s[0], c.label_classes}));
    if (s.size() == 2 && flow.flattened.empty())
        return {concat(g, flow.x, y), {}};
    require(s.size() == 4, "labels meet a flatten, where the order of features is not known; put a linear layer before");
    scope.prefix = name + ".";
    Tensor plane = dense(scope, {y, {}}, s[1] * s[2], false, Activation::none, {});
    return {concat(g, flow.x, reshape(g, plane, {s[0], s[1], s[2], 1})), {}};
}

// 2 C numbers of each position, or 2 D: mu and after it logvar.
Tensor both_moments(Scope& scope, const Flow& flow, int64_t latent, const std::string& prefix, const char* name) {
    Graph& g = scope.graph;
    scope.prefix = prefix + name + ".";
    if (!is_map(scope, flow))
        return dense(scope, flow, 2 * latent, true, Activation::none, {});
    Shape s = g.shape(flow.x), disk = {2 * latent, s[3], 1, 1};
    Tensor w = scope.parameter("weight", {1, 1, s[3], 2 * latent}, disk, disk, {2, 3, 1, 0}, s[3]);
    Tensor b = scope.parameter("bias", {2 * latent}, {2 * latent}, {2 * latent}, {0}, s[3]);
    return conv2d(g, flow.x, w, b, Conv2d::same_sides(1, 0));
}

Moments as_rows(Graph& g, Tensor moments) {
    Shape s = g.shape(moments);
    if (s.size() == 2)
        return {moments, 1};
    return {reshape(g, moments, {s[0] * s[1] * s[2], s[3]}), s[1] * s[2]};
}

} // namespace

std::vector<Flow> bottom_up(Scope& scope, const ModelConfig& c, Tensor x, Tensor y) {
    Graph& g = scope.graph;
    Flow flow = {reshape(g, x, {g.dim(x, 0), c.height, c.width, c.channels}), {}};
    if (c.label_classes > 0) {
        const std::vector<Layer>& first = c.levels[0].encoder;
        bool dense_first = !first.empty() && (first[0].type == "linear" || first[0].type == "flatten");
        if (dense_first && order_of({c.height, c.width, c.channels}).empty())
            flow = flatten(scope, flow);
        flow = with_labels(scope, c, flow, y, "encoder_labels");
    }
    std::vector<Flow> features;
    for (size_t level = 0; level < c.levels.size(); level++) {
        std::string name = level_prefix(c, level) + "encoder";
        flow = build_layers(scope, name, c.levels[level].encoder, flow, {});
        features.push_back(flow);
    }
    return features;
}

Moments level_moments(Scope& scope, const ModelConfig& c, size_t level, const Flow& below, const Flow& above) {
    Graph& g = scope.graph;
    int64_t latent = c.levels[level].latent;
    if (c.levels.size() > 1) {
        Flow flow = above.x ? join(scope, below, above, "what a level's latents see from below and above") : below;
        return as_rows(g, both_moments(scope, flow, latent, level_prefix(c, level), "posterior"));
    }
    // mu and logvar are one product: their weights are columns of one matrix in memory, two parameters on disk.
    Flow flow = flatten(scope, below);
    if (c.deterministic) {
        scope.prefix = "fc_mu.";
        Tensor mu = dense(scope, flow, latent, true, Activation::none, {});
        return {concat(g, mu, g.constant(-30, g.shape(mu))), 1};
    }
    scope.row = 2 * latent;
    scope.prefix = "fc_mu.";
    DenseParameters both = dense_parameters(scope, flow, latent, true, {});
    scope.prefix = "fc_logvar.";
    scope.column = latent;
    dense_parameters(scope, flow, latent, true, {});
    scope.row = scope.column = 0;
    Tensor moments = linear(g, flow.x, both.weight, both.bias);
    g.rename(moments, "moments");
    return {moments, 1};
}

Tensor top_down(Scope& scope, const ModelConfig& c, const std::vector<Shape>& maps, Tensor y,
                const std::function<Tensor(size_t level, const Flow& above)>& latents_of) {
    Graph& g = scope.graph;
    Flow above;
    for (size_t level = c.levels.size(); level-- > 0;) {
        std::string prefix = level_prefix(c, level);
        Tensor e = latents_of(level, above);
        int64_t n = g.dim(e, 0), latent = c.levels[level].latent;
        const Shape& map = maps[level]; // (H, W), or empty
        Tensor z = e;
        if (above.x) {
            Moments prior = as_rows(g, both_moments(scope, above, latent, prefix, "prior"));
            z = rsample(g, prior.rows, reshape(g, e, {n * prior.positions, latent})).z;
        }
        Flow flow = {map.empty() ? z : reshape(g, z, {n, map[0], map[1], latent}), {}};
        if (c.vq)
            flow.x = as_map(g, c.vq, z);
        else if (map.empty())
            flow.x = reshape(g, z, {n, latent});
        if (!above.x)
            flow = with_labels(scope, c, flow, y, "decoder_labels");
        else
            flow = join(scope, flow, above, "what a decoder gets from its latents and from above");
        Shape end = level == 0 ? Shape{c.height, c.width, c.channels * c.parameters} : Shape{};
        above = build_layers(scope, prefix + "decoder", c.levels[level].decoder, flow, end);
    }
    Shape image = {c.height, c.width, c.channels * c.parameters}, s = g.shape(above.x), made(s.begin() + 1, s.end());
    bool fits = s.size() == 4 ? made == image : s[1] == element_count(image);
    require_data(fits, "the decoder makes ", to_text(made), " for each sample, the input is ",
                 to_text({c.height, c.width, c.channels}),
                 c.parameters == 1 ? ""
                                   : concat_text(" and a ", c.likelihood, " likelihood has ", c.parameters,
                                                 " parameters for each number of it: ", to_text(image)));
    require_data(s.size() == 4 || above.flattened == order_of(image), "the decoder makes ", to_text(made),
                 " numbers of unknown order: let it end in an image ", to_text(image), " or in a linear layer");
    return reshape(g, above.x, {s[0], c.pixels() * c.parameters});
}

} // namespace vkvae
