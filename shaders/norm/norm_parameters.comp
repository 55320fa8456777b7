// dgamma = sum dy xhat, dbeta = sum dy: adds the pictures' sums.
//   sums (rows, 2, C) -> dgamma (C), dbeta (C)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/index.glsl"

layout(push_constant) uniform Push { uint count, rows; }; // count = C
layout(set = 0, binding = 0) readonly restrict buffer Sums { float sums[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Dgamma { float dgamma[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Dbeta { float dbeta[]; };

void main() {
    uint c = global_index();
    if (c >= count)
        return;
    float sum = 0.0, sum_xhat = 0.0;
    for (uint row = 0; row < rows; row++) {
        sum += sums[2 * row * count + c];
        sum_xhat += sums[(2 * row + 1) * count + c];
    }
    dgamma[c] = sum_xhat;
    dbeta[c] = sum;
}
