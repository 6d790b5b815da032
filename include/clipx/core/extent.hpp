// extent: height and width.
#pragma once
#include <string>

#include "mat.hpp"

namespace clipx {

/// Height and width of an image, of a patch (both in pixels) or of a grid (in cells). A number stands for a square of that side:
/// `extent size = 224`; {224, 448} is twice as wide as high.
struct extent {
  dim height = 0, width = 0;  // from top to bottom, from left to right

  constexpr extent() = default;
  /// A square.
  constexpr extent(dim side) : height(side), width(side) {}
  /// h high and w wide.
  constexpr extent(dim h, dim w) : height(h), width(w) {}

  constexpr dim area() const { return height * width; }                                            // pixels or cells
  constexpr bool square() const { return height == width; }                                        // whether one number says it
  constexpr dim shorter() const { return height < width ? height : width; }                        // the smaller of both
  constexpr dim longer() const { return height < width ? width : height; }                         // the larger of both
  constexpr bool within(dim low, dim high) const { return shorter() >= low && longer() <= high; }  // whether both are in a range
  /// How many of these fit, in each direction. The caller ensures that the other is not 0.
  friend constexpr extent operator/(const extent& a, const extent& b) { return {a.height / b.height, a.width / b.width}; }
  friend bool operator==(const extent&, const extent&) = default;
};

/// For messages: "224" for a square, else "224 x 448", the height first.
inline std::string text_of(const extent& e) {
  return e.square() ? std::to_string(e.height) : std::to_string(e.height) + " x " + std::to_string(e.width);
}
/// The same with both sides, where a shape is meant: "224 x 224".
inline std::string sides_of(const extent& e) { return std::to_string(e.height) + " x " + std::to_string(e.width); }

}  // namespace clipx
