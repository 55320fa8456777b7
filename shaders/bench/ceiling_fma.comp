// The arithmetic ceiling: multiply-adds on registers alone. y[i] = sum of 12 chains of a = factor a + offset, 16 links
// a round: 12 * 16 * 2 operations for each work item and round.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/index.glsl"

layout(push_constant) uniform Push {
    uint count, rounds;
    float factor, offset;
};
layout(set = 0, binding = 0) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    // Twelve chains hide a latency of six on two ports, and fit into the 16 registers of the smallest vector unit.
    vec4 a = vec4(0, 1, 2, 3) + float(i), b = a + 4.0, c = a + 8.0;
    for (uint r = 0; r < rounds; r++)
        [[unroll]] for (uint k = 0; k < 16; k++) {
            a = factor * a + offset;
            b = factor * b + offset;
            c = factor * c + offset;
        }
    y[i] = dot(a + b + c, vec4(1.0));
}
