// Flattens the distribution of captions over the entries of a query list by MetaCLIP's rule: samples that match a rare entry are
// kept, those that match only frequent entries are kept with some probability.
#pragma once
#include "counts.hpp"
#include "match.hpp"

namespace clipx {

/// Decides which samples are kept. Entry e with count c has probability p = t / max(c, t); a sample is kept if any of its entries
/// is drawn, hence with probability 1 - prod(1 - p). A draw is a function of the seed, the sample's key and the entry's text, in
/// integer arithmetic: threads, shards and processes do not affect it. Safe for use by several threads at once.
class balancer {
 public:
  /// Errors: t is 0.
  balancer(const entry_counts& counts, std::uint64_t t, std::uint64_t seed);

  /// What is decided about a sample.
  struct decision {
    bool kept = false;  // whether an entry was drawn
    double p = 0;       // probability of being kept
  };
  /// For a sample with these entries (indices into the list); one without entries is not kept.
  decision operator()(std::string_view key, std::span<const std::uint32_t> ids) const;

 private:
  std::uint64_t seed_;
  std::vector<std::uint64_t> hashes_;
  std::vector<double> probabilities_;
};

/// What was kept, over the parts that are done.
struct balance_result {
  bool whole = false;                        // as in match_result
  std::size_t parts = 0, missing = 0;        // number of parts, and of those not done
  caption_report captions;                   // what was read
  std::uint64_t matched = 0, kept = 0;       // samples with an entry; samples kept
  double expected = 0;                       // sum of the matched samples' probabilities
  std::vector<std::uint64_t> before, after;  // captions that contain each entry: of all samples, of those kept
};

/// How samples are chosen.
struct balance_options {
  std::uint64_t t = 20'000, seed = 0;  // see balancer
  padding rule = padding::spaces;      // see query_matcher
  bool decisions = true;               // write kept.jsonl
};

/// Matches the captions again and writes the samples that are kept to the folder: those of part i as the shard NNNNN.tar (i in at
/// least 5 digits) if i is a shard and any of its samples are kept (sizes.json has the number of samples per shard); those of text
/// files as kept.txt, one caption per line. With `decisions`, kept.jsonl has a line {"key":..,"p":..,"entries":[..]} for each of
/// them. counts.tsv contains the counts of what was kept; counts.svg shows them beside the counts of this data before. A sample
/// with several captions is kept or dropped by the entries of all of them. Restarts, processes and errors as for match_captions;
/// another error: the folder contains shards of another run.
balance_result balance_captions(const entry_counts& counts, const curate_data& data, const std::string& folder,
                                const balance_options& options, stage_config config, observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "balance-inl.hpp"
#endif
