// What changes every step. The C++ side is StepParams in vkvae/graph.hpp; std140, one slot of a ring.
layout(set = 1, binding = 0, std140) uniform StepParams {
    uint step;
    uint seed_lo, seed_hi;
    uint slot;         // position in the rings of indices and statistics
    float lr;
    float bias1, bias2; // 1 - beta1^t, 1 - beta2^t
    float beta;
    float clip_norm;
    uint element_base;
    uint draw; // which of several draws for the same element
    float capacity;    // of the KL term
} params;
