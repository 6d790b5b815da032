// Definitions of packed_texts.hpp.
#pragma once
#include <algorithm>

#include "error.hpp"
#include "packed_texts.hpp"

namespace clipx {

CLIPX_INLINE packed_texts packed_texts::pack(std::span<const std::vector<std::int32_t>> rows, const text_config& c) {
  packed_texts out;
  for (auto& row : rows) out.append(row, c);
  return out;
}

CLIPX_INLINE void packed_texts::append(std::span<const std::int32_t> row, const text_config& c) {
  expect(!row.empty() && static_cast<dim>(row.size()) <= c.context_length,
         [&] { return cat("text ", count(), ": expected 1 to ", c.context_length, " tokens, got ", row.size()); });
  expect(!c.filled() || static_cast<dim>(row.size()) == c.context_length, [&] {
    return cat("text ", count(), ": expected ", c.context_length, " tokens, padding included, as the text tower ",
               c.causal ? "pools the last" : "is not causal", ", got ", row.size(), "; set tokenizer_options::frame.fill");
  });
  const std::size_t end = pooled(row, c), last = c.filled() ? row.size() - 1 : end;
  for (std::size_t i = 0; i <= last; ++i)
    expect(row[i] >= 0 && row[i] < c.vocab_size,
           [&] { return cat("text ", count(), ", token ", i, ": expected an id below ", c.vocab_size, ", got ", row[i]); });
  if (!c.masks_padding()) {
    for (std::size_t i = 0; i <= last; ++i) push_back(row[i], i);
    lengths.push_back(static_cast<std::int32_t>(last + 1));
    ends.push_back(static_cast<std::int32_t>(end));
    return;
  }
  const auto is_token = [&](std::int32_t id) { return id != c.hf.pad_id; };
  expect(c.pool == text_pool::mean ? std::any_of(row.begin(), row.end(), is_token) : is_token(row[0]), [&] {
    return cat("text ", count(), ": expected ", c.pool == text_pool::mean ? "a token" : "a token first", ", got padding (id ",
               c.hf.pad_id, ")");
  });
  std::size_t tokens = 0;
  for (auto id : row)
    if (is_token(id)) push_back(id, tokens++);
  lengths.push_back(static_cast<std::int32_t>(tokens));
}

CLIPX_INLINE void packed_texts::push_back(std::int32_t id, std::size_t position) {
  ids.push_back(id);
  positions.push_back(static_cast<std::int32_t>(position));
}

CLIPX_INLINE void packed_texts::clear() {
  ids.clear();
  positions.clear();
  lengths.clear();
  ends.clear();
}

CLIPX_INLINE std::size_t packed_texts::pooled(std::span<const std::int32_t> row, const text_config& c) {
  if (c.masks_padding() || c.pool == text_pool::none || c.pool == text_pool::last) return row.size() - 1;
  if (c.pool == text_pool::first) return 0;
  const auto at =
      c.pool == text_pool::argmax ? std::max_element(row.begin(), row.end()) : std::find(row.begin(), row.end(), c.eos_id);
  return at == row.end() ? 0 : static_cast<std::size_t>(at - row.begin());
}

CLIPX_INLINE packed_texts packed_texts::part(dim first, dim n) const {
  const auto sum = [&](dim from, dim to) {
    dim tokens = 0;
    for (dim i = from; i < to; ++i) tokens += lengths[static_cast<std::size_t>(i)];
    return tokens;
  };
  const dim from = sum(0, first), to = from + sum(first, first + n);
  packed_texts out{{ids.begin() + from, ids.begin() + to},
                   {positions.begin() + from, positions.begin() + to},
                   {lengths.begin() + first, lengths.begin() + first + n},
                   {}};
  if (!ends.empty()) out.ends.assign(ends.begin() + first, ends.begin() + first + n);
  return out;
}

}  // namespace clipx
