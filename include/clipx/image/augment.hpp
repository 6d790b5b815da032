// Random augmentation for training, with torchvision's recipes and Pillow's pixels: a crop resized to the size of the result, a
// flip, colors. All random choices are in the plan; carrying it out is deterministic.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "../core/extent.hpp"
#include "../core/random.hpp"
#include "image.hpp"
#include "resize.hpp"

namespace clipx {

/// What may be done to an image. The defaults are those of open_clip, which has no `coarse`.
struct augmentation {
  double scale_min = 0.9, scale_max = 1;                // of the crop's area, relative to the image's
  double ratio_min = 3.0 / 4.0, ratio_max = 4.0 / 3;    // width over height of the crop, uniform on a logarithmic scale
  double flip = 0;                                      // probability of a horizontal flip
  double jitter = 0;                                    // probability of changing brightness .. hue, in random order
  double brightness = 0, contrast = 0, saturation = 0;  // x: by a factor from [max(0, 1 - x), 1 + x]
  double hue = 0;                                       // x: rotated by [-x, x], where 1 is a full turn
  double gray = 0;                                      // probability of conversion to gray
  double coarse = 0;                                    // probability of losing detail: the crop is first resized to a smaller size
  double coarse_min = 0.25;                             // smallest such size, as a fraction of the final one
};

/// Errors: a scale or coarse_min outside (0, 1], a ratio outside [1/64, 64], a minimum above its maximum, a probability outside
/// [0, 1], a factor above 64, a hue above 1/2.
void check_augmentation(const augmentation& options);

/// One change of the colors.
struct color_step {
  enum kind { brightness, contrast, saturation, hue } what = brightness;  // the adjustment of that name in torchvision
  double by = 1;                                                          // a factor, or turns
};

/// What is done to one image.
struct augment_plan {
  window_of crop{0, 0, 0, 0};          // the part of the image that is kept, in pixels
  double side = 1;                     // fraction of the size to which the crop is resized before; 1: directly
  bool flip = false, gray = false;     // whether the result is mirrored, and then made gray
  int steps = 0;                       // number of color changes
  std::array<color_step, 4> colors{};  // the first `steps` of them count
};

/// Draws a plan for an image of width x height: torchvision's RandomResizedCrop (ten tries, then the central crop), flip,
/// ColorJitter, grayscale; the side of a coarse image is uniform on [coarse_min, 1]. Uses draws 0 to 63.
/// Errors: a side below 1.
augment_plan plan_augment(const augmentation& options, dim width, dim height, const draws& draw);

/// Carries out a plan on an RGB image: crop, resize to the size, H x W (a coarse image twice), flip, colors, gray. out: (H W, 3)
/// bytes. Errors: those of check_image, an image that is not RGB, a crop outside the image, a side outside 1 .. longest_side.
void augment(const image& rgb, const augment_plan& plan, const extent& size, filter f, std::uint8_t* out, resize_scratch& scratch,
             const resampler& loops = plain_resampler());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "augment-inl.hpp"
#endif
