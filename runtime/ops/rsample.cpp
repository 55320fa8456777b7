// Reparameterised samples and their KL terms, one kernel each way.
//
//   z  = mu + sigma eps,  sigma = exp(logvar / 2);  K draws for each sample
//   kl = (mu^2 + exp(logvar) - 1 - logvar) / 2    analytic     dmu += dkl mu          dlogvar += dkl (exp(logvar) - 1) / 2
//        (z^2 - eps^2 - logvar) / 2               sampled      dz  += dkl z           dlogvar -= dkl / 2
//        -(eps^2 + logvar + log 2 pi) / 2         log q(z|x)                          dlogvar -= dkl / 2
//   dmu += dz,  dlogvar += dz eps sigma / 2,  deps = dz sigma
//
// The gradient along the path alone has dz -= dkl eps / sigma in place of dlogvar -= dkl / 2: what q's parameters do to
// log q(z|x) at a fixed z is zero in expectation and only adds noise (Roeder et al. 2017). Doubly reparameterised, of an
// importance-weighted bound, all of dz counts times the normalised weight w_k, which is dkl_k over its sum over the draws
// (Tucker et al. 2018, "Doubly Reparameterized Gradient Estimators", section 4).
//
// eps is regenerated in the backward pass: a counter-based generator costs less than the memory.
// Kernels: shaders/elbo/rsample.comp. Source: Kingma and Welling 2013, section 2.4 and appendix B.
#include "vkvae/ops.hpp"

namespace vkvae {

Rsample rsample(Graph& g, Tensor moments, Tensor eps, const RsampleOptions& o) {
    Shape twice = g.shape(moments);
    require(twice.size() == 2 && twice[1] % 2 == 0, "rsample: the moments are (N, 2 D), got ", to_text(twice));
    require(o.draws >= 1, "rsample: ", o.draws, " draws");
    require(o.kl != KlEstimate::analytic || o.gradient == PosteriorGradient::total,
            "rsample: only a sampled KL has a gradient along the path");
    Shape shape = {twice[0] * o.draws, twice[1] / 2};
    require(!eps || g.shape(eps) == shape, "rsample: eps must be ", to_text(shape));
    Tensor z = g.tensor(shape, "z"), kl = g.tensor(shape, "kl");
    struct Push {
        uint32_t count, latent, draws, first;
    } push = {uint32_t(element_count(shape)), uint32_t(shape[1]), uint32_t(o.draws), uint32_t(o.first)};
    std::vector<Tensor> in = {moments};
    if (eps)
        in.push_back(eps);
    auto adjoint = [=](Adjoint& d) {
        Graph& graph = d.graph;
        Tensor dz = d.dy[0] ? d.dy[0] : graph.constant(0, shape);
        Tensor dkl = d.dy[1] ? d.dy[1] : graph.constant(0, shape);
        Tensor dmoments = graph.tensor(twice, "d moments"), deps;
        std::vector<Tensor> needs = {moments, dz, dkl}, out = {dmoments};
        if (eps) {
            needs.push_back(eps);
            if (d.wanted[1])
                out.push_back(deps = graph.tensor(shape, "d eps"));
        }
        Push of_moments = push;
        of_moments.count /= push.draws;
        graph.add({.op = "rsample_gradient",
                   .in = needs,
                   .out = out,
                   .lower =
                       [=](Lowering& l) {
                           l.each("rsample_gradient", of_moments.count,
                                  {uint32_t(bool(eps)), uint32_t(o.kl), uint32_t(o.gradient), uint32_t(bool(deps))},
                                  {moments, eps ? eps : moments, dz, dkl, dmoments, deps ? deps : dmoments},
                                  of_moments);
                       },
                   .adjoint = {}});
        d.dx[0] = dmoments;
        if (deps)
            d.dx[1] = deps;
    };
    g.add({.op = "rsample",
           .in = in,
           .out = {z, kl},
           .lower =
               [=](Lowering& l) {
                   l.each("rsample", push.count, {uint32_t(bool(eps)), uint32_t(o.kl)},
                          {moments, eps ? eps : moments, z, kl}, push);
               },
           .adjoint = adjoint});
    return {z, kl};
}

} // namespace vkvae
