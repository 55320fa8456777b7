// y = act(x), or dx = dy act'(x).
//
// variants: activation | activation_gradient -DGRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/index.glsl"

layout(constant_id = 1) const uint ACTIVATION = 0;
layout(push_constant) uniform Push { uint count; };

#ifdef GRADIENT
layout(set = 0, binding = 0) readonly restrict buffer Dy { float dy[]; };
layout(set = 0, binding = 1) readonly restrict buffer X { float x[]; }; // y again if the derivative needs only y
layout(set = 0, binding = 2) readonly restrict buffer Y { float y[]; };
layout(set = 0, binding = 3) writeonly restrict buffer Dx { float dx[]; };

void main() {
    uint i = global_index();
    if (i < count)
        dx[i] = dy[i] * activate_derivative(ACTIVATION, x[i], y[i]);
}
#else
layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = global_index();
    if (i < count)
        y[i] = activate(ACTIVATION, x[i]);
}
#endif
