// nll = sum of nll_parts,  kl_dims (D) = per_sample * sums over n of kl (N, D),  kl = sum of kl_dims,
// loss = nll + StepParams::beta kl, in one workgroup.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "common/step.glsl"
#include "common/workgroup_sum.glsl"

layout(push_constant) uniform Push {
    uint parts, samples, dims;
    float per_sample;
};
layout(set = 0, binding = 0) readonly restrict buffer NllParts { float nll_parts[]; };
layout(set = 0, binding = 1) readonly restrict buffer KlSamples { float kl_samples[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Nll { float nll[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Kl { float kl[]; };
layout(set = 0, binding = 4) writeonly restrict buffer Loss { float loss[]; };
layout(set = 0, binding = 5) writeonly restrict buffer KlDims { float kl_dims[]; };

shared float columns[gl_WorkGroupSize.x];

// Of one dimension, every `apart`th sample.
float column_sum(uint d, uint from, uint apart) {
    float sum = 0.0;
    for (uint n = from; n < samples; n += apart)
        sum += kl_samples[n * dims + d];
    return sum;
}

// The sum of those of kl_dims that this work item has written.
float write_kl_dims() {
    uint item = gl_LocalInvocationID.x, together = gl_WorkGroupSize.x / dims; // work items of one dimension
    float written = 0.0;
    if (together < 2) {
        for (uint d = item; d < dims; d += gl_WorkGroupSize.x) {
            float mean = per_sample * column_sum(d, 0, 1);
            kl_dims[d] = mean;
            written += mean;
        }
        return written;
    }
    columns[item] = item < together * dims ? column_sum(item % dims, item / dims, together) : 0.0;
    barrier();
    if (item < dims) {
        float sum = 0.0;
        for (uint i = 0; i < together; i++)
            sum += columns[i * dims + item];
        written = per_sample * sum;
        kl_dims[item] = written;
    }
    return written;
}

void main() {
    vec2 mine = vec2(0.0);
    for (uint i = gl_LocalInvocationID.x; i < parts; i += gl_WorkGroupSize.x)
        mine.x += nll_parts[i];
    mine.y = write_kl_dims();
    vec2 sums = workgroup_sum(mine);
    if (gl_LocalInvocationID.x != 0)
        return;
    nll[0] = sums.x;
    kl[0] = sums.y;
    loss[0] = sums.x + params.beta * sums.y;
}
