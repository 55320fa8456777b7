// y[i,k] = 1 where k = x[i], else 0. x (M) tokens or codes, y (M, V); a work item has one number of y.
//
// variants: one_hot | one_hot_codes -DCODES
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

#ifdef CODES
#define TYPE uint
#else
#define TYPE float
#endif
layout(push_constant) uniform Push { uint count, classes; };
layout(set = 0, binding = 0) readonly restrict buffer X { TYPE x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = x[i / classes] == TYPE(i % classes) ? 1.0 : 0.0;
}
