// How many texts hold each entry of a query list: the file counts.tsv, and what is read off it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace clipx {

/// By the places of the query list.
struct entry_counts {
  std::vector<std::string> entries;   // the texts
  std::vector<std::uint64_t> counts;  // captions that contain each
};

/// A line for each entry: entry, tab, count.
void write_counts(const std::string& path, const std::vector<std::string>& entries, std::span<const std::uint64_t> counts);
/// Errors: a file that cannot be read, no lines, a line that is no entry, tab and whole number.
entry_counts read_counts(const std::string& path);

/// Probability of an entry that `count` texts hold: t / max(count, t).
double entry_probability(std::uint64_t count, std::uint64_t t);
/// The fraction of all matches that are of entries below t, the tail: sum of those counts / sum of all. 0 where there are no
/// matches.
double tail_share(std::span<const std::uint64_t> counts, std::uint64_t t);
/// The t for which the tail has about this fraction: of the ascending counts that one up to which, itself included, their sum's
/// share is nearest (the first of several). MetaCLIP 2 so takes a threshold from one language to another. At least 1. Errors: a
/// share outside [0, 1], no matches at all.
std::uint64_t threshold_of_tail(std::span<const std::uint64_t> counts, double share);

/// The counts by rank as an SVG image, both on logarithmic scales, before and after balancing; `after` may be empty.
std::string draw_counts(std::span<const std::uint64_t> before, std::span<const std::uint64_t> after);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "counts-inl.hpp"
#endif
