// The moving frequencies of codes, and how each code moves, in one workgroup. Math: runtime/ops/quantize.cpp.
//   counts (K) of this step, frequencies (K) in place -> rates (K): code = rate.x code + rate.y (sum of its z);
//   (1, 0): it stays; (0, -1): it starts again
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "common/workgroup_sum.glsl"

layout(push_constant) uniform Push { // K; 1 / M; decay, 1 - decay; epsilon / M; of dead codes; whether averages move
    uint codes;
    float per_position, decay, gain, smoothing, least;
    uint moves;
};
layout(set = 0, binding = 0) readonly restrict buffer Counts { float counts[]; };
layout(set = 0, binding = 1) restrict buffer Frequencies { float frequencies[]; };
layout(set = 0, binding = 2) readonly restrict buffer Control { float control[]; }; // of optimizers: [1] = 0, no update
layout(set = 0, binding = 3) writeonly restrict buffer Rates { vec2 rates[]; };

float after(uint k) { return decay * frequencies[k] + gain * per_position * counts[k]; }

void main() {
    bool stay = control[1] == 0.0;
    vec2 mine = vec2(0.0);
    for (uint k = gl_LocalInvocationID.x; k < codes; k += gl_WorkGroupSize.x)
        mine += vec2(frequencies[k], after(k));
    vec2 total = workgroup_sum(mine);
    vec2 shrink = total / (total + float(codes) * smoothing); // Laplace smoothing keeps the total
    for (uint k = gl_LocalInvocationID.x; k < codes; k += gl_WorkGroupSize.x) {
        float frequency = after(k);
        vec2 smoothed = (vec2(frequencies[k], frequency) + smoothing) * shrink;
        bool dead = frequency < least;
        vec2 rate = dead ? vec2(0.0, -1.0)
                  : moves != 0 ? vec2(decay * smoothed.x, gain * per_position) / smoothed.y : vec2(1.0, 0.0);
        rates[k] = stay ? vec2(1.0, 0.0) : rate;
        if (!stay)
            frequencies[k] = dead ? 1.0 / float(codes) : frequency;
    }
}
