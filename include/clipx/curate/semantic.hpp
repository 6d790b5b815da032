// Semantic duplicates: SemDeDup (Abbas et al. 2023, arXiv 2303.09540). Embeddings are divided into cells by k-means; within a cell,
// rows that are closer to another than a threshold are dropped.
#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "../core/error.hpp"
#include "../core/mat.hpp"

namespace clipx {

/// Options of spherical_kmeans().
struct kmeans_config {
  dim cells = 100;         // number of centroids
  int iterations = 20;     // rounds of assigning rows and averaging cells
  std::uint64_t seed = 0;  // of the first centroids
  int threads = 0;         // 0: one for each processor; does not affect the result
};

/// Spherical k-means: L2-normalized centroids (cells, D) of L2-normalized rows (N, D). It starts from distinct rows drawn by the
/// seed; a cell that becomes empty takes the row that is farthest from its centroid. Sums are in double, in the order of the rows.
/// Errors: no cells, more cells than rows, negative iterations.
std::vector<float> spherical_kmeans(mat<const float> rows, const kmeans_config& config);

/// The cell of a row: the centroid with the highest cosine, the first of several.
struct cell_of_row {
  std::uint32_t cell = 0;  // index of the centroid
  float cosine = 0;        // with it
};
/// For each row (N, D), with centroids (K, D).
std::vector<cell_of_row> assign_cells(mat<const float> rows, mat<const float> centroids, int threads);

/// Which rows of a cell are dropped.
struct semantic_rule {
  /// Of two rows of a cell with a cosine above this (1 - epsilon in the paper), one is dropped.
  double cosine = 0.95;
  /// Which is kept: rows are ordered by their cosine with the cell's centroid, the lowest first, as in the paper; false: the
  /// highest first. Ties keep the order of the rows.
  bool keep_farthest = true;
  /// A row is dropped if it is too close to an earlier row that is kept. True: to any earlier row, as in the paper's code, where
  /// the last row of a chain is dropped although its only neighbor was dropped, too.
  bool chains = false;
};

/// Why a row of a cell is dropped.
struct semantic_match {
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();  // no row
  std::uint32_t row = none;  // the first row in the order that it is too close to; none: it is kept
  float cosine = 0;          // with that row
};
/// For each row of a cell (N, D), given the rows' cosines with their centroid. Errors: a threshold outside [-1, 1].
std::vector<semantic_match> semantic_duplicates(mat<const float> rows, std::span<const float> centroid_cosines,
                                                const semantic_rule& rule);

/// x y summed in 16 lanes, then over the lanes: the same on every machine whose
/// compiler does not fuse multiplications and additions.
float cosine_of(const float* x, const float* y, dim n);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "semantic-inl.hpp"
#endif
