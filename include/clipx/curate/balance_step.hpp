// Match and balance as steps of curation.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "balance.hpp"
#include "curation.hpp"

namespace clipx {

/// Options of match_samples().
struct match_config {
  std::shared_ptr<const query_matcher> queries{};  // the query list
};

/// Options of balance_samples().
struct balance_config {
  std::shared_ptr<const query_matcher> queries{};  // the query list
  std::uint64_t t = 20'000, seed = 0;              // see balancer
  std::optional<double> tail_share{};              // instead of t (threshold_of_tail)
};

/// Drops samples whose captions contain no entry of the list. The entries found are stored under `step` in the sample's facts.
void match_samples(curation& here, const std::string& step, const match_config& config);

/// Counts captions by the entries that they contain, over the samples not yet dropped, and keeps each sample with the probability
/// given by its entries (balancer), which is stored under `step` in the facts. Samples without an entry are dropped. Memory: the
/// automaton, and per thread a count for each entry.
void balance_samples(curation& here, const std::string& step, const balance_config& config);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "balance_step-inl.hpp"
#endif
