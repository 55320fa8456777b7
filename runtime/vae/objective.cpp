// The table of objectives: the ELBO and what people minimise in its place.
//
//   elbo        nll + beta kl; a dimension's (a level's) kl counts at least its free bits      Higgins 2017; Kingma 2016
//   capacity    nll + beta |kl - C|, C rising                                                 Burgess et al. 2018
//   beta_tc     nll + kl + (beta - 1) tc                                                      Chen et al. 2018
//   dip         nll + beta kl + off_diagonal sum_(i != j) cov_ij^2 + diagonal sum_i (cov_ii - 1)^2,  DIP-VAE-I
//               cov of mu over the batch                                                      Kumar et al. 2018
//   iwae, dreg  -log 1/K sum_k w_k,  log w_k = -nll_k - beta kl_k, sampled                    Burda 2015; Tucker 2018
//
// tc = KL(q(z) || prod_d q(z_d)) with q(z) = 1/N sum_j q(z|x_j) over the batch: exact for the batch's own mixture, and
// with the gradient of Chen et al.'s minibatch-weighted estimate, which differs from it by a constant. So are
// mi = KL(q(z|x) || q(z)) and dwkl = sum_d KL(q(z_d) || p(z_d)); the three add up to kl.
#include "vae/objective.hpp"

#include <algorithm>
#include <cmath>

