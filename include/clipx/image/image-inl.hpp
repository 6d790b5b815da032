// Checks, and conversions to RGB with Pillow's integer arithmetic.
#pragma once
#include <algorithm>
#include <cstring>

#include "../core/error.hpp"
#include "image.hpp"

namespace clipx {

CLIPX_INLINE void check_image(const image& p, const char* who) {
  constexpr int modes = static_cast<int>(pixel_mode::float32) + 1;
  const int mode = static_cast<int>(p.mode);
  expect(mode >= 0 && mode < modes, [&] { return cat(who, ": expected a pixel_mode from 0 to ", modes - 1, ", got ", mode); });
  expect(p.width > 0 && p.height > 0,
         [&] { return cat(who, ": expected an image of at least 1 x 1, got ", p.width, " x ", p.height); });
  const dim have = static_cast<dim>(p.data.size());  // compared without a product of sizes, which could overflow
  expect(p.width <= have / p.height / p.bands() && p.width * p.height * p.bands() == have, [&] {
    return cat(who, ": expected ", p.width, " x ", p.height, " pixels of ", p.bands(), " bytes each, got ", have, " bytes of data");
  });
}

CLIPX_INLINE image make_image(pixel_mode mode, dim width, dim height, image out) {
  constexpr dim most_bytes = dim{1} << 40;
  out.mode = mode;
  out.width = width;
  out.height = height;
  out.transparency = false;
  expect(width > 0 && height > 0 && width <= most_bytes / height / out.bands(),
         [&] { return cat("make_image: expected sides of at least 1 and at most 2^40 bytes, got ", width, " x ", height); });
  out.data.resize(static_cast<std::size_t>(width * height * out.bands()));
  return out;
}

namespace detail {

/// a b / 255, rounded, for 8-bit a and b, as Pillow's MULDIV255.
inline std::uint8_t mul_div_255(unsigned a, unsigned b) {
  const unsigned t = a * b + 128;
  return static_cast<std::uint8_t>((t + (t >> 8)) >> 8);
}

/// The value of a pixel of several bytes, in the machine's order.
template <class T>
T value_at(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// One pixel as RGBA; alpha is 255 if the image has none.
inline std::array<std::uint8_t, 4> rgba_of(const image& p, const std::uint8_t* at) {
  switch (p.mode) {
    case pixel_mode::bit:
    case pixel_mode::gray:
      return {at[0], at[0], at[0], 255};
    case pixel_mode::gray_alpha:
      return {at[0], at[0], at[0], at[1]};
    case pixel_mode::rgb:
      return {at[0], at[1], at[2], 255};
    case pixel_mode::rgba:
      return {at[0], at[1], at[2], at[3]};
    case pixel_mode::palette: {
      const auto* entry = p.palette.data() + 4 * at[0];
      return {entry[0], entry[1], entry[2], entry[3]};
    }
    case pixel_mode::cmyk: {
      const unsigned nk = 255u - at[3];
      const auto channel = [&](unsigned c) { return static_cast<std::uint8_t>(nk - mul_div_255(c, nk)); };
      return {channel(at[0]), channel(at[1]), channel(at[2]), 255};
    }
    case pixel_mode::gray16: {
      const std::uint8_t v = at[1] ? 255 : at[0];
      return {v, v, v, 255};
    }
    case pixel_mode::int32: {
      const auto v = static_cast<std::uint8_t>(std::clamp(value_at<std::int32_t>(at), 0, 255));
      return {v, v, v, 255};
    }
    case pixel_mode::float32: {
      const float level = value_at<float>(at);  // NaN is 0
      const auto v = level >= 255 ? std::uint8_t{255} : level > 0 ? static_cast<std::uint8_t>(level) : std::uint8_t{0};
      return {v, v, v, 255};
    }
  }
  return {};
}

/// Composited over white, as by Pillow's alpha_composite with an opaque background.
inline std::uint8_t over_white(unsigned value, unsigned alpha) {
  const unsigned t = value * (alpha * 128) + 255 * (255 * 128 - alpha * 128) + (0x80 << 7);
  return static_cast<std::uint8_t>((((t >> 8) + t) >> 8) >> 7);
}

template <class Pixel>
image map_pixels(const image& p, Pixel&& f) {
  image out = make_image(pixel_mode::rgb, p.width, p.height);
  const dim bands = p.bands(), n = p.width * p.height;
  for (dim i = 0; i < n; ++i) {
    const auto c = f(rgba_of(p, p.data.data() + i * bands));
    std::copy_n(c.begin(), 3, out.data.begin() + 3 * i);
  }
  return out;
}
}  // namespace detail

CLIPX_INLINE image to_rgb(const image& p) {
  check_image(p, "to_rgb");
  if (p.mode == pixel_mode::rgb) return p;
  return detail::map_pixels(p, [](std::array<std::uint8_t, 4> c) { return c; });
}

CLIPX_INLINE image to_rgb_over_white(const image& p) {
  check_image(p, "to_rgb_over_white");
  const bool alpha = p.mode == pixel_mode::gray_alpha || p.mode == pixel_mode::rgba;
  if (!alpha && !p.transparency) return to_rgb(p);
  return detail::map_pixels(p, [&](std::array<std::uint8_t, 4> c) {
    if (!alpha && p.mode != pixel_mode::palette && c[0] == p.key[0] && c[1] == p.key[1] && c[2] == p.key[2]) c[3] = 0;
    for (std::size_t i = 0; i < 3; ++i) c[i] = detail::over_white(c[i], c[3]);
    return c;
  });
}

}  // namespace clipx
