// Log-densities under many Gaussians at once, and the mean of their exponentials: aggregate posteriors, mixtures as
// priors, importance weights.
//
//   s[m,k] = log N(z_m; mu_k, exp(logvar_k))        y = log 1/K sum_k exp(x_k),  dx_k = dy exp(x_k - y) / K
//
// Kernels: shaders/elbo/gaussian_log_densities.comp, log_mean_exp.comp.
#include "vkvae/ops.hpp"

namespace vkvae {

Tensor gaussian_log_densities(Graph& g, Tensor z, Tensor moments, bool by_dimension) {
    Shape points = g.shape(z), twice = g.shape(moments);
    require(points.size() == 2 && twice.size() == 2 && twice[1] == 2 * points[1],
            "gaussian_log_densities takes z (M, D) and moments (K, 2 D), got ", to_text(points), " and ",
            to_text(twice));
    Shape shape = by_dimension ? Shape{points[0], points[1], twice[0]} : Shape{points[0], twice[0]};
    require(element_count(shape) <= INT32_MAX, "gaussian_log_densities: ", to_text(shape), " are too many");
    Tensor s = g.tensor(shape, "log densities");
    struct Push {
        uint32_t count, points, dims, components;
    } push = {uint32_t(element_count(shape)), uint32_t(points[0]), uint32_t(points[1]), uint32_t(twice[0])};
    auto gradient = [=](Graph& graph, const char* shader, Tensor ds, Tensor result, int64_t count) {
        Push of_result = push;
        of_result.count = uint32_t(count);
        graph.add({.op = shader,
                   .in = {z, moments, ds},
                   .out = {result},
                   .lower =
                       [=](Lowering& l) {
                           l.each(shader, of_result.count, {uint32_t(by_dimension)}, {z, moments, ds, result},
                                  of_result);
                       },
                   .adjoint = {}});
        return result;
    };
    g.add({.op = "gaussian_log_densities",
           .in = {z, moments},
           .out = {s},
           .lower =
               [=](Lowering& l) {
                   l.each("gaussian_log_densities", push.count, {uint32_t(by_dimension)}, {z, moments, s}, push);
               },
           .adjoint =
               [=](Adjoint& d) {
                   if (d.wanted[0])
                       d.dx[0] = gradient(d.graph, "gaussian_log_densities_dz", d.dy[0], d.graph.tensor(points, "d z"),
                                          element_count(points));
                   if (d.wanted[1])
                       d.dx[1] = gradient(d.graph, "gaussian_log_densities_dmoments", d.dy[0],
                                          d.graph.tensor(twice, "d moments"), element_count(twice) / 2);
               }});
    return s;
}

Tensor log_mean_exp(Graph& g, Tensor x) {
    Shape shape = g.shape(x);
    require(!shape.empty() && shape.back() > 0, "log_mean_exp of ", to_text(shape));
    struct Push {
        uint32_t count, columns;
    } push = {uint32_t(element_count(shape) / shape.back()), uint32_t(shape.back())};
    Shape result(shape.begin(), shape.end() - 1);
    if (result.empty())
        result = {1};
    Tensor y = g.tensor(result, "log mean exp");
    g.add({.op = "log_mean_exp",
           .in = {x},
           .out = {y},
           .lower = [=](Lowering& l) { l.each("log_mean_exp", push.count, {}, {x, y}, push); },
           .adjoint =
               [=](Adjoint& d) {
                   Tensor dy = d.dy[0], dx = d.graph.tensor(shape, "log_mean_exp gradient");
                   Push all = push;
                   all.count = uint32_t(element_count(shape));
                   d.graph.add({.op = "log_mean_exp_gradient",
                                .in = {x, y, dy},
                                .out = {dx},
                                .lower = [=](Lowering& l) {
                                    l.each("log_mean_exp_gradient", all.count, {}, {x, y, dy, dx}, all);
                                },
                                .adjoint = {}});
                   d.dx[0] = dx;
               }});
    return y;
}

} // namespace vkvae
