// Pillow's resampling of 8-bit bands: the sums are exact integers, so any order gives the same pixels.
#ifndef CLIPX_CPU_RESAMPLE_HPP
#define CLIPX_CPU_RESAMPLE_HPP
#include <clipx/core/resampler.hpp>

#include "family.hpp"

namespace clipx::detail {

class cpu_resample {
 public:
  /// Faster resampling loops with the same results, for to_pixels().
  static resampler pixels_resampler();
};

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

inline constexpr int resample_bits = 22;

/// One output byte in plain integer arithmetic: for edges, and images of one or two bands.
inline std::uint8_t resampled(const std::uint8_t* p, dim step, const std::int32_t* k, dim n) {
  std::int32_t sum = 1 << (resample_bits - 1);
  for (dim j = 0; j < n; ++j) sum += p[j * step] * k[j];
  return static_cast<std::uint8_t>(std::clamp(sum >> resample_bits, 0, 255));
}

#if HWY_TARGET != HWY_SCALAR
inline void horizontal(const std::uint8_t* in, dim in_stride, dim rows, dim bands, const resample_taps& t, std::uint8_t* out) {
  const hn::FixedTag<std::uint8_t, 4> d8;
  const hn::FixedTag<std::int32_t, 4> d32;
  std::uint8_t pixel[4] = {};
  for (dim r = 0; r < rows; ++r, in += in_stride)
    for (dim i = 0; i < t.size(); ++i, out += bands) {
      const auto at = static_cast<std::size_t>(i);
      const std::uint8_t* p = in + t.lo[at] * bands;
      const std::int32_t* k = t.k.data() + i * t.width;
      const dim n = t.n[at];
      if (bands < 3) {
        for (dim b = 0; b < bands; ++b) out[b] = resampled(p + b, bands, k, n);
        continue;
      }
      // A pixel is a vector. With three bands the fourth byte read belongs to the next pixel, and the fourth byte written is
      // overwritten with the next pixel: in all rows but the last, after which the memory may not be ours.
      auto sum = hn::Set(d32, 1 << (resample_bits - 1)), other = hn::Zero(d32);
      const auto tap = [&](dim j)
                           CLIPX_LANES { return hn::Mul(hn::PromoteTo(d32, hn::LoadU(d8, p + j * bands)), hn::Set(d32, k[j])); };
      const dim whole = r + 1 < rows ? n : n - 1;
      dim j = 0;
      for (; j + 2 <= whole; j += 2) {
        sum = hn::Add(sum, tap(j));
        other = hn::Add(other, tap(j + 1));
      }
      if (j < whole) sum = hn::Add(sum, tap(j++));
      if (j < n) {
        std::memcpy(pixel, p + j * bands, static_cast<std::size_t>(bands));
        sum = hn::Add(sum, hn::Mul(hn::PromoteTo(d32, hn::LoadU(d8, pixel)), hn::Set(d32, k[j])));
      }
      const auto result = hn::DemoteTo(d8, hn::ShiftRight<resample_bits>(hn::Add(sum, other)));
      if (r + 1 < rows) {
        hn::StoreU(result, d8, out);
      } else {
        hn::StoreU(result, d8, pixel);
        std::memcpy(out, pixel, static_cast<std::size_t>(bands));
      }
    }
}

#else
inline void horizontal(const std::uint8_t* in, dim in_stride, dim rows, dim bands, const resample_taps& t, std::uint8_t* out) {
  for (dim r = 0; r < rows; ++r, in += in_stride)
    for (dim i = 0; i < t.size(); ++i)
      for (dim b = 0; b < bands; ++b) {
        const auto at = static_cast<std::size_t>(i);
        *out++ = resampled(in + t.lo[at] * bands + b, bands, t.k.data() + i * t.width, t.n[at]);
      }
}
#endif

inline void vertical(const std::uint8_t* in, dim in_stride, dim origin, dim row_bytes, const resample_taps& t, std::uint8_t* out) {
  const hn::ScalableTag<std::int32_t> d32;
  const hn::Rebind<std::uint8_t, decltype(d32)> d8;
  for (dim i = 0; i < t.size(); ++i, out += row_bytes) {
    const auto at = static_cast<std::size_t>(i);
    const std::uint8_t* p = in + (t.lo[at] - origin) * in_stride;
    const std::int32_t* k = t.k.data() + i * t.width;
    dim x = 0;
    for (; x + 2 * lanes <= row_bytes; x += 2 * lanes) {
      auto low = hn::Set(d32, 1 << (resample_bits - 1)), high = low;
      for (dim j = 0; j < t.n[at]; ++j) {
        const auto weight = hn::Set(d32, k[j]);
        low = hn::Add(low, hn::Mul(hn::PromoteTo(d32, hn::LoadU(d8, p + j * in_stride + x)), weight));
        high = hn::Add(high, hn::Mul(hn::PromoteTo(d32, hn::LoadU(d8, p + j * in_stride + x + lanes)), weight));
      }
      hn::StoreU(hn::DemoteTo(d8, hn::ShiftRight<resample_bits>(low)), d8, out + x);
      hn::StoreU(hn::DemoteTo(d8, hn::ShiftRight<resample_bits>(high)), d8, out + x + lanes);
    }
    for (; x < row_bytes; ++x) out[x] = resampled(p + x, in_stride, k, t.n[at]);
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

CLIPX_INLINE resampler cpu_resample::pixels_resampler() {
  return {.horizontal = CLIPX_KERNEL(horizontal), .vertical = CLIPX_KERNEL(vertical)};
}

}  // namespace clipx::detail
#endif
