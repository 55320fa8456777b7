// The driver of likelihoods with `size` parameters for each element. x (N, D), p (N, D size), those of an element side by
// side:
//   SUMS       partial (N, chunks): one work item adds every chunks-th element of a row
//   GRADIENT   dp (N, D size), times part_factors (N, chunks) if there are any; a work item has the same elements
//   -DMEAN     y (N, D): the mean of p(x|p), or what stands for it
// The including kernel defines, of the element at hand, whose parameters are parameter(0), ... parameter(size - 1):
//   float nll(float x);  void nll_gradient(float x), which calls put(i, d nll / d parameter i) for each;  float mean();
layout(set = 0, binding = 0) readonly restrict buffer P { float p_data[]; };
uint first; // parameter of the element at hand
float parameter(uint i) { return p_data[first + i]; }

float mean();
#ifdef MEAN
layout(push_constant) uniform Push { uint count, size; };
layout(set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };
void put(uint i, float d) {}

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    first = index * size;
    y[index] = mean();
}
#else
layout(constant_id = 1) const bool GRADIENT = true;
layout(constant_id = 2) const bool SUMS = true;
layout(constant_id = 3) const bool PART_FACTORS = false;
layout(push_constant) uniform Push {
    uint count, width, chunks, size;
    float factor;
};
layout(set = 0, binding = 1) readonly restrict buffer X { float x_data[]; };
layout(set = 0, binding = 2) writeonly buffer Partial { float partial[]; };
layout(set = 0, binding = 3) writeonly buffer Dp { float dp[]; };
layout(set = 0, binding = 4) readonly restrict buffer Parts { float part_factors[]; };

float nll(float x);
void nll_gradient(float x);
float gradient_factor;
void put(uint i, float d) { dp[first + i] = gradient_factor * d; }

void main() {
    uint index = global_index();
    if (index >= count)
        return;
    uint row = index / chunks;
    float total = 0.0;
    gradient_factor = PART_FACTORS ? factor * part_factors[index] : factor;
    for (uint d = index % chunks; d < width; d += chunks) {
        uint at = row * width + d;
        first = at * size;
        if (SUMS)
            total += nll(x_data[at]);
        if (GRADIENT)
            nll_gradient(x_data[at]);
    }
    if (SUMS)
        partial[index] = factor * total;
}
#endif
