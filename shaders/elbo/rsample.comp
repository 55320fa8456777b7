// z = mu + exp(logvar/2) eps with its KL term, or the gradients of both, from moments (N, 2 D): mu | logvar. K draws of each
// sample one after the other: z, kl, eps and their gradients are (N K, D). Math: runtime/ops/rsample.cpp.
//
// variants: rsample | rsample_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/index.glsl"
#include "common/random.glsl"
#include "common/step.glsl"

layout(constant_id = 1) const bool EPS_GIVEN = false;
const uint KL_ANALYTIC = 0, KL_SAMPLED = 1, KL_LOG_Q = 2;
layout(constant_id = 2) const uint KL = KL_ANALYTIC;
layout(push_constant) uniform Push { uint count, latent, draws, first; }; // numbers of z, or of mu for the gradient; D; K
layout(set = 0, binding = 0) readonly restrict buffer Moments { float moments[]; };
layout(set = 0, binding = 1) readonly restrict buffer Eps { float eps_given[]; };

// exp(20) is as wide as a posterior needs to be; beyond exp(88) the KL would be infinite.
const float LOGVAR_MIN = -30.0, LOGVAR_MAX = 20.0;

// Not clamp(), which may turn a NaN into a number.
float limited(float lv) { return lv < LOGVAR_MIN ? LOGVAR_MIN : lv > LOGVAR_MAX ? LOGVAR_MAX : lv; }

float draw_eps(uint i) {
    if (EPS_GIVEN)
        return eps_given[i];
    return random_normal(uvec2(params.seed_lo, params.seed_hi), STREAM_REPARAM, params.step, params.draw,
                         params.element_base + first + i);
}

#ifdef GRADIENT
const uint TOTAL = 0, PATH = 1, DOUBLY = 2;
layout(constant_id = 3) const uint MODE = TOTAL;
layout(constant_id = 4) const bool EPS_GRADIENT = false;
layout(set = 0, binding = 2) readonly restrict buffer Dz { float dz[]; };
layout(set = 0, binding = 3) readonly restrict buffer Dkl { float dkl[]; };
layout(set = 0, binding = 4) writeonly restrict buffer Dmoments { float dmoments[]; };
layout(set = 0, binding = 5) writeonly buffer Deps { float deps[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint n = i / latent, d = i % latent, at = n * 2 * latent + d;
    float mu = moments[at], logvar = moments[at + latent], lv = limited(logvar), sigma = exp(0.5 * lv);
    float all = 0.0; // of the draws' weights
    if (MODE == DOUBLY)
        for (uint k = 0; k < draws; k++)
            all += dkl[(n * draws + k) * latent + d];
    float dmu = 0.0, dlv = 0.0;
    for (uint k = 0; k < draws; k++) {
        uint to = (n * draws + k) * latent + d;
        float eps = draw_eps(to), g = dkl[to], through_z = dz[to];
        if (EPS_GRADIENT)
            deps[to] = through_z * sigma;
        if (KL == KL_ANALYTIC) {
            dmu += g * mu;
            dlv += 0.5 * g * expm1_stable(lv);
        } else {
            if (KL == KL_SAMPLED)
                through_z += g * (mu + sigma * eps);
            if (MODE == TOTAL)
                dlv -= 0.5 * g;
            else
                through_z -= g * eps / sigma;
            if (MODE == DOUBLY)
                through_z *= all != 0.0 ? g / all : 0.0;
        }
        dmu += through_z;
        dlv += 0.5 * through_z * eps * sigma;
    }
    dmoments[at] = dmu;
    dmoments[at + latent] = lv == logvar ? dlv : 0.0;
}
#else
layout(set = 0, binding = 2) writeonly restrict buffer Z { float z[]; };
layout(set = 0, binding = 3) writeonly restrict buffer KlOut { float kl[]; };

// e^x - 1 - x. Near the prior that cancels to nothing: x^2/2! + x^3/3! + ... to 7 terms, relative error < 1e-7.
float exp_tail(float x) {
    float series = 0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0 +
                   x * (1.0 / 5040.0 + x * (1.0 / 40320.0))))));
    return abs(x) < 0.5 ? x * x * series : exp(x) - 1.0 - x;
}

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint at = i / latent / draws * 2 * latent + i % latent;
    float mu = moments[at], lv = limited(moments[at + latent]), eps = draw_eps(i);
    float value = mu + exp(0.5 * lv) * eps;
    z[i] = value;
    if (KL == KL_ANALYTIC)
        kl[i] = 0.5 * (mu * mu + exp_tail(lv));
    else if (KL == KL_SAMPLED)
        kl[i] = 0.5 * (value * value - eps * eps - lv);
    else
        kl[i] = -0.5 * (eps * eps + lv) - 0.918938533; // log(2 pi) / 2
}
#endif
