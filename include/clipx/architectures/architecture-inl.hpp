// Definitions of architecture.hpp.
#pragma once
#include <algorithm>
#include <cmath>

#include "architecture.hpp"

namespace clipx {

CLIPX_INLINE dim shape_reader::count(const std::string& prefix, const std::string& suffix) const {
  dim n = 0;
  while (has(cat(prefix, n, suffix))) ++n;
  return n;
}
CLIPX_INLINE dim shape_reader::side(dim rows) {
  return static_cast<dim>(std::lround(std::sqrt(static_cast<double>(std::max<dim>(rows - 1, 0)))));
}

}  // namespace clipx
