// Definitions of text.hpp.
#pragma once
#include <algorithm>

#include "text.hpp"

namespace clipx {

CLIPX_INLINE packed_texts packed_texts::pack(std::span<const std::vector<std::int32_t>> rows, const text_config& c) {
  packed_texts out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto& row = rows[r];
    expect(!row.empty() && static_cast<dim>(row.size()) <= c.context_length,
           [&] { return cat("text ", r, ": expected 1 to ", c.context_length, " tokens, got ", row.size()); });
    const std::size_t last = pooled(row, c);
    for (std::size_t i = 0; i <= last; ++i) {
      expect(row[i] >= 0 && row[i] < c.vocab_size,
             [&] { return cat("text ", r, ", token ", i, ": expected an id below ", c.vocab_size, ", got ", row[i]); });
      out.ids.push_back(row[i]), out.positions.push_back(static_cast<std::int32_t>(i));
    }
    out.lengths.push_back(static_cast<std::int32_t>(last + 1));
  }
  return out;
}

CLIPX_INLINE std::size_t packed_texts::pooled(std::span<const std::int32_t> row, const text_config& c) {
  const auto at =
      c.pool == text_pool::argmax ? std::max_element(row.begin(), row.end()) : std::find(row.begin(), row.end(), c.eos_id);
  return at == row.end() ? 0 : static_cast<std::size_t>(at - row.begin());
}

}  // namespace clipx
