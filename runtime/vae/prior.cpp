// p(z) = N(0, I).
#include "ops/philox.hpp"
#include "vkvae/vae.hpp"

namespace vkvae {
namespace {

Tensor sample_normal(Graph& g, int64_t n, int64_t latent) { return random_normal(g, {n, latent}, Stream::sample); }

const Prior kStandardNormal = {"standard_normal", rsample, sample_normal};

} // namespace

const Prior& standard_normal() { return kStandardNormal; }

} // namespace vkvae
