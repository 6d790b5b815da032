// A decoded image in the mode of its file, as Pillow names them: resizing before converting to RGB depends on it (spec 6.2).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../core/mat.hpp"

namespace clipx {

/// Pillow's 1, L, LA, RGB, RGBA, P, CMYK and I;16.
enum class pixel_mode { bit, gray, gray_alpha, rgb, rgba, palette, cmyk, gray16 };

/// An image in memory.
struct image {
  pixel_mode mode = pixel_mode::rgb;  // how the bytes of a pixel are read
  dim width = 0, height = 0;          // in pixels
  /// Rows of pixels, bands interleaved, no padding. bit: a byte of 0 or 255; gray16: two bytes, low one first.
  std::vector<std::uint8_t> data;
  /// palette: 256 entries of RGBA.
  std::array<std::uint8_t, 1024> palette{};
  /// The file names a transparent color (bit, gray, rgb, gray16: key) or palette entries that are not opaque (palette).
  bool transparency = false;
  std::array<std::uint8_t, 3> key{};  // the transparent color, one value per band (gray16: low byte, high byte)

  /// Bytes of a pixel.
  dim bands() const {
    constexpr dim sizes[] = {1, 1, 2, 3, 4, 1, 4, 2};
    return sizes[static_cast<int>(mode)];
  }
  /// First byte of row y, from the top.
  const std::uint8_t* row(dim y) const { return data.data() + y * width * bands(); }
  std::uint8_t* row(dim y) { return data.data() + y * width * bands(); }  // first byte of row y, from the top
};

/// What every function that takes an image checks first. Errors, which begin with `who`: no mode of the list, a side below 1, data
/// whose size is not width x height x bands. Thread-safe.
void check_image(const image& img, const char* who);

/// An image without pixel values yet, in the memory of one that is no longer needed. Errors: a side below 1, more than 2^40 bytes.
image make_image(pixel_mode mode, dim width, dim height, image out = {});

/// As Pillow's convert("RGB"): alpha and transparent colors are dropped, 16-bit gray saturates, CMYK is unmixed. Errors: those of
/// check_image.
image to_rgb(const image& img);

/// As transformers' convert_to_rgb: images with alpha or a transparent color are put over white. Errors: those of
/// check_image.
image to_rgb_over_white(const image& img);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "image-inl.hpp"
#endif
