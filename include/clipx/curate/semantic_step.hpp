// SemDeDup over shards, as a step of curation.
#pragma once
#include <string>

#include "curation.hpp"
#include "semantic.hpp"
#include "shared_model.hpp"

namespace clipx {

/// Options of drop_semantic_duplicates().
struct semantic_config {
  semantic_rule rule{};    // within a cell
  dim cells = 0;           // 0: the square root of the number of images, at most 50,000
  int iterations = 20;     // of k-means
  std::uint64_t seed = 0;  // of k-means, and of the rows that it learns from
  /// Bytes of embeddings that a thread holds in memory; a cell is always held whole.
  std::uint64_t memory = std::uint64_t(256) << 20;
};

/// Drops images whose embedding is too close to another in its cell (semantic.hpp). Centroids are learned from 256 rows per cell,
/// drawn by the seed and the rows' numbers. On disk in the state folder: embeddings (4 bytes per value), cells (8 bytes per image),
/// matches. An image that does not decode is dropped by "image". Memory: 256 embeddings per cell, config.memory per thread, and the
/// list of what is dropped. Errors: those of the model.
void drop_semantic_duplicates(curation& here, const std::string& step, const semantic_config& config, shared_model& model);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "semantic_step-inl.hpp"
#endif
