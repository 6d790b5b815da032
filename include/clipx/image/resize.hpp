// Resampling as Pillow does it, to the bit: fixed-point weights of 22 bits, one axis after the other, rounded to 8 bits between
// (spec 6.3). Only the window that a crop keeps is computed.
#pragma once
#include "../core/resampler.hpp"
#include "image.hpp"

namespace clipx {

/// Pillow's filters of these names, which average when they reduce.
enum class filter { bicubic, bilinear };

/// An image is resized from sides of at most that: weights take 48 bytes for each row and column.
constexpr dim longest_side = 1 << 20;

/// Weights of the outputs [first, first + count) of an axis, in place of what `taps` held.
void make_taps(filter f, dim in, dim out, dim first, dim count, resample_taps& taps);

/// Plain loops: what every other resampler is compared with.
resampler plain_resampler();

/// Pillow 13 resamples rows or columns first depending on the sizes; older versions differ on tall images.
constexpr bool vertical_first(dim in_width, dim in_height, dim out_width, dim out_height) {
  return out_height < in_height && in_height - out_height > 2 * (in_width - out_width);
}

/// Pixels that lie somewhere, in an image perhaps that they are a part of.
struct pixel_view {
  const std::uint8_t* data;          // first byte of the top row
  dim width, height, bands, stride;  // bands: bytes of a pixel, stride: bytes from one row to the next
  bool wide = false;                 // gray16
};
/// What a resize needs on the way: kept by the caller, it is taken from the heap once.
struct resize_scratch {
  resample_taps columns, rows;     // weights of both axes
  std::vector<std::uint8_t> half;  // the image after the first axis
};

/// A rectangle of pixels.
struct window_of {
  dim x, y, w, h;  // left, top, width and height
};

/// The window (x, y, w, h) of the image resized to width x height, in its own mode: nearest for palettes and 1-bit images,
/// alpha multiplied in and out again, 16-bit gray in double. Errors: those of check_image, a side of the image above
/// longest_side, a size below 1 x 1, a window that does not lie in the result.
image resize(const image& img, dim width, dim height, filter f, const window_of& window,
             const resampler& loops = plain_resampler());
/// The same for bands that are resampled each by itself (no palette, no alpha), to out: rows without gaps. The caller
/// answers for the memory behind `image` and `out`; its sizes are checked as above.
void resize(const pixel_view& img, dim width, dim height, filter f, const window_of& window, std::uint8_t* out,
            resize_scratch& scratch, const resampler& loops = plain_resampler());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "resize-inl.hpp"
#endif
