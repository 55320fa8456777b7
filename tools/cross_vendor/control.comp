// The control of tools/cross_vendor: LIVE sums that live through a loop in every lane. More than the hardware has
// registers for must be reported as spilled, else "0 spills" elsewhere means nothing.
#version 450
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LIVE = 320;

layout(push_constant) uniform Push { uint rounds; };
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint at = gl_GlobalInvocationID.x * LIVE;
    float sums[LIVE];
    [[unroll]] for (uint i = 0; i < LIVE; i++)
        sums[i] = x[at + i];
    [[dont_unroll]] for (uint round = 0; round < rounds; round++)
        [[unroll]] for (uint i = 0; i < LIVE; i++) // each needs its neighbour: none can be dropped or done later
            sums[i] = sums[i] * 0.5 + sums[(i + 1) % LIVE];
    [[unroll]] for (uint i = 0; i < LIVE; i++)
        y[at + i] = sums[i];
}
