// Merging symbols by rank: what the kinds of BPE have in common.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "../core/error.hpp"

namespace clipx::detail {

/// (left, right) -> (rank, id of the joined pair), by open addressing.
class merge_table {
 public:
  struct entry {
    std::int32_t left = -1, right = -1, rank = -1, id = -1;
  };
  void reserve(std::size_t merges);
  /// If a pair is inserted twice, its last rank counts.
  void insert(const entry& e);
  /// nullptr if the pair is not a merge.
  const entry* find(std::int32_t left, std::int32_t right) const {
    for (std::size_t i = place(left, right);; i = (i + 1) & mask_) {
      const entry& e = slots_[i];
      if (e.rank < 0) return nullptr;
      if (e.left == left && e.right == right) return &e;
    }
  }
  /// All merges, by rank.
  std::vector<entry> ranked() const;

 private:
  std::size_t place(std::int32_t left, std::int32_t right) const {
    const auto key = std::uint64_t(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15U >> 32) & mask_;
  }
  std::vector<entry> slots_ = std::vector<entry>(2);
  std::size_t mask_ = 1;
};

/// Merges `symbol` in place and returns the number of symbols that are left: repeatedly the pair of the lowest rank, at its first
/// occurrence or, if `everywhere`, at all of them from left to right. O(n^2), for at most 64 symbols.
std::size_t merge_short(const merge_table& merges, bool everywhere, std::span<std::int32_t> symbol);

/// The same for any number of symbols, in O(n log n).
void merge_long(const merge_table& merges, bool everywhere, std::vector<std::int32_t>& symbols);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "merges-inl.hpp"
#endif
