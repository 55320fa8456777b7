// norm = sum of the partial sums of squares (count), in one workgroup; halted = 1 from the first norm or loss on that is
// an infinity or NaN. Tested on the bits: isnan may be optimised out.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "common/workgroup_sum.glsl"

layout(push_constant) uniform Push { uint count, has_loss; };
layout(set = 0, binding = 0) readonly restrict buffer Partial { float partial[]; };
layout(set = 0, binding = 1) readonly restrict buffer Loss { float loss[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Norm { float norm[]; };
layout(set = 0, binding = 3) restrict buffer Halted { uint halted[]; };

bool finite(float x) { return (floatBitsToUint(x) & 0x7f800000u) != 0x7f800000u; }

void main() {
    float mine = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < count; i += gl_WorkGroupSize.x)
        mine += partial[i];
    float squares = workgroup_sum(vec2(mine, 0.0)).x;
    if (gl_LocalInvocationID.x != 0)
        return;
    norm[0] = squares;
    if (!finite(squares) || (has_loss != 0 && !finite(loss[0])))
        halted[0] = 1;
}
