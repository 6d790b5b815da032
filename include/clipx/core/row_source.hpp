// row_source: a table on the host whose rows are converted when they are read.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "mat.hpp"

namespace clipx {

/// A table in host memory in another type than the device's, in a mapped file for example: of a vocabulary of 256,000 tokens a
/// batch of texts uses few. Thread-safe.
struct row_source {
  const void* table = nullptr;                                       // must outlive this
  dim row_bytes = 0;                                                 // of a row
  void (*convert)(const void* row, std::span<float> out) = nullptr;  // nullptr: there is no table
  explicit operator bool() const { return convert != nullptr; }      // whether there is one
  /// The rows of these indices, (ids, width).
  std::vector<float> read(std::span<const std::int32_t> ids, dim width) const {
    std::vector<float> out(ids.size() * static_cast<std::size_t>(width));
    for (std::size_t i = 0, n = static_cast<std::size_t>(width); i < ids.size(); ++i)
      convert(static_cast<const char*>(table) + ids[i] * row_bytes, std::span(out).subspan(i * n, n));
    return out;
  }
};

}  // namespace clipx
