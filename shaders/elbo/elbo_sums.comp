// nll = sum of nll_rows (N), kl = sum of kl_dims (D), loss = nll + StepParams::beta kl, in one workgroup.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "common/step.glsl"
#include "common/workgroup_sum.glsl"

layout(push_constant) uniform Push { uint rows, dims; };
layout(set = 0, binding = 0) readonly restrict buffer NllRows { float nll_rows[]; };
layout(set = 0, binding = 1) readonly restrict buffer KlDims { float kl_dims[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Nll { float nll[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Kl { float kl[]; };
layout(set = 0, binding = 4) writeonly restrict buffer Loss { float loss[]; };

void main() {
    vec2 mine = vec2(0.0);
    for (uint i = gl_LocalInvocationID.x; i < rows; i += gl_WorkGroupSize.x)
        mine.x += nll_rows[i];
    for (uint i = gl_LocalInvocationID.x; i < dims; i += gl_WorkGroupSize.x)
        mine.y += kl_dims[i];
    vec2 sums = workgroup_sum(mine);
    if (gl_LocalInvocationID.x != 0)
        return;
    nll[0] = sums.x;
    kl[0] = sums.y;
    loss[0] = sums.x + params.beta * sums.y;
}
