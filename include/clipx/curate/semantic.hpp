// Semantic duplicates: SemDeDup (Abbas et al. 2023, arXiv 2303.09540). Embeddings are cut into cells by k-means; within a cell,
// what is closer to another than a threshold goes.
#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "../core/mat.hpp"

namespace clipx {

/// Options of spherical_kmeans().
struct kmeans_config {
  dim cells = 100;         // number of centroids
  int iterations = 20;     // rounds of assigning rows and averaging cells
  std::uint64_t seed = 0;  // of the first centroids
  int threads = 0;         // 0: as many as the machine has; no result depends on it
};

/// Spherical k-means: L2-normalized centroids (cells, D) for L2-normalized rows (N, D). It begins with rows that the seed draws,
/// all different by number; a cell that gets empty takes the row that is farthest from its centroid. Sums are in double, in the
/// order of the rows. Errors: no cells, more cells than rows, a part of a row.
std::vector<float> spherical_kmeans(mat<const float> rows, const kmeans_config& config);

/// A row's cell: the centroid of the highest cosine, the first of several.
struct cell_of_row {
  std::uint32_t cell = 0;  // index of the centroid
  float cosine = 0;        // with it
};
/// For each row (N, D) among centroids (K, D).
std::vector<cell_of_row> assign_cells(mat<const float> rows, mat<const float> centroids, int threads);

/// Which rows of a cell are dropped.
struct semantic_rule {
  /// Of two rows of a cell whose cosine is above this (1 - epsilon in the paper), one goes.
  double cosine = 0.95;
  /// Which stays: rows stand in line by their cosine with the cell's centroid, the lowest first, as in the paper; false: the
  /// highest first. Equal ones stand in their own order.
  bool keep_farthest = true;
  /// A row goes where it is too close to a row before it that stays. True: to any row before it, as in the paper's code, where the
  /// last of a chain goes though its only neighbour went too.
  bool chains = false;
};

/// What a row of a cell goes for.
struct semantic_match {
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();  // no row
  std::uint32_t row = none;  // the first of its line that it is too close to; none: it stays
  float cosine = 0;          // with that row
};
/// For each of a cell's rows (N, D), whose cosines with their centroid are given.
std::vector<semantic_match> semantic_duplicates(mat<const float> rows, std::span<const float> centroid_cosines,
                                                const semantic_rule& rule);

/// x y summed in 16 lanes, then their sum: the same on every machine whose compiler does not fuse.
float cosine_of(const float* x, const float* y, dim n);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "semantic-inl.hpp"
#endif
