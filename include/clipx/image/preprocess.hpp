// From an image to the input of the image tower (docs/clip.md section 6): open_clip resizes in the file's own mode, crops and
// then converts to RGB; Hugging Face converts first. EXIF orientation is ignored, as by both, unless decode_options asks for it.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../core/extent.hpp"
#include "decode.hpp"
#include "frame.hpp"
#include "image.hpp"
#include "resize.hpp"

namespace clipx {

/// How an image gets its size: it is resized until it covers that size, and the rest is cropped (of a square: its shorter side is
/// resized); both sides are resized; or it is resized until it fits in, and the rest is filled.
enum class resize_mode { shortest, squash, longest };
/// Whose order of steps is followed: open_clip's or Hugging Face's.
enum class pipeline { open_clip, hf };

/// What is done to an image before the image tower; the defaults are those of OpenAI's models.
struct preprocess_config {
  extent size = 224;                           // of the result in pixels; a number is a square's side
  dim resize_to = 0;                           // shorter side before the crop; 0: as the size asks
  resize_mode resize = resize_mode::shortest;  // how an image gets that size
  /// Of the resize; `shortest` to a size that is not square is always bicubic in open_clip's order, as there.
  filter interpolation = filter::bicubic;
  pipeline order = pipeline::open_clip;  // of resize, crop and conversion to RGB
  /// Of R, G and B in 0 .. 1: the mean is subtracted, then std divides.
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f}, std{0.26862954f, 0.26130258f, 0.27577711f};
  std::uint8_t fill = 0;    // of every band in the image's own mode, around a `longest` image
  decode_options decode{};  // of files
  bool operator==(const preprocess_config&) const = default;
};

/// Resized, cropped or padded, and converted to RGB, of the configured size. Errors: those of check_image, sizes outside 1 ..
/// longest_side, a side that would be 0.
image to_pixels(const image& img, const preprocess_config& config, const resampler& loops = plain_resampler());

/// The same for a frame. RGB, BGR and gray frames whose rows go down are resampled where they are, without a copy; the others
/// become an image first (to_image), whose errors are added.
image to_pixels(const frame& f, const preprocess_config& config, const resampler& loops = plain_resampler());

/// 8-bit RGB pixels (H W, 3), H and W those of config.size, to float32 (3, H W): (v / 255 - mean) / std, in this order. Errors: not
/// 3 H W values.
void to_tensor(std::span<const std::uint8_t> rgb, const preprocess_config& config, float* chw);

/// From an image file in memory to pixels (H W, 3); `name` is used in errors.
std::vector<std::uint8_t> read_pixels(std::span<const std::byte> file, const std::string& name, const preprocess_config& config,
                                      const resampler& loops = plain_resampler());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "preprocess-inl.hpp"
#endif
