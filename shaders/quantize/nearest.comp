// code[m] = the lowest k with the least |e_k|^2 - 2 z_m . e_k, which is |z_m - e_k|^2 but for |z_m|^2. One row a work
// item.
//   dots (M, K) = z e^T, squares (K) = |e_k|^2 -> codes (M)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, columns; }; // M, K
layout(set = 0, binding = 0) readonly restrict buffer Dots { float dots[]; };
layout(set = 0, binding = 1) readonly restrict buffer Squares { float squares[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Codes { uint codes[]; };

void main() {
    uint m = global_index();
    if (m >= count)
        return;
    uint nearest = 0;
    float least = squares[0] - 2.0 * dots[m * columns];
    for (uint k = 1; k < columns; k++) {
        float distance = squares[k] - 2.0 * dots[m * columns + k];
        if (distance < least) {
            least = distance;
            nearest = k;
        }
    }
    codes[m] = nearest;
}
