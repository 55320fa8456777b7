// Whether this step's gradients may be used, and by what they are multiplied, in one workgroup:
//
//   partial (count): sums of squares of the gradients times the loss scale -> control (4): sum of squares of the gradients;
//   factor that undoes the scale and clips, 0 if weights must stay as they are; loss scale; 1 if the step is skipped
//
// halted = 1 from the first norm or loss on that is an infinity or NaN, and the factor is 0 ever after. With SCALED a norm
// that is not finite may come from the scale alone: the step is skipped and the scale halved. After GROWTH_STEPS steps
// without that it is doubled. Micikevicius et al. 2017, "Mixed Precision Training"; numbers as in PyTorch's GradScaler.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const bool SCALED = false;
#include "common/step.glsl"
#include "common/workgroup_sum.glsl"

layout(push_constant) uniform Push { uint count, has_loss; };
layout(set = 0, binding = 0) readonly restrict buffer Partial { float partial[]; };
layout(set = 0, binding = 1) readonly restrict buffer Loss { float loss[]; };
layout(set = 0, binding = 2) writeonly restrict buffer Control { vec4 control[]; };
layout(set = 0, binding = 3) restrict buffer Halted { uint halted[]; };
layout(set = 0, binding = 4) restrict buffer Scaler { float scaler[]; }; // scale, steps since it changed, skipped steps

const float GROWTH_STEPS = 2000.0, LARGEST = 16777216.0, SMALLEST = 1.0 / 65536.0;

// Tested on the bits: isnan may be optimised out.
bool finite(float x) { return (floatBitsToUint(x) & 0x7f800000u) != 0x7f800000u; }

void main() {
    float mine = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < count; i += gl_WorkGroupSize.x)
        mine += partial[i];
    float scaled_squares = workgroup_sum(vec2(mine, 0.0)).x;
    if (gl_LocalInvocationID.x != 0)
        return;
    float scale = SCALED ? scaler[0] : 1.0;
    float squares = scaled_squares / (scale * scale);
    bool bad_norm = !finite(squares), bad_loss = has_loss != 0 && !finite(loss[0]);
    bool skipped = SCALED && halted[0] == 0 && bad_norm && !bad_loss && scale > SMALLEST;
    if (skipped) {
        scaler[0] = 0.5 * scale;
        scaler[1] = 0.0;
        scaler[2] += 1.0;
    } else if (bad_norm || bad_loss) {
        halted[0] = 1;
    } else if (SCALED && halted[0] == 0) {
        bool grow = scaler[1] + 1.0 >= GROWTH_STEPS;
        scaler[0] = grow ? min(2.0 * scale, LARGEST) : scale;
        scaler[1] = grow ? 0.0 : scaler[1] + 1.0;
    }
    // PyTorch's clip_grad_norm_.
    float clip = params.clip_norm > 0.0 ? min(1.0, params.clip_norm / (sqrt(squares) + 1e-6)) : 1.0;
    bool stay = skipped || halted[0] != 0;
    control[0] = vec4(squares, stay ? 0.0 : clip / scale, scale, skipped ? 1.0 : 0.0);
}
