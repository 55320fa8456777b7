// 3x3 convolutions of stride 1 with a third of the products, as a rival of the GEMM tiles.
#pragma once

#include "ops/gemm.hpp"

namespace vkvae {

// y (batch, oh, ow, o) = sum over r, s, channels of x (batch, h, w, c) w (3, 3, c, o).
struct Winograd {
    uint32_t batch, h, w, c;
    uint32_t oh, ow, o;
    int32_t pad_top, pad_left;
};

// Where it stands among the kernels that can do such a convolution on this device in this precision.
Rival winograd_rival(const Caps& caps, const Winograd& s, bool f16);

// The chosen rival's dispatches. `turned`: the weight is (3, 3, o, c) and turned by half a turn, for an input gradient.
void lower_winograd(Lowering& l, const Gemm& gemm, const Winograd& s, bool turned, Tensor x, Tensor w, Tensor bias,
                    Tensor y, const std::string& name);

} // namespace vkvae
