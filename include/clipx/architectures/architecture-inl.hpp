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
CLIPX_INLINE extent shape_reader::image_of(const std::string& table, dim rows, const extent& patch) {
  const dim n = side(rows);
  if (n * n != rows - 1)
    issues().add(cat(table, ": ", rows - 1,
                     " patches make no square, so that the image's size cannot be inferred from shapes: open a ",
                     "folder with open_clip_config.json, not the file alone"));
  return {n * patch.height, n * patch.width};
}

}  // namespace clipx
