// Resampling with the same bits as Pillow: 22-bit fixed-point weights, one axis after the other, rounded to 8 bits in between
// (docs/clip.md section 6.3). Only the window that a crop keeps is computed.
#pragma once
#include "../core/resampler.hpp"
#include "image.hpp"

namespace clipx {

/// Pillow's filters of these names, which average when they reduce.
enum class filter { bicubic, bilinear };

/// The longest side that an image may have to be resized: weights take 48 bytes per row and column.
constexpr dim longest_side = 1 << 20;

/// Weights for the outputs [first, first + count) of an axis; replaces the contents of `taps`.
void make_taps(filter f, dim in, dim out, dim first, dim count, resample_taps& taps);

/// Plain loops: the reference for every other resampler.
resampler plain_resampler();
/// Those of a backend that has its own, else the plain ones.
template <class B>
resampler resampler_of() {
  if constexpr (B::fast::pixels_resampler) return B::pixels_resampler();
  else return plain_resampler();
}

/// Pillow 13 chooses by the sizes whether rows or columns are resampled first; older versions differ on tall images.
constexpr bool vertical_first(dim in_width, dim in_height, dim out_width, dim out_height) {
  return out_height < in_height && in_height - out_height > 2 * (in_width - out_width);
}

/// What a band of a pixel is: a byte; the whole pixel of an image of mode gray16, int32 or float32.
enum class sample_type { u8, u16, i32, f32 };

/// A view of pixels, possibly of a part of a larger image.
struct pixel_view {
  const std::uint8_t* data;              // first byte of the top row
  dim width, height, bands, stride;      // bands: bytes per pixel; stride: bytes from one row to the next
  sample_type sample = sample_type::u8;  // what a band is
};
/// Temporary memory of a resize; a caller that keeps it saves allocations.
struct resize_scratch {
  resample_taps columns, rows;     // weights of both axes
  std::vector<std::uint8_t> half;  // the image after the first axis
};

/// A rectangle of pixels.
struct window_of {
  dim x, y, w, h;  // left, top, width and height
};

/// The window (x, y, w, h) of the image resized to width x height, in its own mode: nearest for palettes and 1-bit images,
/// alpha premultiplied and divided out again, gray of more than 8 bits in double. Errors: those of check_image, a side of the image
/// above longest_side, a size below 1 x 1, a window outside the result.
image resize(const image& img, dim width, dim height, filter f, const window_of& window,
             const resampler& loops = plain_resampler());
/// The same for independent bands (no palette, no alpha), to out: rows without padding. The caller ensures that the memory of
/// `image` and `out` is large enough; the sizes are checked as above.
void resize(const pixel_view& img, dim width, dim height, filter f, const window_of& window, std::uint8_t* out,
            resize_scratch& scratch, const resampler& loops = plain_resampler());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "resize-inl.hpp"
#endif
