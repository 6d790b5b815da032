// From an image to what the image tower sees (spec 6.1): open_clip resizes in the file's own mode, crops and converts; Hugging
// Face converts first. EXIF orientation is ignored, as by both.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "frame.hpp"
#include "image.hpp"
#include "resize.hpp"

namespace clipx {

enum class resize_mode { shortest, squash, longest };
enum class pipeline { open_clip, hf };

struct preprocess_config {
  dim size = 224;     // pixels a side of the result
  dim resize_to = 0;  // shortest side before the crop; 0: size
  resize_mode resize = resize_mode::shortest;
  filter interpolation = filter::bicubic;
  pipeline order = pipeline::open_clip;
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f}, std{0.26862954f, 0.26130258f, 0.27577711f};
  std::uint8_t fill = 0;  // of every band of the image's own mode, around a `longest` image
  bool operator==(const preprocess_config&) const = default;
};

/// Resized, cropped or padded, and converted: RGB, size x size. Errors: those of check_image, sizes that are not from 1 to
/// longest_side, a side that would be 0.
image to_pixels(const image& img, const preprocess_config& config, const resampler& loops = plain_resampler());

/// The same for a frame. RGB, BGR and gray frames whose rows go down are resampled where they are, without a copy; the others
/// become an image first (to_image), whose errors are added.
image to_pixels(const frame& f, const preprocess_config& config, const resampler& loops = plain_resampler());

/// 8-bit RGB pixels (n n, 3), n = config.size, to (3, n n) float32: (v / 255 - mean) / std, in that order. Errors: not 3 n n
/// values.
void to_tensor(std::span<const std::uint8_t> rgb, const preprocess_config& config, float* chw);

/// An encoded file in memory to pixels (n n, 3); `name` stands in errors.
std::vector<std::uint8_t> read_pixels(std::span<const std::byte> file, const std::string& name, const preprocess_config& config,
                                      const resampler& loops = plain_resampler());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "preprocess-inl.hpp"
#endif
