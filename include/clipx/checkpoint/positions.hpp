// Resampling of position tables, as open_clip does when it loads weights at another resolution (docs/clip.md section 3.2).
#pragma once
#include <span>
#include <vector>

#include "../core/extent.hpp"

namespace clipx {

/// Resamples an image tower's table for a grid, (first + h w, width), to that of another: the first rows are kept, the grid is
/// resampled bicubically (a = -0.5) with antialiasing, in double. timm's resample_abs_pos_embed is the same.
std::vector<float> resize_image_positions(std::span<const float> table, const extent& from, const extent& to, dim width,
                                          dim first = 1);

/// Resamples a text tower's table (from, width) to (to, width): linear, half-pixel centers, no antialiasing.
std::vector<float> resize_text_positions(std::span<const float> table, dim from, dim to, dim width);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "positions-inl.hpp"
#endif
