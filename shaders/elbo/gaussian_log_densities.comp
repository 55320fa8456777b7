// s[m,k] = sum over d of log N(z[m,d]; mu[k,d], exp(logvar[k,d])): z (M, D), moments (K, 2 D). BY_DIMENSION: s[m,d,k], not
// summed. The gradients: one work item for each number of z, or of mu and logvar.
//
//   dz[m,d] = sum over k of -ds (z - mu) / var
//   dmu[k,d] = sum over m of ds (z - mu) / var      dlogvar[k,d] = sum over m of ds ((z - mu)^2 / var - 1) / 2
//
// variants: gaussian_log_densities | gaussian_log_densities_dz -DDZ | gaussian_log_densities_dmoments -DDMOMENTS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(constant_id = 1) const bool BY_DIMENSION = false;
layout(push_constant) uniform Push { uint count, points, dims, components; };
layout(set = 0, binding = 0) readonly restrict buffer Z { float z[]; };
layout(set = 0, binding = 1) readonly restrict buffer Moments { float moments[]; };

const float LOGVAR_MIN = -30.0, LOGVAR_MAX = 20.0; // as in rsample.comp
float limited(float lv) { return lv < LOGVAR_MIN ? LOGVAR_MIN : lv > LOGVAR_MAX ? LOGVAR_MAX : lv; }

uint place(uint m, uint d, uint k) { return (BY_DIMENSION ? m * dims + d : m) * components + k; }

#if defined(DZ) || defined(DMOMENTS)
layout(set = 0, binding = 2) readonly restrict buffer Ds { float ds[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Result { float result[]; };
#endif

#if defined(DZ)
void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint m = i / dims, d = i % dims;
    float sum = 0.0;
    for (uint k = 0; k < components; k++) {
        uint at = k * 2 * dims + d;
        sum += ds[place(m, d, k)] * (moments[at] - z[i]) * exp(-limited(moments[at + dims]));
    }
    result[i] = sum;
}
#elif defined(DMOMENTS)
void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint k = i / dims, d = i % dims, at = k * 2 * dims + d;
    float logvar = moments[at + dims], lv = limited(logvar), mu = moments[at], precision_factor = exp(-lv);
    float dmu = 0.0, dlv = 0.0;
    for (uint m = 0; m < points; m++) {
        float difference = z[m * dims + d] - mu, g = ds[place(m, d, k)];
        dmu += g * difference;
        dlv += g * (difference * difference * precision_factor - 1.0);
    }
    result[at] = dmu * precision_factor;
    result[at + dims] = lv == logvar ? 0.5 * dlv : 0.0;
}
#else
layout(set = 0, binding = 2) writeonly restrict buffer S { float s[]; };

float log_density(uint m, uint d, uint k) {
    uint at = k * 2 * dims + d;
    float difference = z[m * dims + d] - moments[at], lv = limited(moments[at + dims]);
    return -0.5 * (difference * difference * exp(-lv) + lv) - 0.918938533; // log(2 pi) / 2
}

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint k = i % components, rest = i / components;
    if (BY_DIMENSION) {
        s[i] = log_density(rest / dims, rest % dims, k);
        return;
    }
    float sum = 0.0;
    for (uint d = 0; d < dims; d++)
        sum += log_density(rest, d, k);
    s[i] = sum;
}
#endif
