// d nll_parts = dnll + dloss,  d kl (N, D) = per_sample (dkl + StepParams::beta dloss); all three one number.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push { // count = nll_parts + N D
    uint count, parts;
    float per_sample;
};
layout(set = 0, binding = 0) readonly restrict buffer Dnll { float dnll[]; };
layout(set = 0, binding = 1) readonly restrict buffer Dkl { float dkl[]; };
layout(set = 0, binding = 2) readonly restrict buffer Dloss { float dloss[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Dparts { float dparts[]; };
layout(set = 0, binding = 4) writeonly restrict buffer DklSamples { float dkl_samples[]; };

void main() {
    uint i = global_index();
    if (i < parts)
        dparts[i] = dnll[0] + dloss[0];
    else if (i < count)
        dkl_samples[i - parts] = per_sample * (dkl[0] + params.beta * dloss[0]);
}
