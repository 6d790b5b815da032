// Definitions of positions.hpp.
#pragma once
#include <algorithm>
#include <cmath>

#include "../core/error.hpp"
#include "../image/resize.hpp"
#include "positions.hpp"

namespace clipx {

CLIPX_INLINE std::vector<float> resize_image_positions(std::span<const float> table, const extent& from, const extent& to,
                                                       dim width, dim first) {
  resample_taps across, down;
  make_taps(filter::bicubic, from.width, to.width, 0, to.width, across);
  make_taps(filter::bicubic, from.height, to.height, 0, to.height, down);
  const auto weight = [](const resample_taps& t, dim i, dim j) { return t.w[static_cast<std::size_t>(i * t.width + j)]; };
  const auto lo = [](const resample_taps& t, dim i) { return static_cast<dim>(t.lo[static_cast<std::size_t>(i)]); };
  const auto n = [](const resample_taps& t, dim i) { return static_cast<dim>(t.n[static_cast<std::size_t>(i)]); };
  std::vector<float> out(table.begin(), table.begin() + first * width);
  std::vector<double> half(static_cast<std::size_t>(from.height * to.width * width));  // (from.height, to.width, width)
  for (dim y = 0; y < from.height; ++y)
    for (dim x = 0; x < to.width; ++x)
      for (dim j = 0; j < n(across, x); ++j)
        for (dim c = 0; c < width; ++c)
          half[static_cast<std::size_t>((y * to.width + x) * width + c)] +=
              weight(across, x, j) *
              static_cast<double>(table[static_cast<std::size_t>((first + y * from.width + lo(across, x) + j) * width + c)]);
  for (dim y = 0; y < to.height; ++y)
    for (dim x = 0; x < to.width; ++x)
      for (dim c = 0; c < width; ++c) {
        double sum = 0;
        for (dim j = 0; j < n(down, y); ++j)
          sum += weight(down, y, j) * half[static_cast<std::size_t>(((lo(down, y) + j) * to.width + x) * width + c)];
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
