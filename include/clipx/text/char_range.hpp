// Ranges of characters, of which the generated tables consist.
#pragma once
#include <algorithm>
#include <span>

namespace clipx::detail {

struct char_range {
  char32_t first, last;
};

/// Whether one of some ranges, in order, holds a character.
inline bool in_ranges(std::span<const char_range> ranges, char32_t c) {
  const auto it = std::lower_bound(ranges.begin(), ranges.end(), c, [](const char_range& r, char32_t v) { return r.last < v; });
  return it != ranges.end() && it->first <= c;
}

}  // namespace clipx::detail
