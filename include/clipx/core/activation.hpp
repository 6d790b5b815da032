// Activation functions of the towers.
#pragma once

namespace clipx {

/// gelu is the erf form; quick_gelu is x sigmoid(1.702 x); silu is x sigmoid(x), for gates; gelu_tanh is the form with tanh, x (1 +
/// tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016; PyTorch's GELU with
/// approximate="tanh").
enum class activation { relu, gelu, quick_gelu, gelu_tanh, silu };

}  // namespace clipx
