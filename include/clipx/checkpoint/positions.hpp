// Position tables brought to another size, as open_clip does when it loads weights at another resolution (spec 3.1).
#pragma once
#include <span>
#include <vector>

#include "../core/mat.hpp"

namespace clipx {

/// An image tower's table (1 + from^2, width) to (1 + to^2, width): row 0 is kept, the grid is resampled bicubically (a = -0.5)
/// with antialiasing, in double.
std::vector<float> resize_image_positions(std::span<const float> table, dim from, dim to, dim width);

/// A text tower's table (from, width) to (to, width): linear, half-pixel centers, no antialiasing.
std::vector<float> resize_text_positions(std::span<const float> table, dim from, dim to, dim width);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "positions-inl.hpp"
#endif
