// Definitions of merges.hpp.
#pragma once
#include <algorithm>
#include <bit>
#include <iterator>
#include <queue>

#include "merges.hpp"

namespace clipx::detail {

CLIPX_INLINE void merge_table::reserve(std::size_t merges) {
  slots_.assign(std::bit_ceil(2 * merges + 2), {});
  mask_ = slots_.size() - 1;
}

CLIPX_INLINE void merge_table::insert(const entry& e) {
  std::size_t i = place(e.left, e.right);
  while (slots_[i].rank >= 0 && (slots_[i].left != e.left || slots_[i].right != e.right)) i = (i + 1) & mask_;
  slots_[i] = e;
}

CLIPX_INLINE std::vector<merge_table::entry> merge_table::ranked() const {
  std::vector<entry> out;
  std::copy_if(slots_.begin(), slots_.end(), std::back_inserter(out), [](const entry& e) { return e.rank >= 0; });
  std::sort(out.begin(), out.end(), [](const entry& a, const entry& b) { return a.rank < b.rank; });
  return out;
}

CLIPX_INLINE std::size_t merge_short(const merge_table& merges, bool everywhere, std::span<std::int32_t> symbol) {
  std::size_t n = symbol.size();
  const merge_table::entry* pair[64];  // of symbols i and i + 1
  for (std::size_t i = 0; i + 1 < n; ++i) pair[i] = merges.find(symbol[i], symbol[i + 1]);
  for (;;) {
    const merge_table::entry* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < n; ++i)
      if (pair[i] && (!best || pair[i]->rank < best->rank)) best = pair[at = i];
    if (!best) return n;
    // Merges every occurrence from left to right; for transformers, the first one only. The two differ only where a merge ranks
    // before the merges that produce its parts.
    std::size_t w = at;
    bool more = true;
    for (std::size_t r = at; r < n; ++w) {
      const bool hit = more && r + 1 < n && symbol[r] == best->left && symbol[r + 1] == best->right;
      symbol[w] = hit ? best->id : symbol[r];
      r += hit ? 2 : 1;
      more = more && (everywhere || !hit);
    }
    n = w;
    for (std::size_t i = at > 0 ? at - 1 : 0; i + 1 < n; ++i) pair[i] = merges.find(symbol[i], symbol[i + 1]);
  }
}

// A queue of pairs over a linked list of symbols.
CLIPX_INLINE void merge_long(const merge_table& merges, bool everywhere, std::vector<std::int32_t>& symbol) {
  struct candidate {
    const merge_table::entry* merge;
    std::int32_t at;
  };
  const auto later = [](const candidate& a, const candidate& b) {
    return a.merge->rank != b.merge->rank ? a.merge->rank > b.merge->rank : a.at > b.at;
  };
  const auto n = static_cast<std::int32_t>(symbol.size());
  std::vector<std::int32_t> next(symbol.size()), previous(symbol.size()), changed;
  for (std::int32_t i = 0; i < n; ++i) {
    next[static_cast<std::size_t>(i)] = i + 1 < n ? i + 1 : -1;
    previous[static_cast<std::size_t>(i)] = i - 1;
  }
  std::priority_queue<candidate, std::vector<candidate>, decltype(later)> queue(later);
  const auto of = [](std::vector<std::int32_t>& list, std::int32_t i) -> std::int32_t& {
    return list[static_cast<std::size_t>(i)];
  };
  const auto offer = [&](std::int32_t i) {
    if (i < 0 || of(symbol, i) < 0 || of(next, i) < 0) return;
    if (const auto* m = merges.find(of(symbol, i), of(symbol, of(next, i)))) queue.push({m, i});
  };
  for (std::int32_t i = 0; i < n; ++i) offer(i);

  while (!queue.empty()) {
    const auto* merge = queue.top().merge;
    changed.clear();
    do {
      const std::int32_t i = queue.top().at, j = of(next, i);
      queue.pop();
      if (of(symbol, i) != merge->left || j < 0 || of(symbol, j) != merge->right) continue;  // stale: another merge came first
      of(symbol, i) = merge->id;
      of(symbol, j) = -1;
      of(next, i) = of(next, j);
      if (of(next, j) >= 0) of(previous, of(next, j)) = i;
      changed.push_back(of(previous, i));
      changed.push_back(i);
    } while (everywhere && !queue.empty() && queue.top().merge == merge);
    for (const auto i : changed) offer(i);
  }
  symbol.erase(std::remove(symbol.begin(), symbol.end(), -1), symbol.end());
}

}  // namespace clipx::detail
