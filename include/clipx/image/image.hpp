// A decoded image in the mode of its file, with Pillow's modes: a resize before conversion to RGB depends on it.
// See docs/clip.md section 6.2.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../core/error.hpp"
#include "../core/mat.hpp"

namespace clipx {

/// Pillow's 1, L, LA, RGB, RGBA, P, CMYK, I;16, I and F.
enum class pixel_mode { bit, gray, gray_alpha, rgb, rgba, palette, cmyk, gray16, int32, float32 };

/// An image in memory.
struct image {
  pixel_mode mode = pixel_mode::rgb;  // how the bytes of a pixel are read
  dim width = 0, height = 0;          // in pixels
  /// Rows of pixels, bands interleaved, no padding. bit: one byte of 0 or 255; gray16: two bytes, little-endian;
  /// int32 and float32: four bytes, in the machine's order.
  std::vector<std::uint8_t> data;
  /// For `palette`: 256 RGBA entries.
  std::array<std::uint8_t, 1024> palette{};
  /// The file has a transparent color (bit, gray, rgb, gray16: key) or palette entries that are not opaque (palette).
  bool transparency = false;
  std::array<std::uint8_t, 3> key{};  // the transparent color, one value per band (gray16: low byte, high byte)

  /// Bytes per pixel.
  dim bands() const {
    constexpr dim sizes[] = {1, 1, 2, 3, 4, 1, 4, 2, 4, 4};
    return sizes[static_cast<int>(mode)];
  }
  /// First byte of row y, from the top.
  const std::uint8_t* row(dim y) const { return data.data() + y * width * bands(); }
  std::uint8_t* row(dim y) { return data.data() + y * width * bands(); }  // first byte of row y, from the top
};

/// The check that every function that takes an image begins with. Errors, which start with `who`: an unknown mode, a side below
/// 1, data whose size is not width x height x bands. Thread-safe.
void check_image(const image& img, const char* who);

/// An image with unspecified pixel values, in the memory of `out` if that suffices.
/// Errors: a side below 1, more than 2^40 bytes.
image make_image(pixel_mode mode, dim width, dim height, image out = {});

/// As Pillow's convert("RGB"): alpha and transparent colors are dropped, gray of more than 8 bits saturates, CMYK is converted.
/// Errors: those of check_image.
image to_rgb(const image& img);

/// As transformers' convert_to_rgb: images with alpha or a transparent color are composited over white.
/// Errors: those of check_image.
image to_rgb_over_white(const image& img);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "image-inl.hpp"
#endif
