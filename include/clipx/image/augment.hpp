// Images changed at random for training, with torchvision's recipes and Pillow's pixels: a crop resized to n x n, a flip,
// colors. What is drawn is a plan; carrying it out has no chance in it.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "../core/random.hpp"
#include "image.hpp"
#include "resize.hpp"

namespace clipx {

/// What may be done to an image; the defaults are open_clip's, which knows no `coarse`.
struct augmentation {
  double scale_min = 0.9, scale_max = 1;                // of the image's area, for the crop
  double ratio_min = 3.0 / 4.0, ratio_max = 4.0 / 3;    // its width over its height, evenly on a logarithmic scale
  double flip = 0;                                      // probability that left and right change places
  double jitter = 0;                                    // probability that brightness .. hue are changed, in an order drawn
  double brightness = 0, contrast = 0, saturation = 0;  // x: by a factor from [max(0, 1 - x), 1 + x]
  double hue = 0;                                       // x: turned by [-x, x], where 1 is once around
  double gray = 0;                                      // probability that the colors go
  double coarse = 0;                                    // probability that details go: the crop is first made small
  double coarse_min = 0.25;                             // of the final side, the least that it is then made
};

/// Errors: a scale or coarse_min outside (0, 1], a ratio outside [1/64, 64], ends in the wrong order, no probability, a factor
/// above 64, a hue above 1/2.
void check_augmentation(const augmentation& options);

/// One change of the colors.
struct color_step {
  enum kind { brightness, contrast, saturation, hue } what = brightness;  // the adjustment of that name in torchvision
  double by = 1;                                                          // a factor, or turns
};

/// What is done to one image.
struct augment_plan {
  window_of crop{0, 0, 0, 0};          // the part of the image that is kept, in pixels
  double side = 1;                     // of n, that the crop is resized to before it gets n; 1: at once
  bool flip = false, gray = false;     // whether the result is mirrored, and then made gray
  int steps = 0;                       // number of color changes
  std::array<color_step, 4> colors{};  // the first `steps` of them
};

/// Draws a plan for an image of width x height: torchvision's RandomResizedCrop (ten tries, then the middle), flip, ColorJitter,
/// grayscale; a coarse image's side evenly from [coarse_min, 1]. Uses the draws 0 to 63. Errors: a side below 1.
augment_plan plan_augment(const augmentation& options, dim width, dim height, const draws& draw);

/// Carries it out on an RGB image: crop, resize to n x n (of a coarse one twice), flip, colors, gray. out: (n n, 3) bytes.
/// Errors: those of check_image, an image that is not RGB, a crop that does not lie in it, an n that is not from 1 to
/// longest_side.
void augment(const image& rgb, const augment_plan& plan, dim n, filter f, std::uint8_t* out, resize_scratch& scratch,
             const resampler& loops = plain_resampler());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "augment-inl.hpp"
#endif
