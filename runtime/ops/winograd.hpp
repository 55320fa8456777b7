// 3x3 convolutions of stride 1 with a third of the products.
#pragma once

#include "ops/gemm.hpp"

namespace vkvae {

// y (batch, oh, ow, o) = sum over r, s, channels of x (batch, h, w, c) w (3, 3, c, o).
struct Winograd {
    uint32_t batch, h, w, c;
    uint32_t oh, ow, o;
    int32_t pad_top, pad_left;
};

// Whether it can be, and whether that was measured to be faster.
bool can_winograd(const Caps& caps, const Winograd& s);
bool prefers_winograd(const Caps& caps, const Winograd& s, bool narrow);
// Whether it shall be: what the Lowering's Tuning says of it, or what is preferred. `name`: of the convolution;
// `narrow`: it reads 16 bits.
bool choose_winograd(Lowering& l, const std::string& name, const Winograd& s, bool narrow);

// `turned`: the weight is (3, 3, o, c) and turned by half a turn, for an input gradient.
void lower_winograd(Lowering& l, const std::string& name, const Winograd& s, bool turned, Tensor x, Tensor w,
                    Tensor bias, Tensor y);

} // namespace vkvae
