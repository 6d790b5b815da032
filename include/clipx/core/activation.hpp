// Activation functions of the towers.
#pragma once

namespace clipx {

enum class activation { relu, gelu, quick_gelu };  // gelu is the erf form; quick_gelu is x * sigmoid(1.702 x)

}  // namespace clipx
