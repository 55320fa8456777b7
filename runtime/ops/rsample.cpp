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
    uint32_t count;
};

} // namespace

Rsample rsample(Graph& g, Tensor mu, Tensor logvar, Tensor eps, KlEstimate estimate) {
    Shape shape = g.shape(mu);
    require(g.shape(logvar) == shape && (!eps || g.shape(eps) == shape), "rsample: mu ", to_text(shape),
            ", logvar ", to_text(g.shape(logvar)), " and eps must have one shape");
    Tensor z = g.tensor(shape, "z"), kl = g.tensor(shape, "kl");
    uint32_t count = uint32_t(element_count(shape));
    std::vector<Tensor> in = {mu, logvar};
    if (eps)
        in.push_back(eps);
    auto adjoint = [=](Adjoint& d) {
        Graph& graph = d.graph;
        Tensor dz = d.dy[0] ? d.dy[0] : graph.constant(0, shape);
        Tensor dkl = d.dy[1] ? d.dy[1] : graph.constant(0, shape);
        Tensor dmu = graph.tensor(shape, "d mu"), dlogvar = graph.tensor(shape, "d logvar");
        require(!d.dy[1] || estimate == KlEstimate::analytic, "rsample: the sampled KL is not differentiated");
        std::vector<Tensor> needs = {mu, logvar, dz, dkl};
        if (eps)
            needs.push_back(eps);
        graph.add({.op = "rsample_gradient",
                   .in = needs,
                   .out = {dmu, dlogvar},
                   .lower =
                       [=](Lowering& l) {
                           l.each("rsample_gradient", count, {uint32_t(bool(eps))},
                                  {mu, logvar, eps ? eps : mu, dz, dkl, dmu, dlogvar}, Push{count});
                       },
                   .adjoint = {}});
        d.dx[0] = dmu;
        d.dx[1] = dlogvar;
    };
    g.add({.op = "rsample",
           .in = in,
           .out = {z, kl},
           .lower =
               [=](Lowering& l) {
                   l.each("rsample", count, {uint32_t(bool(eps)), uint32_t(estimate)},
                          {mu, logvar, eps ? eps : mu, z, kl}, Push{count});
               },
           .adjoint = adjoint});
    return {z, kl};
}

} // namespace vkvae
