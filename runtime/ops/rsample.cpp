// The reparameterised sample and its KL divergence, one kernel each way.
//
//   z  = mu + exp(logvar / 2) eps                      kl = (mu^2 + exp(logvar) - 1 - logvar) / 2
//   dmu = dz + dkl mu                                  dlogvar = dz eps exp(logvar / 2) / 2 + dkl (exp(logvar) - 1) / 2
//
// eps is regenerated in the backward pass: a counter-based generator costs less than the memory.
// Kernels: shaders/elbo/rsample.comp. Source: Kingma and Welling 2013, section 2.4 and appendix B.
#include "vkvae/ops.hpp"

namespace vkvae {
namespace {

struct Push {
    uint32_t count, latent;
};

} // namespace

Rsample rsample(Graph& g, Tensor moments, Tensor eps, KlEstimate estimate) {
    Shape twice = g.shape(moments);
    require(twice.size() == 2 && twice[1] % 2 == 0, "rsample: the moments are (N, 2 D), got ", to_text(twice));
    Shape shape = {twice[0], twice[1] / 2};
    require(!eps || g.shape(eps) == shape, "rsample: eps must be ", to_text(shape));
    Tensor z = g.tensor(shape, "z"), kl = g.tensor(shape, "kl");
    Push push = {uint32_t(element_count(shape)), uint32_t(shape[1])};
    std::vector<Tensor> in = {moments};
    if (eps)
        in.push_back(eps);
    auto adjoint = [=](Adjoint& d) {
        Graph& graph = d.graph;
        Tensor dz = d.dy[0] ? d.dy[0] : graph.constant(0, shape);
        Tensor dkl = d.dy[1] ? d.dy[1] : graph.constant(0, shape);
        Tensor dmoments = graph.tensor(twice, "d moments");
        require(!d.dy[1] || estimate == KlEstimate::analytic, "rsample: the sampled KL is not differentiated");
        std::vector<Tensor> needs = {moments, dz, dkl};
        if (eps)
            needs.push_back(eps);
        graph.add({.op = "rsample_gradient",
                   .in = needs,
                   .out = {dmoments},
                   .lower =
                       [=](Lowering& l) {
                           l.each("rsample_gradient", push.count, {uint32_t(bool(eps))},
                                  {moments, eps ? eps : moments, dz, dkl, dmoments}, push);
                       },
                   .adjoint = {}});
        d.dx[0] = dmoments;
    };
    g.add({.op = "rsample",
           .in = in,
           .out = {z, kl},
           .lower =
               [=](Lowering& l) {
                   l.each("rsample", push.count, {uint32_t(bool(eps)), uint32_t(estimate)},
                          {moments, eps ? eps : moments, z, kl}, push);
               },
           .adjoint = adjoint});
    return {z, kl};
}

} // namespace vkvae
