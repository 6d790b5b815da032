// Definitions of positions.hpp.
#pragma once
#include <algorithm>
#include <cmath>

#include "../core/error.hpp"
#include "../image/resize.hpp"
#include "positions.hpp"

namespace clipx {

CLIPX_INLINE std::vector<float> resize_image_positions(std::span<const float> table, dim from, dim to, dim width) {
  resample_taps taps;
  make_taps(filter::bicubic, from, to, 0, to, taps);
  const auto weight = [&](dim i, dim j) { return taps.w[static_cast<std::size_t>(i * taps.width + j)]; };
  const auto lo = [&](dim i) { return static_cast<dim>(taps.lo[static_cast<std::size_t>(i)]); };
  const auto n = [&](dim i) { return static_cast<dim>(taps.n[static_cast<std::size_t>(i)]); };
  std::vector<float> out(table.begin(), table.begin() + width);
  std::vector<double> half(static_cast<std::size_t>(from * to * width));  // (from, to, width)
  for (dim y = 0; y < from; ++y)
    for (dim x = 0; x < to; ++x)
      for (dim j = 0; j < n(x); ++j)
        for (dim c = 0; c < width; ++c)
          half[static_cast<std::size_t>((y * to + x) * width + c)] +=
              weight(x, j) * static_cast<double>(table[static_cast<std::size_t>((1 + y * from + lo(x) + j) * width + c)]);
  for (dim y = 0; y < to; ++y)
    for (dim x = 0; x < to; ++x)
      for (dim c = 0; c < width; ++c) {
        double sum = 0;
        for (dim j = 0; j < n(y); ++j) sum += weight(y, j) * half[static_cast<std::size_t>(((lo(y) + j) * to + x) * width + c)];
        out.push_back(static_cast<float>(sum));
      }
  return out;
}

CLIPX_INLINE std::vector<float> resize_text_positions(std::span<const float> table, dim from, dim to, dim width) {
  std::vector<float> out;
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  for (dim i = 0; i < to; ++i) {
    const double at = std::max(0.0, (static_cast<double>(i) + 0.5) * scale - 0.5);
    const dim low = std::min(static_cast<dim>(at), from - 1), high = std::min(low + 1, from - 1);
    const double w = at - static_cast<double>(low);
    for (dim c = 0; c < width; ++c)
      out.push_back(static_cast<float>((1 - w) * static_cast<double>(table[static_cast<std::size_t>(low * width + c)]) +
                                       w * static_cast<double>(table[static_cast<std::size_t>(high * width + c)])));
  }
  return out;
}

}  // namespace clipx
