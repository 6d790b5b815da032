// Definitions of token_trie.hpp.
#pragma once
#include <algorithm>

#include "token_trie.hpp"

namespace clipx::detail {

CLIPX_INLINE token_trie::token_trie(const std::vector<std::string_view>& keys) {
  struct entry {
    std::uint64_t head;  // the first eight bytes, which decide most comparisons
    std::uint32_t index;
  };
  std::vector<entry> order(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::uint64_t head = 0;
    for (std::size_t k = 0; k < 8; ++k) head = head << 8 | (k < keys[i].size() ? static_cast<unsigned char>(keys[i][k]) : 0U);
    order[i] = {head, static_cast<std::uint32_t>(i)};
  }
  std::sort(order.begin(), order.end(), [&](const entry& a, const entry& b) {
    if (a.head != b.head) return a.head < b.head;
    const int c = keys[a.index].compare(keys[b.index]);
    return c != 0 ? c < 0 : a.index < b.index;
  });
  struct range {
    std::uint32_t from, to, depth;
  };
  std::vector<range> nodes{{0, static_cast<std::uint32_t>(order.size()), 0}};
  label_.push_back(0);
  const auto key = [&](std::uint32_t i) { return keys[order[i].index]; };
  for (std::size_t k = 0; k < nodes.size(); ++k) {
    auto [from, to, depth] = nodes[k];
    std::int32_t value = -1;
    while (from < to && key(from).size() == depth) value = static_cast<std::int32_t>(order[from++].index);
    value_.push_back(value);
    first_.push_back(static_cast<std::uint32_t>(nodes.size()));
    while (from < to) {
      const char c = key(from)[depth];
      std::uint32_t end = from + 1;
      while (end < to && key(end)[depth] == c) ++end;
      nodes.push_back({from, end, depth + 1});
      label_.push_back(static_cast<unsigned char>(c));
      from = end;
    }
  }
  first_.push_back(static_cast<std::uint32_t>(nodes.size()));
  roots_.fill(none);
  for (auto i = first_[0]; i < first_[1]; ++i) roots_[label_[i]] = i;
}

}  // namespace clipx::detail
