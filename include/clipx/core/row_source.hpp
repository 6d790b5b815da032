// row_source: a table on the host whose rows are converted when they are read.
#pragma once
#include <span>

#include "mat.hpp"

namespace clipx {

/// A table in host memory in another type than float, in a mapped file for example: of a vocabulary of 256,000 tokens a batch of
/// texts uses few. Thread-safe.
struct row_source {
  const void* table = nullptr;                                       // must outlive this
  dim row_bytes = 0;                                                 // of a row
  void (*convert)(const void* row, std::span<float> out) = nullptr;  // nullptr: there is no table
  explicit operator bool() const { return convert != nullptr; }      // whether there is one
  /// Writes row r.
  void read(dim r, std::span<float> out) const { convert(static_cast<const char*>(table) + r * row_bytes, out); }
};

}  // namespace clipx
