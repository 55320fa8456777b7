// x[n,d] = data[indices[slot,n], d], bytes scaled to [0,1]; with dynamic binarisation a Bernoulli draw of that value,
// new for every step.
//   data (count, D) u8 or f32, indices (slots, N), x (N, D)
//
// With QUADS a work item has four neighbours; D is a multiple of 4.
//
// variants: gather_u8 -DBYTES | gather_f32 | gather_u8_quads -DBYTES -DQUADS | gather_f32_quads -DQUADS
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"
#include "common/random.glsl"
#include "common/step.glsl"

const uint BINARIZE_NONE = 0, BINARIZE_DYNAMIC = 1;
layout(constant_id = 1) const uint BINARIZE = 0;
layout(push_constant) uniform Push { uint count, rows, width; };
#ifdef QUADS
#define Value vec4
const uint WIDTH = 4;
#else
#define Value float
const uint WIDTH = 1;
#endif
layout(set = 0, binding = 1) readonly restrict buffer Indices { uint indices[]; };
layout(set = 0, binding = 2) writeonly restrict buffer X { Value x[]; };

#ifdef BYTES
layout(set = 0, binding = 0) readonly restrict buffer Data { uint data[]; };
Value load(uint at) {
    uint word = data[at / 4];
#ifdef QUADS
    Value byte = Value(uvec4(word, word >> 8, word >> 16, word >> 24) & 0xffu);
#else
    Value byte = Value(word >> 8 * (at % 4) & 0xffu);
#endif
    // byte / 255 rounded correctly, for all 256: devices may divide less exactly. 1/255 = 257/2^16 + 1/(255 2^16), and
    // the first product is exact.
    precise Value large = byte * (257.0 / 65536.0), small = byte * (1.0 / 16711680.0), value = large + small;
    return value;
}
#else
layout(set = 0, binding = 0) readonly restrict buffer Data { Value data[]; };
Value load(uint at) { return data[at / WIDTH]; }
#endif

float draw(uint element, float probability) {
    float u = random_uniform(uvec2(params.seed_lo, params.seed_hi), STREAM_BINARIZE, params.step, params.draw,
                             params.element_base + element);
    return u < probability ? 1.0 : 0.0;
}

void main() {
    uint item = global_index();
    if (item >= count / WIDTH)
        return;
    uint columns = width / WIDTH, row = item / columns, column = item - row * columns;
    Value value = load(indices[params.slot * rows + row] * width + column * WIDTH);
    if (BINARIZE == BINARIZE_DYNAMIC)
#ifdef QUADS
        value = vec4(draw(4 * item, value.x), draw(4 * item + 1, value.y), draw(4 * item + 2, value.z),
                     draw(4 * item + 3, value.w));
#else
        value = draw(item, value);
#endif
    x[item] = value;
}
