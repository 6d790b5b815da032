// Definitions of resize.hpp.
#pragma once
#include <algorithm>
#include <cmath>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image-inl.hpp"
#include "resize.hpp"

namespace clipx {
namespace detail {

inline double filter_value(filter f, double x) {
  x = std::abs(x);
  if (f == filter::bilinear) return x < 1 ? 1 - x : 0;
  constexpr double a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

constexpr int resample_bits = 22;

inline void plain_horizontal(const std::uint8_t* in, dim in_stride, dim rows, dim bands, const resample_taps& t,
                             std::uint8_t* out) {
  for (dim r = 0; r < rows; ++r, in += in_stride)
    for (dim i = 0; i < t.size(); ++i)
      for (dim b = 0; b < bands; ++b) {
        const auto at = static_cast<std::size_t>(i);
        const std::uint8_t* p = in + t.lo[at] * bands + b;
        const std::int32_t* k = t.k.data() + i * t.width;
        std::int32_t sum = 1 << (resample_bits - 1);
        for (dim j = 0; j < t.n[at]; ++j) sum += p[j * bands] * k[j];
        *out++ = static_cast<std::uint8_t>(std::clamp(sum >> resample_bits, 0, 255));
      }
}

inline void plain_vertical(const std::uint8_t* in, dim in_stride, dim origin, dim row_bytes, const resample_taps& t,
                           std::uint8_t* out) {
  for (dim i = 0; i < t.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::uint8_t* p = in + (t.lo[at] - origin) * in_stride;
    const std::int32_t* k = t.k.data() + i * t.width;
    for (dim x = 0; x < row_bytes; ++x) {
      std::int32_t sum = 1 << (resample_bits - 1);
      for (dim j = 0; j < t.n[at]; ++j) sum += p[j * in_stride + x] * k[j];
      *out++ = static_cast<std::uint8_t>(std::clamp(sum >> resample_bits, 0, 255));
    }
  }
}

/// Pillow's nearest filter: the coordinate is accumulated, which affects the last bits (docs/clip.md section 6.2).
inline std::vector<dim> nearest_indices(dim in, dim out, dim first, dim count) {
  std::vector<dim> index;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  double at = scale * 0.5;
  for (dim i = 0; i < first + count; ++i, at += scale)
    if (i >= first) index.push_back(std::min(static_cast<dim>(at), in - 1));
  return index;
}

inline void check_resize(dim in_width, dim in_height, dim width, dim height, const window_of& w) {
  expect(width > 0 && height > 0, [&] { return cat("resize: expected a size of at least 1 x 1, got ", width, " x ", height); });
  expect(in_width > 0 && in_height > 0 && in_width <= longest_side && in_height <= longest_side, side_kind(in_width, in_height),
         [&] { return cat("resize: ", in_width, " x ", in_height, " pixels; expected sides of 1 to ", longest_side); });
  expect(w.x >= 0 && w.y >= 0 && w.w > 0 && w.h > 0 && w.x <= width - w.w && w.y <= height - w.h, [&] {
    return cat("resize: a window of ", w.w, " x ", w.h, " at ", w.x, ", ", w.y, " does not lie in a result of ", width, " x ",
               height);
  });
}

inline image resize_nearest(const image& p, dim width, dim height, const window_of& win) {
  const auto xs = nearest_indices(p.width, width, win.x, win.w), ys = nearest_indices(p.height, height, win.y, win.h);
  image out = make_image(p.mode, win.w, win.h);
  auto* to = out.data.data();
  for (dim y : ys)
    for (dim x : xs) *to++ = p.row(y)[x];
  return out;
}

/// The range of rows or columns that these taps read.
inline std::pair<dim, dim> range_of(const resample_taps& t) {
  dim lo = t.lo[0], hi = 0;
  for (std::size_t i = 0; i < t.lo.size(); ++i) {
    lo = std::min<dim>(lo, t.lo[i]);
    hi = std::max<dim>(hi, t.lo[i] + t.n[i]);
  }
  return {lo, hi};
}

inline sample_type sample_of(pixel_mode m) {
  switch (m) {
    case pixel_mode::gray16:
      return sample_type::u16;
    case pixel_mode::int32:
      return sample_type::i32;
    case pixel_mode::float32:
      return sample_type::f32;
    default:
      return sample_type::u8;
  }
}

inline double wide_value(const std::uint8_t* at, sample_type s) {
  if (s == sample_type::u16) return at[0] | at[1] << 8;
  return s == sample_type::i32 ? static_cast<double>(value_at<std::int32_t>(at)) : static_cast<double>(value_at<float>(at));
}
/// Rounds half away from zero, as Pillow does, and clamps.
inline void put_wide(double x, sample_type s, std::uint8_t* to) {
  if (s == sample_type::f32) {
    const auto value = static_cast<float>(x);
    std::memcpy(to, &value, 4);
    return;
  }
  const double whole = x >= 0 ? std::floor(x + 0.5) : -std::floor(-x + 0.5);
  const auto value = static_cast<std::int32_t>(s == sample_type::u16 ? std::clamp(whole, 0.0, 65535.0)
                                                                     : std::clamp(whole, -2147483648.0, 2147483647.0));
  if (s == sample_type::i32) {
    std::memcpy(to, &value, 4);
    return;
  }
  to[0] = static_cast<std::uint8_t>(value & 255);
  to[1] = static_cast<std::uint8_t>(value >> 8);
}

/// Gray of more than 8 bits: weights in double, rounded after each axis. `step`: bytes from one input of a sum to the next.
inline void resample_wide(const std::uint8_t* in, dim stride, dim step, dim n, const resample_taps& t, std::uint8_t* out,
                          dim out_stride, dim out_step, sample_type s) {
  for (dim i = 0; i < t.size(); ++i)
    for (dim r = 0; r < n; ++r) {
      const auto at = static_cast<std::size_t>(i);
      double sum = 0;
      for (dim j = 0; j < t.n[at]; ++j) {
        const auto* p = in + r * stride + (t.lo[at] + j) * step;
        sum += wide_value(p, s) * t.w[static_cast<std::size_t>(i * t.width + j)];
      }
      put_wide(sum, s, out + r * out_stride + i * out_step);
    }
}

inline pixel_view part(const pixel_view& p, dim x, dim y, dim w, dim h) {
  return {p.data + y * p.stride + x * p.bands, w, h, p.bands, p.stride, p.sample};
}
/// Resamples every row of an image.
inline void resample_rows(const pixel_view& p, const resample_taps& t, const resampler& loops, std::uint8_t* out) {
  const dim b = p.bands;
  if (p.sample != sample_type::u8) resample_wide(p.data, p.stride, b, p.height, t, out, t.size() * b, b, p.sample);
  else loops.horizontal(p.data, p.stride, p.height, p.bands, t, out);
}
/// Resamples every column of an image whose first row counts as row `origin`.
inline void resample_columns(const pixel_view& p, dim origin, const resample_taps& t, const resampler& loops, std::uint8_t* out) {
  const dim b = p.bands;
  const auto* first = p.data - origin * p.stride;
  if (p.sample != sample_type::u8) resample_wide(first, b, p.stride, p.width, t, out, b, p.width * b, p.sample);
  else loops.vertical(p.data, p.stride, origin, p.width * p.bands, t, out);
}

inline image multiply_alpha(const image& p) {
  image out = p;
  const dim b = p.bands();
  for (std::uint8_t* at = out.data.data(); at != out.data.data() + out.data.size(); at += b)
    for (dim i = 0; i + 1 < b; ++i) at[i] = mul_div_255(at[i], at[b - 1]);
  return out;
}
inline void divide_alpha(image& p) {
  const dim b = p.bands();
  for (std::uint8_t* at = p.data.data(); at != p.data.data() + p.data.size(); at += b)
    if (const unsigned a = at[b - 1]; a != 0 && a != 255)
      for (dim i = 0; i + 1 < b; ++i) at[i] = static_cast<std::uint8_t>(std::min(255u, 255u * at[i] / a));
}
}  // namespace detail

CLIPX_INLINE resampler plain_resampler() { return {detail::plain_horizontal, detail::plain_vertical}; }

CLIPX_INLINE void make_taps(filter f, dim in, dim out, dim first, dim count, resample_taps& t) {
  const double scale = static_cast<double>(in) / static_cast<double>(out), wide = std::max(scale, 1.0);
  const double support = (f == filter::bicubic ? 2.0 : 1.0) * wide;
  t.width = static_cast<dim>(std::ceil(support)) * 2 + 1;
  t.lo.clear();
  t.n.clear();
  t.k.assign(static_cast<std::size_t>(count * t.width), 0);
  t.w.assign(t.k.size(), 0);
  for (dim i = 0; i < count; ++i) {
    const double center = (static_cast<double>(first + i) + 0.5) * scale;
    const dim lo = std::max<dim>(0, static_cast<dim>(center - support + 0.5));
    const dim hi = std::min(in, static_cast<dim>(center + support + 0.5));
    double* w = t.w.data() + i * t.width;
    double sum = 0;
    for (dim j = 0; j < hi - lo; ++j)
      sum += w[j] = detail::filter_value(f, (static_cast<double>(j + lo) - center + 0.5) * (1.0 / wide));
    for (dim j = 0; j < hi - lo; ++j) {
      if (sum != 0) w[j] /= sum;
      const double fixed = w[j] * (1 << detail::resample_bits);
      t.k[static_cast<std::size_t>(i * t.width + j)] = static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
    t.lo.push_back(static_cast<std::int32_t>(lo));
    t.n.push_back(static_cast<std::int32_t>(hi - lo));
  }
}

CLIPX_INLINE void resize(const pixel_view& in, dim width, dim height, filter f, const window_of& win, std::uint8_t* out,
                         resize_scratch& scratch, const resampler& loops) {
  detail::check_resize(in.width, in.height, width, height, win);
  expect(in.data && out && in.bands > 0 && in.stride >= in.width * in.bands, [&] {
    return cat("resize: rows of ", in.width, " pixels of ", in.bands, " bytes do not fit in a stride of ", in.stride);
  });
  auto &columns = scratch.columns, &rows = scratch.rows;
  if (width != in.width) make_taps(f, in.width, width, win.x, win.w, columns);
  if (height != in.height) make_taps(f, in.height, height, win.y, win.h, rows);
  const auto half = [&](dim w, dim h) {
    scratch.half.resize(static_cast<std::size_t>(w * h * in.bands));
    return pixel_view{scratch.half.data(), w, h, in.bands, w * in.bands, in.sample};
  };
  if (width == in.width && height == in.height) {
    for (dim y = 0; y < win.h; ++y)
      std::copy_n(in.data + (win.y + y) * in.stride + win.x * in.bands, win.w * in.bands, out + y * win.w * in.bands);
  } else if (width == in.width) {
    detail::resample_columns(detail::part(in, win.x, 0, win.w, in.height), 0, rows, loops, out);
  } else if (height == in.height) {
    detail::resample_rows(detail::part(in, 0, win.y, in.width, win.h), columns, loops, out);
  } else if (vertical_first(in.width, in.height, width, height)) {
    const auto [from, to] = detail::range_of(columns);
    const auto between = half(to - from, win.h);
    detail::resample_columns(detail::part(in, from, 0, to - from, in.height), 0, rows, loops, scratch.half.data());
    for (auto& lo : columns.lo) lo -= static_cast<std::int32_t>(from);
    detail::resample_rows(between, columns, loops, out);
  } else {
    const auto [from, to] = detail::range_of(rows);
    const auto between = half(win.w, to - from);
    detail::resample_rows(detail::part(in, 0, from, in.width, to - from), columns, loops, scratch.half.data());
    detail::resample_columns(between, from, rows, loops, out);
  }
}

CLIPX_INLINE image resize(const image& p, dim width, dim height, filter f, const window_of& win, const resampler& loops) {
  check_image(p, "resize");
  detail::check_resize(p.width, p.height, width, height, win);
  if ((p.mode == pixel_mode::palette || p.mode == pixel_mode::bit) && (width != p.width || height != p.height)) {
    image out = detail::resize_nearest(p, width, height, win);
    out.palette = p.palette;
    return out;
  }
  const bool alpha = (p.mode == pixel_mode::rgba || p.mode == pixel_mode::gray_alpha) && (width != p.width || height != p.height);
  const image multiplied = alpha ? detail::multiply_alpha(p) : image{};
  const image& in = alpha ? multiplied : p;
  image out = make_image(p.mode, win.w, win.h);
  resize_scratch scratch;
  resize({in.data.data(), p.width, p.height, p.bands(), p.width * p.bands(), detail::sample_of(p.mode)}, width, height, f, win,
         out.data.data(), scratch, loops);
  out.palette = p.palette;
  if (alpha) detail::divide_alpha(out);
  return out;
}

}  // namespace clipx
