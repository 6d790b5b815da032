// no_device: the types of a backend without a device, which is enough to walk a model's parameters.
#pragma once
#include "backend.hpp"

namespace clipx::detail {

struct no_device {
  using scalar = float;
  using accum = float;
  using fast = nothing_fast;
};

}  // namespace clipx::detail
