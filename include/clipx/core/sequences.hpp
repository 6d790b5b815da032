// The sequences of a batch as row ranges, and which of their rows leave a tower.
#pragma once
#include <span>
#include <vector>

#include "step.hpp"

namespace clipx {

/// The rows that enter a block and those that leave it: all of them or, in the last block, the pooled row of each sequence, the
/// only one that needs a query, a projection and an MLP there.
struct block_rows {
  row_ranges in;                   // R rows
  row_ranges out;                  // Q rows, R or N
  mat<const std::int32_t> pooled;  // (1, N), the rows that leave; empty: all
};

/// Which row of a sequence leaves a tower; none: all rows.
enum class pooled_row { none, first, last };

/// The sequences of a batch, one after another. The ranges point to the vectors, so an object of this type is moved, not copied.
struct sequences {
  block_rows inner, last;                   // of the blocks, of the last block
  std::vector<std::int32_t> offsets, ones;  // host memory of the ranges

  sequences() = default;
  sequences(sequences&&) = default;
  sequences& operator=(sequences&&) = default;
  /// The ranges of sequences of these lengths, in the step's memory; `which` row of each leaves the last block.
  sequences(auto& step, std::span<const std::int32_t> lengths, pooled_row which) {
    const auto rows = step.ranges(lengths, offsets);
    inner = last = {rows, rows, {}};
    if (which == pooled_row::none) return;
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < lengths.size(); ++i) ids.push_back(which == pooled_row::first ? offsets[i] : offsets[i + 1] - 1);
    last.pooled = step.ids(ids);
    last.out = step.ranges(std::vector<std::int32_t>(ids.size(), 1), ones);
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
