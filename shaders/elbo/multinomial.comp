// Multinomial likelihood of rows of counts x with logits l, all (N, D); t is a row's total, s its log sum e^l.
//   ROWS       rows (N, 2): s and t of each row, one row a work item
//   PARTS      partial (N, chunks): nll = sum_d x_d (s - l_d) + log x_d! - log t!; a work item has every chunks-th d
//   GRADIENT   dl (N, D) = t softmax(l) - x, times part_factors (N, chunks) if there are any
//
// variants: multinomial_rows -DROWS | multinomial
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/activation.glsl"
#include "common/gamma.glsl"
#include "common/index.glsl"

layout(set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(set = 0, binding = 1) readonly restrict buffer L { float logits[]; };
#ifdef ROWS
layout(push_constant) uniform Push { uint count, width; };
layout(set = 0, binding = 2) writeonly restrict buffer Rows { float rows[]; };

void main() {
    uint row = global_index();
    if (row >= count)
        return;
    float largest = logits[row * width], powers = 0.0, total = 0.0;
    for (uint i = row * width; i < (row + 1) * width; i++)
        largest = max(largest, logits[i]);
    for (uint i = row * width; i < (row + 1) * width; i++) {
        powers += exp(logits[i] - largest);
        total += x[i];
    }
    rows[2 * row] = largest + log(powers);
    rows[2 * row + 1] = total;
}
#else
layout(constant_id = 1) const bool GRADIENT = true;
layout(constant_id = 2) const bool SUMS = true;
layout(constant_id = 3) const bool PART_FACTORS = false;
layout(push_constant) uniform Push {
    uint count, width, chunks;
    float factor;
};
layout(set = 0, binding = 2) readonly restrict buffer Rows { float rows[]; };
layout(set = 0, binding = 3) writeonly buffer Partial { float partial[]; };
layout(set = 0, binding = 4) writeonly buffer Dl { float dl[]; };
layout(set = 0, binding = 5) readonly restrict buffer Parts { float part_factors[]; };

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint row = index / chunks;
    float log_sum = rows[2 * row], total = rows[2 * row + 1], nll = 0.0;
    float gradient_factor = PART_FACTORS ? factor * part_factors[index] : factor;
    for (uint d = index % chunks; d < width; d += chunks) {
        uint at = row * width + d;
        if (SUMS)
            nll += x[at] * (log_sum - logits[at]) + log_factorial(x[at]);
        if (GRADIENT)
            dl[at] = gradient_factor * (total * exp(logits[at] - log_sum) - x[at]);
    }
    if (SUMS)
        partial[index] = factor * (index % chunks == 0 ? nll - log_factorial(total) : nll);
}
#endif
