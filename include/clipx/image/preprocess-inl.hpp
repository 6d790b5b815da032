// Definitions of preprocess.hpp.
#pragma once
#include <algorithm>
#include <cmath>

#include "../core/error.hpp"
#include "decode.hpp"
#include "frame.hpp"
#include "preprocess.hpp"
#include "resize-inl.hpp"

namespace clipx {
namespace detail {

/// Offset of a center crop: torchvision rounds half to even, transformers rounds down.
inline dim crop_offset(dim excess, pipeline order) {
  if (order == pipeline::hf || excess % 2 == 0) return excess / 2;
  const dim down = excess / 2;
  return down + down % 2;
}

/// Shorter side n; the longer one n long / short, rounded down.
inline std::pair<dim, dim> shortest_size(dim w, dim h, dim n) {
  if (w <= h) return {n, n * h / w};
  return {n * w / h, n};
}

inline dim round_half_even(double x) { return static_cast<dim>(std::nearbyint(x)); }

/// How often the size goes into an image, from top to bottom and from left to right.
struct ratios {
  double height, width;
  ratios(dim w, dim h, const extent& size)
      : height(static_cast<double>(h) / static_cast<double>(size.height)),
        width(static_cast<double>(w) / static_cast<double>(size.width)) {}
};
/// Width and height divided by the ratio, rounded half to even.
inline std::pair<dim, dim> divided(dim w, dim h, double ratio) {
  return {round_half_even(static_cast<double>(w) / ratio), round_half_even(static_cast<double>(h) / ratio)};
}

/// As large as fits in, then padded to the size in the image's own mode.
inline image fit_longest(const image& p, const preprocess_config& c, const resampler& loops) {
  const ratios r(p.width, p.height, c.size);
  const auto [w, h] = divided(p.width, p.height, std::max(r.height, r.width));
  expect(w > 0 && h > 0, error_kind::unsupported, [&] {
    return cat("an image of ", p.width, " x ", p.height, " pixels (width x height) has none left in one of ", c.size.width, " x ",
               c.size.height);
  });
  const image small = resize(p, w, h, c.interpolation, {0, 0, w, h}, loops);
  image out = make_image(small.mode, c.size.width, c.size.height);
  out.palette = small.palette;
  std::fill(out.data.begin(), out.data.end(), small.mode == pixel_mode::bit && c.fill ? std::uint8_t{255} : c.fill);
  if (small.mode == pixel_mode::gray16)  // only the low byte
    for (std::size_t i = 1; i < out.data.size(); i += 2) out.data[i] = 0;
  for (std::size_t i = 0; sample_of(small.mode) >= sample_type::i32 && i < out.data.size(); i += 4)
    put_wide(c.fill, sample_of(small.mode), &out.data[i]);
  const dim left = (c.size.width - w) / 2, top = (c.size.height - h) / 2;
  for (dim y = 0; y < h; ++y) std::copy_n(small.row(y), w * small.bands(), out.row(top + y) + left * small.bands());
  return out;
}

/// What an image is resized to, how, and the window that a crop keeps of it.
struct placement {
  dim width, height;
  filter interpolation;
  window_of window;
};
inline placement placement_of(dim width, dim height, const preprocess_config& c) {
  const auto [H, W] = c.size;
  if (c.resize == resize_mode::squash) return {W, H, c.interpolation, {0, 0, W, H}};
  const bool covers = !c.size.square() && !c.resize_to && c.order == pipeline::open_clip;  // open_clip's ResizeKeepRatio
  const ratios r(width, height, c.size);
  const auto [w, h] = covers ? divided(width, height, std::min(r.height, r.width))
                             : shortest_size(width, height, c.resize_to ? c.resize_to : c.size.longer());
  expect(w >= W && h >= H,
         [&, w = w, h = h] { return cat("preprocess: a crop of ", text_of(c.size), " does not fit in ", w, " x ", h); });
  return {w, h, covers ? filter::bicubic : c.interpolation, {crop_offset(w - W, c.order), crop_offset(h - H, c.order), W, H}};
}
inline void check_sizes(const preprocess_config& c) {
  expect(c.size.within(1, longest_side) && c.resize_to >= 0 && c.resize_to <= longest_side, [&] {
    return cat("to_pixels: expected a size of 1 to ", longest_side, " and resize_to from 0, got ", text_of(c.size), " and ",
               c.resize_to);
  });
}
}  // namespace detail

CLIPX_INLINE image to_pixels(const image& img, const preprocess_config& c, const resampler& loops) {
  check_image(img, "to_pixels");
  detail::check_sizes(c);
  const bool first = c.order == pipeline::hf && img.mode != pixel_mode::rgb;
  const bool keyed = c.order == pipeline::hf && img.transparency;
  const image converted = first || keyed ? to_rgb_over_white(img) : image{};
  const image& p = first || keyed ? converted : img;
  if (c.resize == resize_mode::longest) return to_rgb(detail::fit_longest(p, c, loops));
  const auto to = detail::placement_of(p.width, p.height, c);
  return to_rgb(resize(p, to.width, to.height, to.interpolation, to.window, loops));
}

CLIPX_INLINE image to_pixels(const frame& f, const preprocess_config& c, const resampler& loops) {
  const auto in = view_of(f);
  if (c.resize == resize_mode::longest || !in.data) return to_pixels(to_image(f), c, loops);
  detail::check_sizes(c);
  const auto to = detail::placement_of(f.width, f.height, c);
  image out = make_image(in.bands == 1 ? pixel_mode::gray : pixel_mode::rgb, to.window.w, to.window.h);
  resize_scratch scratch;
  resize(in, to.width, to.height, to.interpolation, to.window, out.data.data(), scratch, loops);  // each band by itself
  if (f.format == frame_format::bgr)
    for (std::size_t i = 0; i < out.data.size(); i += 3) std::swap(out.data[i], out.data[i + 2]);
  return to_rgb(out);
}

CLIPX_INLINE void to_tensor(std::span<const std::uint8_t> rgb, const preprocess_config& c, float* chw) {
  expect(c.size.within(1, longest_side) && static_cast<dim>(rgb.size()) == 3 * c.size.area(),
         [&] { return cat("to_tensor: expected 3 x ", sides_of(c.size), " values, got ", rgb.size()); });
  const std::size_t n = rgb.size() / 3;
  for (std::size_t band = 0; band < 3; ++band) {
    std::array<float, 256> value;
    for (int v = 0; v < 256; ++v)
      value[static_cast<std::size_t>(v)] = (static_cast<float>(v) / 255.0f - c.mean[band]) / c.std[band];
    for (std::size_t i = 0; i < n; ++i) chw[band * n + i] = value[rgb[3 * i + band]];
  }
}

CLIPX_INLINE std::vector<std::uint8_t> read_pixels(std::span<const std::byte> file, const std::string& name,
                                                   const preprocess_config& c, const resampler& loops) {
  const image img = decode_image(file, name, {}, c.decode);
  try {
    return to_pixels(img, c, loops).data;
  } catch (const error& e) { throw e.in(name); }
}

}  // namespace clipx
