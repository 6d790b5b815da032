// Flattens the distribution of captions over the entries of a query list, by MetaCLIP's rule: what matches an entry that few
// captions hold is kept, what matches only entries that many hold is kept by chance.
#pragma once
#include "counts.hpp"
#include "match.hpp"

namespace clipx {

/// Decides which samples stay. Entry e of count c has the probability p = t / max(c, t); a sample stays if any of its entries wins
/// its draw, so with probability 1 - prod(1 - p). A draw is a function of the seed, the sample's key and the entry's text, by
/// integers alone: threads, shards and processes change no decision. Safe for use by several threads at once.
class balancer {
 public:
  /// Error: t is 0.
  balancer(const entry_counts& counts, std::uint64_t t, std::uint64_t seed);

  /// What is decided about a sample.
  struct decision {
    bool kept = false;  // whether an entry was drawn
    double p = 0;       // with which it is kept
  };
  /// Of a sample with these entries (places in the list); without any it is not kept.
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
  std::uint64_t matched = 0, kept = 0;       // samples with an entry; those that were kept
  double expected = 0;                       // sum of the matched samples' probabilities
  std::vector<std::uint64_t> before, after;  // captions that hold each entry: of all samples, and of those that were kept
};

/// How samples are chosen.
struct balance_options {
  std::uint64_t t = 20'000, seed = 0;  // see balancer
  padding rule = padding::spaces;      // see query_matcher
  bool decisions = true;               // write kept.jsonl
};

/// Matches the captions again and writes the samples that stay to the folder: those of part i as the shard NNNNN.tar, i in at least
/// 5 digits, where i is a shard and any of its samples stay (sizes.json says how many each shard has); those of texts as kept.txt,
/// a caption a line. With `decisions` kept.jsonl, a line {"key":..,"p":..,"entries":[..]} for each of them. counts.tsv has the
/// counts of what was kept, counts.svg draws them beside the counts of this data before. A sample of several captions is kept or
/// left by the entries of all of them together. Restarts, processes and errors are those of match_captions; also: the folder has
/// shards of another run.
balance_result balance_captions(const entry_counts& counts, const curate_data& data, const std::string& folder,
                                const balance_options& options, stage_config config,
                                function_ref<void(std::size_t done, std::size_t total)> progress, function_ref<bool()> stop);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "balance-inl.hpp"
#endif
