// x[n,d] = data[indices[slot,n], d], bytes scaled to [0,1]; with dynamic binarisation a Bernoulli draw of that value,
// new for every step.
//   data (count, D) u8 or f32, indices (slots, N), x (N, D)
//
// variants: gather_u8 -DBYTES | gather_f32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/random.glsl"
#include "common/step.glsl"

const uint BINARIZE_NONE = 0, BINARIZE_DYNAMIC = 1;
layout(constant_id = 1) const uint BINARIZE = 0;
layout(push_constant) uniform Push { uint count, rows, width; };
#ifdef BYTES
layout(set = 0, binding = 0) readonly restrict buffer Data { uint data[]; };
#else
layout(set = 0, binding = 0) readonly restrict buffer Data { float data[]; };
#endif
layout(set = 0, binding = 1) readonly restrict buffer Indices { uint indices[]; };
layout(set = 0, binding = 2) writeonly restrict buffer X { float x[]; };

void main() {
    uint i = global_index();
    if (i >= count)
        return;
    uint at = indices[params.slot * rows + i / width] * width + i % width;
#ifdef BYTES
    // byte / 255 rounded correctly, for all 256: devices may divide less exactly. 1/255 = 257/2^16 + 1/(255 2^16), and
    // the first product is exact.
    float byte = float((data[at / 4] >> (8 * (at % 4))) & 0xffu);
    precise float large = byte * (257.0 / 65536.0), small = byte * (1.0 / 16711680.0), value = large + small;
#else
    float value = data[at];
#endif
    if (BINARIZE == BINARIZE_DYNAMIC) {
        float u = random_uniform(uvec2(params.seed_lo, params.seed_hi), STREAM_BINARIZE, params.step, params.draw,
                                 params.element_base + i);
        value = u < value ? 1.0 : 0.0;
    }
    x[i] = value;
}
