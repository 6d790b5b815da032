// The number of texts that contain each entry of a query list: the file counts.tsv, and what follows from it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../core/error.hpp"

namespace clipx {

/// By index in the query list.
struct entry_counts {
  std::vector<std::string> entries;   // the texts
  std::vector<std::uint64_t> counts;  // captions that contain each
};

/// Writes one line per entry: entry, tab, count.
void write_counts(const std::string& path, const std::vector<std::string>& entries, std::span<const std::uint64_t> counts);
/// Errors: a file that cannot be read, no lines, a line that is not an entry, a tab and an integer.
entry_counts read_counts(const std::string& path);

/// The probability of an entry that `count` texts contain: t / max(count, t).
double entry_probability(std::uint64_t count, std::uint64_t t);
/// The fraction of all matches that belong to entries with counts below t, the tail: sum of those counts / sum of all. 0 if there
/// are no matches.
double tail_share(std::span<const std::uint64_t> counts, std::uint64_t t);
/// The t for which the tail has about this fraction: the count, in ascending order, up to which (inclusive) the sum of counts comes
/// closest to that fraction of the total; the first of several. MetaCLIP 2 transfers a threshold to other languages this way. At
/// least 1. Errors: a fraction outside [0, 1], no matches.
std::uint64_t threshold_of_tail(std::span<const std::uint64_t> counts, double share);

/// The counts by rank as an SVG image, with both axes logarithmic, before and after balancing; `after` may be empty.
std::string draw_counts(std::span<const std::uint64_t> before, std::span<const std::uint64_t> after);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "counts-inl.hpp"
#endif