namespace vkvae {
namespace {

Tensor one_number(Graph& g, Tensor t) { return reshape(g, t, {1}); }

ElboSums usual_sums(Graph& g, const Bound& b, Elbo& e) {
    ElboSums sums = elbo_sums(g, b.nll_parts(1.0f / float(b.count * b.draws)), b.q.kl);
    e.nll = sums.nll;
    e.kl = sums.kl;
    e.kl_dims = sums.kl_dims;
    return sums;
}

// max(x, floor)
Tensor at_least(Graph& g, Tensor x, float floor) {
    return scale(g, activate(g, scale(g, x, 1, -floor), Activation::relu), 1, floor);
}

// The sum of kl_dims, where what is within the free bits counts as they do, and has no gradient.
Tensor counted_kl(Graph& g, const Vae& vae, Tensor kl_dims) {
    const ModelConfig& c = vae.config();
    Tensor dims = c.objective.free_bits > 0 ? at_least(g, kl_dims, c.objective.free_bits) : kl_dims, total;
    bool by_level = std::any_of(c.levels.begin(), c.levels.end(), [](const Level& l) { return l.free_bits > 0; });
    if (!by_level)
        return one_number(g, sum(g, dims));
    int64_t at = 0;
    for (size_t i = 0; i < c.levels.size(); i++) { // the top one first
        int64_t width = vae.level_widths()[i];
        Tensor level = one_number(g, sum(g, slice(g, dims, 0, at, width)));
        level = at_least(g, level, c.levels[c.levels.size() - 1 - i].free_bits);
        total = total ? add(g, total, level) : level;
        at += width;
    }
    return total;
}

void build_elbo(Graph& g, const Vae& vae, const Bound& b, Elbo& e) {
    ElboSums sums = usual_sums(g, b, e);
    const ModelConfig& c = vae.config();
    bool free_bits = c.objective.free_bits > 0 ||
                     std::any_of(c.levels.begin(), c.levels.end(), [](const Level& l) { return l.free_bits > 0; });
    e.loss = free_bits ? add(g, e.nll, scale_by_beta(g, counted_kl(g, vae, e.kl_dims))) : sums.loss;
}

void build_capacity(Graph& g, const Vae&, const Bound& b, Elbo& e) {
    usual_sums(g, b, e);
    e.loss = add(g, e.nll, scale_by_beta(g, distance_to_capacity(g, e.kl)));
}

void build_beta_tc(Graph& g, const Vae&, const Bound& b, Elbo& e) {
    usual_sums(g, b, e);
    Tensor log_q = log_mean_exp(g, gaussian_log_densities(g, b.q.z, b.q.moments));                // (N K)
    Tensor log_q_dims = log_mean_exp(g, gaussian_log_densities(g, b.q.z, b.q.moments, true));     // (N K, D)
    Tensor log_product = one_number(g, mean(g, sum(g, log_q_dims, 1, 1)));
    Tensor tc = sub(g, one_number(g, mean(g, log_q)), log_product);
    float d = float(g.dim(b.q.z, 1));
    Tensor squares = one_number(g, mean(g, mul(g, b.q.z, b.q.z)));
    Tensor log_prior = scale(g, squares, -0.5f * d, -0.5f * d * 1.837877066f); // log 2 pi
    Tensor dwkl = sub(g, log_product, log_prior);
    e.extras = {{"tc", tc}, {"mi", sub(g, sub(g, e.kl, tc), dwkl)}, {"dwkl", dwkl}};
    e.loss = add(g, add(g, e.nll, e.kl), sub(g, scale_by_beta(g, tc), tc));
}

void build_dip(Graph& g, const Vae& vae, const Bound& b, Elbo& e) {
    ElboSums sums = usual_sums(g, b, e);
    const ObjectiveConfig& o = vae.config().objective;
    Tensor mu = slice(g, b.q.moments, 1, 0, vae.config().latent);
    Tensor centred = sub(g, mu, mean(g, mu, 0, 1));
    Tensor cov = scale(g, matmul(g, centred, centred, true), 1.0f / float(b.count)); // (D, D)
    Tensor variances = mean(g, mul(g, centred, centred), 0, 1);                      // (D): its diagonal
    auto squared = [&](Tensor t) { return one_number(g, sum(g, mul(g, t, t))); };
    Tensor off_diagonal = sub(g, squared(cov), squared(variances));
    Tensor diagonal = squared(scale(g, variances, 1, -1));
    Tensor dip = add(g, scale(g, off_diagonal, o.off_diagonal), scale(g, diagonal, o.diagonal));
    e.extras = {{"dip", dip}};
    e.loss = add(g, sums.loss, dip);
}

void build_iwae(Graph& g, const Vae&, const Bound& b, Elbo& e) {
    Tensor parts = b.nll_parts(1);
    float each = 1.0f / float(b.count * b.draws);
    ElboSums sums = elbo_sums(g, scale(g, parts, each), b.q.kl); // to be looked at: no gradient goes through them
    e.nll = sums.nll;
    e.kl = sums.kl;
    e.kl_dims = sums.kl_dims;
    Tensor minus_log_w = add(g, sum(g, parts, 1, 1), scale_by_beta(g, sum(g, b.q.kl, 1, 1)));
    Tensor bound = log_mean_exp(g, reshape(g, scale(g, minus_log_w, -1), {b.count, b.draws}));
    e.loss = scale(g, one_number(g, mean(g, bound)), -1);
}

const Objective kObjectives[] = {
    {"elbo", "samples free_bits warmup cycle", KlEstimate::analytic, PosteriorGradient::total, {}, build_elbo},
    {"capacity", "samples capacity! steps!", KlEstimate::analytic, PosteriorGradient::total, {}, build_capacity},
    {"beta_tc", "samples warmup cycle", KlEstimate::analytic, PosteriorGradient::total, {"tc", "mi", "dwkl"},
     build_beta_tc},
    {"dip", "samples off_diagonal! diagonal! warmup cycle", KlEstimate::analytic, PosteriorGradient::total, {"dip"},
     build_dip},
    {"iwae", "samples! warmup cycle", KlEstimate::sampled, PosteriorGradient::total, {}, build_iwae},
    {"dreg", "samples! warmup cycle", KlEstimate::sampled, PosteriorGradient::doubly, {}, build_iwae},
};

} // namespace

std::span<const Objective> objectives() { return kObjectives; }

const Objective& find_objective(const std::string& name) {
    std::string known;
    for (const Objective& objective : kObjectives) {
        if (name == objective.name)
            return objective;
        known += concat_text(known.empty() ? "" : ", ", objective.name);
    }
    fail(Status::data, "unknown objective '", name, "'; known are ", known);
}

// Warm-up is linear. A cycle begins with one of its own, `warmup` steps or half of it (Fu et al. 2019).
void set_schedule(StepParams& params, const ObjectiveConfig& o, float beta, int64_t step) {
    int64_t at = o.cycle > 0 ? step % o.cycle : step;
    int64_t rise = o.warmup > 0 ? o.warmup : o.cycle / 2;
    params.beta = rise > 0 && at < rise ? float(double(beta) * double(at) / double(rise)) : beta;
    if (o.capacity_steps > 0)
        params.capacity = float(double(o.capacity) * std::min(1.0, double(step) / double(o.capacity_steps)));
}

void check_objective(const ModelConfig& c) {
    const std::string& name = c.objective.name;
    bool batch_mixture = name == "beta_tc" || name == "dip", weights = name == "iwae" || name == "dreg";
    require_data(!batch_mixture || c.levels.size() == 1, "the objective ", name,
                 " is for models of one level: it compares the posteriors of a batch");
    require_data(name != "dreg" || c.levels.size() == 1,
                 "the objective dreg is for models of one level; iwae goes with several");
    require_data(!c.deterministic || name == "elbo", "a model without a posterior (\"posterior\": \"none\") has the "
                 "objective elbo, not ", name);
    require_data(!c.deterministic || c.levels.size() == 1, "only a model of one level can do without a posterior");
    require_data(!c.deterministic || (c.prior == "standard_normal" && c.objective.samples == 1 &&
                                      c.objective.free_bits == 0),
                 "a model without a posterior has no KL: no prior, samples or free bits");
    require_data(c.prior == "standard_normal" || c.levels.size() == 1, "the prior ", c.prior,
                 " is for models of one level");
    require_data(c.prior == "standard_normal" || c.objective.free_bits == 0, "the prior ", c.prior,
                 " is no product over dimensions, so none of them can have free bits");
    require_data(!weights || c.objective.samples >= 2, "the objective ", name, " takes 2 samples or more");
    require_data(!weights || (c.objective.free_bits == 0 &&
                              std::all_of(c.levels.begin(), c.levels.end(), [](auto& l) { return l.free_bits == 0; })),
                 "the objective ", name, " has no free bits: its KL is sampled");
}

} // namespace vkvae
