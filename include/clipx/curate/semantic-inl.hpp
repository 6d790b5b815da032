// Definitions of semantic.hpp.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <thread>

#include "../core/error.hpp"
#include "../core/random.hpp"
#include "../core/threads.hpp"
#include "semantic.hpp"

namespace clipx {
namespace detail {

/// Calls f(begin, end) for parts of 0 .. n - 1 on several threads, which take one part after another.
template <class F>
void in_parts(dim n, dim part, int threads, F&& f) {
  std::atomic<dim> next{0};
  const auto work = [&](std::size_t) {
    for (dim from; (from = next.fetch_add(part)) < n;) f(from, std::min(from + part, n));
  };
  const dim wanted = threads > 0 ? threads : static_cast<dim>(std::max(1u, std::thread::hardware_concurrency()));
  in_threads(static_cast<std::size_t>(std::min(wanted, (n + part - 1) / part)), work);
}

/// Rows by cell: those of cell c are numbers[begin[c]] .. numbers[begin[c + 1] - 1], in order.
struct rows_by_cell {
  std::vector<dim> begin, numbers;
  rows_by_cell(const std::vector<cell_of_row>& cells, dim count)
      : begin(static_cast<std::size_t>(count) + 1), numbers(cells.size()) {
    for (const auto& c : cells) ++begin[c.cell + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    auto at = begin;
    for (std::size_t i = 0; i < cells.size(); ++i) numbers[static_cast<std::size_t>(at[cells[i].cell]++)] = static_cast<dim>(i);
  }
  dim size(dim cell) const { return begin[static_cast<std::size_t>(cell) + 1] - begin[static_cast<std::size_t>(cell)]; }
};

/// Gives an empty cell the row with the lowest cosine among cells that can spare one; the first of several.
CLIPX_INLINE void fill_empty(std::vector<cell_of_row>& cells, dim count) {
  std::vector<dim> sizes(static_cast<std::size_t>(count));
  for (const auto& c : cells) ++sizes[c.cell];
  for (std::size_t empty = 0; empty < sizes.size(); ++empty) {
    if (sizes[empty] != 0) continue;
    cell_of_row* farthest = nullptr;
    for (auto& c : cells)
      if (sizes[c.cell] > 1 && (!farthest || c.cosine < farthest->cosine)) farthest = &c;
    --sizes[farthest->cell];
    ++sizes[empty];
    *farthest = {static_cast<std::uint32_t>(empty), 1};
  }
}

/// Error: a threshold that is no cosine.
inline void expect_cosine(const std::string& where, double cosine) {
  expect(cosine >= -1 && cosine <= 1, [&] { return cat(where, ": expected a cosine from -1 to 1, got ", cosine); });
}

/// The mean direction of some rows; if they cancel, the first row.
inline void mean_direction(mat<const float> rows, std::span<const dim> numbers, float* out) {
  std::vector<double> sum(static_cast<std::size_t>(rows.cols));
  for (const dim n : numbers)
    for (dim j = 0; j < rows.cols; ++j) sum[static_cast<std::size_t>(j)] += static_cast<double>(rows.row(n)[j]);
  double square = 0;
  for (const double v : sum) square += v * v;
  const double norm = std::sqrt(square);
  for (dim j = 0; j < rows.cols; ++j)
    out[j] = norm > 1e-12 ? static_cast<float>(sum[static_cast<std::size_t>(j)] / norm) : rows.row(numbers[0])[j];
}

}  // namespace detail

CLIPX_INLINE float cosine_of(const float* x, const float* y, dim n) {
  constexpr dim lanes = 16;
  float sums[lanes]{};
  dim i = 0;
  for (; i + lanes <= n; i += lanes)
    for (dim l = 0; l < lanes; ++l) sums[l] += x[i + l] * y[i + l];
  for (dim l = 0; i < n; ++i, ++l) sums[l] += x[i] * y[i];
  for (dim half = lanes / 2; half > 0; half /= 2)
    for (dim l = 0; l < half; ++l) sums[l] += sums[l + half];
  return sums[0];
}

CLIPX_INLINE std::vector<cell_of_row> assign_cells(mat<const float> rows, mat<const float> centroids, int threads) {
  expect(centroids.rows > 0 && centroids.cols == rows.cols, [&] {
    return cat("assign_cells: expected one centroid or more of ", rows.cols, " values, got ", centroids.rows, " of ",
               centroids.cols);
  });
  std::vector<cell_of_row> out(static_cast<std::size_t>(rows.rows));
  constexpr dim at_once = 64;  // rows and centroids that stay in the cache while all pairs are compared
  detail::in_parts(rows.rows, at_once, threads, [&](dim from, dim to) {
    for (dim i = from; i < to; ++i) out[static_cast<std::size_t>(i)].cosine = -std::numeric_limits<float>::infinity();
    for (dim first = 0; first < centroids.rows; first += at_once)
      for (dim i = from; i < to; ++i) {
        auto& best = out[static_cast<std::size_t>(i)];
        for (dim c = first; c < std::min(first + at_once, centroids.rows); ++c)
          if (const float cosine = cosine_of(rows.row(i), centroids.row(c), rows.cols); cosine > best.cosine)
            best = {static_cast<std::uint32_t>(c), cosine};
      }
  });
  return out;
}

CLIPX_INLINE std::vector<float> spherical_kmeans(mat<const float> rows, const kmeans_config& config) {
  expect(config.iterations >= 0, [&] { return cat("k-means: expected 0 iterations or more, got ", config.iterations); });
  expect(config.cells > 0 && config.cells <= rows.rows,
         [&] { return cat("k-means: expected 1 to ", rows.rows, " cells, as many as rows, got ", config.cells); });
  std::vector<dim> order(static_cast<std::size_t>(rows.rows));
  std::iota(order.begin(), order.end(), dim{0});
  const draws draw(config.seed, 'k');
  std::vector<float> centroids(static_cast<std::size_t>(config.cells * rows.cols));
  for (dim c = 0; c < config.cells; ++c) {  // the beginning of a shuffle
    const auto at = static_cast<std::size_t>(c);
    std::swap(order[at], order[at + draw.below(at, order.size() - at)]);
    std::copy_n(rows.row(order[at]), rows.cols, centroids.data() + c * rows.cols);
  }
  const auto view = [&] { return mat<const float>(centroids.data(), config.cells, rows.cols); };
  for (int i = 0; i < config.iterations; ++i) {
    auto cells = assign_cells(rows, view(), config.threads);
    detail::fill_empty(cells, config.cells);
    const detail::rows_by_cell grouped(cells, config.cells);
    detail::in_parts(config.cells, 1, config.threads, [&](dim c, dim) {
      const auto numbers = std::span(grouped.numbers)
                               .subspan(static_cast<std::size_t>(grouped.begin[static_cast<std::size_t>(c)]),
                                        static_cast<std::size_t>(grouped.size(c)));
      detail::mean_direction(rows, numbers, centroids.data() + c * rows.cols);
    });
  }
  return centroids;
}

CLIPX_INLINE std::vector<semantic_match> semantic_duplicates(mat<const float> rows, std::span<const float> centroid_cosines,
                                                             const semantic_rule& rule) {
  expect(static_cast<dim>(centroid_cosines.size()) == rows.rows, [&] {
    return cat("semantic_duplicates: expected a cosine for each of ", rows.rows, " rows, got ", centroid_cosines.size());
  });
  detail::expect_cosine("semantic_duplicates", rule.cosine);
  std::vector<std::uint32_t> line(centroid_cosines.size());
  std::iota(line.begin(), line.end(), 0u);
  std::stable_sort(line.begin(), line.end(), [&](auto a, auto b) {
    return rule.keep_farthest ? centroid_cosines[a] < centroid_cosines[b] : centroid_cosines[a] > centroid_cosines[b];
  });
  std::vector<semantic_match> out(line.size());
  std::vector<std::uint32_t> before;  // rows that another may be too close to
  for (const auto row : line) {
    for (const auto earlier : before) {
      const float cosine = cosine_of(rows.row(row), rows.row(earlier), rows.cols);
      if (static_cast<double>(cosine) <= rule.cosine) continue;
      out[row] = {earlier, cosine};
      break;
    }
    if (rule.chains || out[row].row == semantic_match::none) before.push_back(row);
  }
  return out;
}

}  // namespace clipx
