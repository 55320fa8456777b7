// d nll_rows (N) = dnll + dloss,  d kl_dims (D) = dkl + StepParams::beta dloss; all three one number.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push { uint count, rows; }; // count = N + D
layout(set = 0, binding = 0) readonly restrict buffer Dnll { float dnll[]; };
layout(set = 0, binding = 1) readonly restrict buffer Dkl { float dkl[]; };
layout(set = 0, binding = 2) readonly restrict buffer Dloss { float dloss[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Drows { float drows[]; };
layout(set = 0, binding = 4) writeonly restrict buffer Ddims { float ddims[]; };

void main() {
    uint i = global_index();
    if (i < rows)
        drows[i] = dnll[0] + dloss[0];
    else if (i < count)
        ddims[i - rows] = dkl[0] + params.beta * dloss[0];
}
