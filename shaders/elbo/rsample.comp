// z = mu + exp(logvar/2) eps with its KL term, or the gradients of both, from moments (N, 2 D): mu | logvar. All others are
// (N, D). Math: runtime/ops/rsample.cpp.
//
// variants: rsample | rsample_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/index.glsl"
#include "common/random.glsl"
#include "common/step.glsl"

layout(constant_id = 1) const bool EPS_GIVEN = false;
const uint KL_ANALYTIC = 0, KL_SAMPLED = 1;
layout(constant_id = 2) const uint KL = KL_ANALYTIC;
layout(push_constant) uniform Push { uint count, latent; }; // N D, D
layout(set = 0, binding = 0) readonly restrict buffer Moments { float moments[]; };
layout(set = 0, binding = 1) readonly restrict buffer Eps { float eps_given[]; };

// Where in the moments the mu of element i is; its logvar is `latent` further.
uint mu_at(uint i) { return i + i / latent * latent; }

float draw_eps(uint i) {
    if (EPS_GIVEN)
        return eps_given[i];
    return random_normal(uvec2(params.seed_lo, params.seed_hi), STREAM_REPARAM, params.step, params.draw,
                         params.element_base + i);
}

// exp(20) is as wide as a posterior needs to be; beyond exp(88) the KL would be infinite.
const float LOGVAR_MIN = -30.0, LOGVAR_MAX = 20.0;

// Not clamp(), which may turn a NaN into a number.
float limited(float lv) { return lv < LOGVAR_MIN ? LOGVAR_MIN : lv > LOGVAR_MAX ? LOGVAR_MAX : lv; }

// e^x - 1 - x. Near the prior that cancels to nothing: x^2/2! + x^3/3! + ... to 7 terms, relative error < 1e-7.
float exp_tail(float x) {
    float series = 0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0 +
                   x * (1.0 / 5040.0 + x * (1.0 / 40320.0))))));
    return abs(x) < 0.5 ? x * x * series : exp(x) - 1.0 - x;
}

#ifdef GRADIENT
layout(set = 0, binding = 2) readonly restrict buffer Dz { float dz[]; };
layout(set = 0, binding = 3) readonly restrict buffer Dkl { float dkl[]; };
layout(set = 0, binding = 4) writeonly restrict buffer Dmoments { float dmoments[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint at = mu_at(i);
    float logvar = moments[at + latent], lv = limited(logvar);
    float d = 0.5 * (dz[i] * draw_eps(i) * exp(0.5 * lv) + dkl[i] * expm1_stable(lv));
    dmoments[at] = dz[i] + dkl[i] * moments[at];
    dmoments[at + latent] = lv == logvar ? d : 0.0;
}
#else
layout(set = 0, binding = 2) writeonly restrict buffer Z { float z[]; };
layout(set = 0, binding = 3) writeonly restrict buffer KlOut { float kl[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint at = mu_at(i);
    float m = moments[at], lv = limited(moments[at + latent]), eps = draw_eps(i);
    float value = m + exp(0.5 * lv) * eps;
    z[i] = value;
    kl[i] = 0.5 * (KL == KL_ANALYTIC ? m * m + exp_tail(lv) : value * value - eps * eps - lv);
}
#endif
