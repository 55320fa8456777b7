// y = x with noise: KIND 1 masks to 0 with probability `amount`, 2 sets to 0 or 1 with probability amount / 2 each, 3 adds
// amount times a standard normal.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/random.glsl"
#include "common/step.glsl"

const uint MASKING = 1, SALT_AND_PEPPER = 2;
layout(constant_id = 1) const uint KIND = MASKING;
layout(push_constant) uniform Push {
    uint count;
    float amount;
};
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uvec2 seed = uvec2(params.seed_lo, params.seed_hi);
    uint at = params.element_base + i;
    if (KIND == MASKING || KIND == SALT_AND_PEPPER) {
        float u = random_uniform(seed, STREAM_AUGMENT, params.step, params.draw, at);
        float other = KIND == SALT_AND_PEPPER && u < 0.5 * amount ? 1.0 : 0.0;
        y[i] = u < amount ? other : x[i];
    } else {
        y[i] = x[i] + amount * random_normal(seed, STREAM_AUGMENT, params.step, params.draw, at);
    }
}
