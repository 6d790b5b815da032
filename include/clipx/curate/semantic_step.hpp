// SemDeDup over shards as a step of curation.
#pragma once
#include <string>

#include "curation.hpp"
#include "semantic.hpp"
#include "shared_model.hpp"

namespace clipx {

/// Options of drop_semantic_duplicates().
struct semantic_config {
  semantic_rule rule;      // within a cell
  dim cells = 0;           // 0: the square root of the number of images, at most 50,000
  int iterations = 20;     // of k-means
  std::uint64_t seed = 0;  // of k-means, and of the rows that it learns from
  /// Bytes of embeddings that a thread has in memory; a cell is there whole whatever its size.
  std::uint64_t memory = std::uint64_t(256) << 20;
};

/// Drops images whose embedding is too close to another's of its cell (semantic.hpp). Centroids are learnt from 256 rows a cell,
/// drawn by the seed and the rows' numbers. On disk below the state folder: embeddings (4 bytes a value), cells (8 bytes an image),
/// matches. An image that does not decode is dropped by "image". Memory: 256 embeddings for each cell, config.memory for each
/// thread, and what is dropped. Errors: those of the model.
void drop_semantic_duplicates(curation& here, const std::string& step, const semantic_config& config, shared_model& model);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "semantic_step-inl.hpp"
#endif
