// The driver of all likelihoods. x, p (N, D):
//   SUMS       partial (N, chunks): one work item adds every chunks-th element of a row
//   GRADIENT   dp (N, D), times part_factors (N, chunks) if there are any; a work item has the same elements
// The including kernel defines   float nll(float x, float p)   and   float nll_gradient(float x, float p),
// and with HAS_SIGMA             float nll_sigma_gradient(float x, float p)   of a log scale in log_sigma[0].
layout(constant_id = 1) const bool GRADIENT = true;
layout(constant_id = 2) const bool SIGMA_GRADIENT = false;
layout(constant_id = 3) const bool SUMS = true;
layout(constant_id = 4) const bool PART_FACTORS = false;
layout(push_constant) uniform Push {
    uint count, width, chunks;
    float factor;
};
layout(set = 0, binding = 0) readonly restrict buffer X { float x_data[]; };
layout(set = 0, binding = 1) readonly restrict buffer P { float p_data[]; };
layout(set = 0, binding = 2) writeonly buffer Partial { float partial[]; };
layout(set = 0, binding = 3) writeonly buffer Dp { float dp[]; };
#ifdef HAS_SIGMA
layout(set = 0, binding = 4) readonly restrict buffer Sigma { float log_sigma[]; };
layout(set = 0, binding = 5) writeonly buffer SigmaPartial { float sigma_partial[]; };
layout(set = 0, binding = 6) readonly restrict buffer Parts { float part_factors[]; };
#else
layout(set = 0, binding = 4) readonly restrict buffer Parts { float part_factors[]; };
#endif

float nll(float x, float p);
float nll_gradient(float x, float p);
#ifdef HAS_SIGMA
float nll_sigma_gradient(float x, float p);
#endif

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint row = index / chunks;
    float total = 0.0, sigma_total = 0.0, gradient_factor = PART_FACTORS ? factor * part_factors[index] : factor;
    for (uint d = index % chunks; d < width; d += chunks) {
        uint at = row * width + d;
        float x = x_data[at], p = p_data[at];
        if (SUMS)
            total += nll(x, p);
        if (GRADIENT)
            dp[at] = gradient_factor * nll_gradient(x, p);
#ifdef HAS_SIGMA
        if (SIGMA_GRADIENT)
            sigma_total += nll_sigma_gradient(x, p);
#endif
    }
    if (SUMS)
        partial[index] = factor * total;
#ifdef HAS_SIGMA
    if (SIGMA_GRADIENT)
        sigma_partial[index] = factor * sigma_total;
#endif
}
