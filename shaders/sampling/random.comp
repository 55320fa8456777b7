// y[i] = uniform in [0,1) or standard normal, a function of seed, stream, step, draw and element alone.
//
// variants: random_uniform -DDRAW=random_uniform | random_normal -DDRAW=random_normal
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/random.glsl"
#include "common/step.glsl"

layout(push_constant) uniform Push { uint count, stream; };
layout(set = 0, binding = 0) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = DRAW(uvec2(params.seed_lo, params.seed_hi), stream, params.step, params.draw, params.element_base + i);
}
