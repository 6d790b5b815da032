// The check of an image's size that every reader makes before it takes memory.
#pragma once
#include <string>

#include "../core/error.hpp"
#include "../core/mat.hpp"

namespace clipx::detail {

/// Errors: no pixels; more than `most`, which may be a small file that asks for much memory.
inline void expect_pixels(dim w, dim h, dim most, const std::string& name) {
  const auto message = [&] { return cat(name, ": ", w, " x ", h, " pixels; expected 1 to ", most); };
  expect(w > 0 && h > 0, error_kind::damaged, message);
  expect(w <= most / h, error_kind::unsupported, [&] { return message() + ", the limit of decode_options::most_pixels"; });
}

/// Of an error about an image's sides: those of a file may be longer than resizing takes.
inline error_kind side_kind(dim w, dim h) { return w > 0 && h > 0 ? error_kind::unsupported : error_kind::invalid_argument; }

}  // namespace clipx::detail
