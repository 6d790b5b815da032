// Definitions of frame.hpp.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "../core/error.hpp"
#include "frame.hpp"
#include "image-inl.hpp"

namespace clipx {
namespace detail {

constexpr dim longest_frame_side = dim{1} << 30;  // no product of sides and bands overflows

inline dim frame_bands(frame_format f) {
  switch (f) {
    case frame_format::rgb:
    case frame_format::bgr:
      return 3;
    case frame_format::rgba:
    case frame_format::bgra:
      return 4;
    case frame_format::gray:
    case frame_format::nv12:  // its luma
      return 1;
  }
  fail("to_image: expected a known frame_format");
}

/// Throws unless a stride, which may be negative, holds `needed` bytes and no row of `rows` lies farther off than an address
/// reaches.
inline void expect_stride(const char* name, dim stride, dim needed, dim rows) {
  const dim most = std::numeric_limits<dim>::max() / rows;
  expect((stride >= needed && stride <= most) || (stride <= -needed && stride >= -most), [&] {
    return cat("to_image: expected a ", name, " of ", needed, " to ", most, " bytes, or as many below 0, got ", stride);
  });
}

/// Y, U and V to RGB with 16 fractional bits: R = y (Y - low) + rv (V - 128), G = .. - gu (U - 128) - gv (V - 128),
/// B = .. + bu (U - 128).
struct yuv_to_rgb {
  std::int32_t low, y, rv, gu, gv, bu;
  explicit yuv_to_rgb(frame_matrix m) {
    expect(m >= frame_matrix::bt601 && m <= frame_matrix::bt709_full, "to_image: expected a known frame_matrix");
    const bool full = m == frame_matrix::bt601_full || m == frame_matrix::bt709_full;
    const bool hd = m == frame_matrix::bt709 || m == frame_matrix::bt709_full;
    // the weights of red and blue in luma (BT.601-7 section 2.5.1, BT.709-6 section 3.2)
    const double red = hd ? 0.2126 : 0.299, blue = hd ? 0.0722 : 0.114, green = 1 - red - blue;
    const double luma = full ? 1 : 255.0 / 219, chroma = full ? 2 : 2 * 255.0 / 224;
    const auto fixed = [](double x) { return static_cast<std::int32_t>(std::lround(x * 65536)); };
    low = full ? 0 : 16;
    y = fixed(luma);
    rv = fixed(chroma * (1 - red));
    bu = fixed(chroma * (1 - blue));
    gv = fixed(chroma * (1 - red) * red / green);
    gu = fixed(chroma * (1 - blue) * blue / green);
  }
  void operator()(int Y, int U, int V, std::uint8_t* rgb) const {
    const std::int32_t l = (Y - low) * y + 32768, u = U - 128, v = V - 128;
    const auto byte = [](std::int32_t x) { return static_cast<std::uint8_t>(std::clamp(x >> 16, 0, 255)); };
    rgb[0] = byte(l + rv * v);
    rgb[1] = byte(l - gu * u - gv * v);
    rgb[2] = byte(l + bu * u);
  }
};

inline void nv12_to_rgb(const frame& f, dim stride, image& out) {
  const dim needed = (f.width + 1) / 2 * 2, as_luma = stride == f.width ? needed : stride;
  const dim chroma_stride = f.chroma_stride == 0 ? as_luma : f.chroma_stride;
  expect(f.chroma || stride > 0, "to_image: expected the chroma of an nv12 frame with a negative stride, got none");
  expect_stride("chroma_stride", chroma_stride, needed, f.height);
  const auto* chroma = f.chroma ? f.chroma : f.data + stride * f.height;
  const yuv_to_rgb convert(f.matrix);
  for (dim y = 0; y < f.height; ++y) {
    const auto *luma = f.data + y * stride, *uv = chroma + y / 2 * chroma_stride;
    auto* to = out.row(y);
    for (dim x = 0; x < f.width; ++x) convert(luma[x], uv[x / 2 * 2], uv[x / 2 * 2 + 1], to + 3 * x);
  }
}

/// Bytes from one row to the next, once the frame is checked.
inline dim checked_stride(const frame& f) {
  const dim bands = frame_bands(f.format);
  expect(f.data != nullptr, "to_image: expected a frame with data, got none");
  expect(f.width >= 1 && f.height >= 1 && f.width <= longest_frame_side && f.height <= longest_frame_side,
         [&] { return cat("to_image: expected sides of 1 to ", longest_frame_side, ", got ", f.width, " x ", f.height); });
  const dim stride = f.stride == 0 ? f.width * bands : f.stride;
  expect_stride("stride", stride, f.width * bands, f.height);
  return stride;
}
}  // namespace detail

CLIPX_INLINE pixel_view view_of(const frame& f) {
  const dim stride = detail::checked_stride(f), bands = detail::frame_bands(f.format);
  if (bands == 4 || f.format == frame_format::nv12 || stride < 0) return {nullptr, f.width, f.height, bands, stride};
  return {f.data, f.width, f.height, bands, stride};
}

CLIPX_INLINE image to_image(const frame& f, image memory) {
  const dim stride = detail::checked_stride(f), bands = detail::frame_bands(f.format);
  const auto mode = bands == 4 ? pixel_mode::rgba : f.format == frame_format::gray ? pixel_mode::gray : pixel_mode::rgb;
  image out = make_image(mode, f.width, f.height, std::move(memory));
  if (f.format == frame_format::nv12) {
    detail::nv12_to_rgb(f, stride, out);
    return out;
  }
  const bool swapped = f.format == frame_format::bgr || f.format == frame_format::bgra;
  for (dim y = 0; y < f.height; ++y) {
    const auto* from = f.data + y * stride;
    auto* to = out.row(y);
    std::copy_n(from, f.width * bands, to);
    if (swapped)
      for (dim x = 0; x < f.width; ++x) std::swap(to[x * bands], to[x * bands + 2]);
  }
  return out;
}

}  // namespace clipx
