// The inner loops of image resampling, which a backend may replace;
// image/resize.hpp has the plain ones and defines what they compute.
#pragma once
#include <cstdint>
#include <vector>

#include "mat.hpp"

namespace clipx {

/// Weights for a range of outputs along one axis: output i reads inputs [lo[i], lo[i] + n[i]) with weights k[i width + j].
struct resample_taps {
  std::vector<std::int32_t> lo, n;                          // first input of each output, and their number
  std::vector<std::int32_t> k;                              // 22-bit fixed point
  std::vector<double> w;                                    // the same before rounding, for 16-bit images
  dim width = 0;                                            // the most taps of any output
  dim size() const { return static_cast<dim>(lo.size()); }  // number of outputs
};

/// Loops on 8-bit bands: out = clamp((2^21 + sum in k) >> 22, 0, 255) in 32-bit integers.
struct resampler {
  /// in (rows, in_width, bands) -> out (rows, taps.size(), bands).
  void (*horizontal)(const std::uint8_t* in, dim in_stride, dim rows, dim bands, const resample_taps& taps, std::uint8_t* out);
  /// in (.., row_bytes), whose row 0 is input row `origin` -> out (taps.size(), row_bytes).
  void (*vertical)(const std::uint8_t* in, dim in_stride, dim origin, dim row_bytes, const resample_taps& taps, std::uint8_t* out);
};

}  // namespace clipx
