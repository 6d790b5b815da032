// The sequences of a batch as row ranges, and which of their rows leave a tower.
#pragma once
#include <span>
#include <vector>

#include "step.hpp"

namespace clipx {

/// The rows that enter a block and those that leave it: all of them or, in the last block, those of each sequence that are pooled,
/// the only ones that need a query, a projection and an MLP there.
struct block_rows {
  row_ranges in;                   // R rows
  row_ranges out;                  // Q rows, R or those that leave
  mat<const std::int32_t> pooled;  // (1, Q), the rows that leave; empty: all
};

/// Which row of a sequence leaves a tower; none: all rows; but_first: all rows but the first.
enum class pooled_row { none, first, last, but_first };

/// The sequences of a batch, one after another. The ranges point to the vectors, so an object of this type is moved, not copied.
struct sequences {
  block_rows inner, last;                   // of the blocks, of the last block
  std::vector<std::int32_t> offsets, ones;  // host memory of the ranges that enter and that leave

  sequences() = default;
  sequences(sequences&&) = default;
  sequences& operator=(sequences&&) = default;
  /// The ranges of sequences of these lengths, in the step's memory; `which` row of each leaves the last block.
  sequences(auto& step, std::span<const std::int32_t> lengths, pooled_row which) {
    const auto rows = step.ranges(lengths, offsets);
    inner = last = {rows, rows, {}};
    if (which == pooled_row::none) return;
    std::vector<std::int32_t> ids, leaving;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const auto from = which == pooled_row::last ? offsets[i + 1] - 1 : offsets[i] + (which == pooled_row::but_first);
      const auto to = which == pooled_row::first ? from + 1 : offsets[i + 1];
      for (auto row = from; row < to; ++row) ids.push_back(row);
      leaving.push_back(to - from);
    }
    leave(step, ids, leaving);
  }
  /// The same; row ends[i] of sequence i leaves the last block, the last of each if there are no ends.
  sequences(auto& step, std::span<const std::int32_t> lengths, std::span<const std::int32_t> ends)
      : sequences(step, lengths, ends.empty() ? pooled_row::last : pooled_row::none) {
    if (ends.empty()) return;
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < lengths.size(); ++i) ids.push_back(offsets[i] + ends[i]);
    leave(step, ids, std::vector<std::int32_t>(ids.size(), 1));
  }

 private:
  /// These rows leave the last block, so many of each sequence.
  void leave(auto& step, std::span<const std::int32_t> ids, std::span<const std::int32_t> leaving) {
    last.pooled = step.ids(ids);
    last.out = step.ranges(leaving, ones);
  }
};

/// The rows `ids` of x in new memory of the step; if ids is empty, x itself.
template <backend_types B>
mat<const scalar_t<B>> select_rows(step<B>& s, mat<const scalar_t<B>> x, mat<const std::int32_t> ids) {
  if (!ids) return x;
  auto y = s.make(ids.cols, x.cols);
  s.device.gather_rows(x, ids, y);
  return y;
}

}  // namespace clipx
