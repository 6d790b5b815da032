#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <iterator>
#include <string_view>

#include "../data/captions-inl.hpp"
#include "../io/file.hpp"
#include "../train/curves-inl.hpp"
#include "counts.hpp"

namespace clipx {

CLIPX_INLINE void write_counts(const std::string& path, const std::vector<std::string>& entries,
                               std::span<const std::uint64_t> counts) {
  expect(entries.size() == counts.size(),
         [&] { return cat(path, ": expected a count for each of ", entries.size(), " entries, got ", counts.size()); });
  write_file(path, [&](file_writer put) {
    std::string lines;
    const auto flush = [&] {
      put(std::as_bytes(std::span(lines.data(), lines.size())));
      lines.clear();
    };
    for (std::size_t i = 0; i < entries.size(); ++i) {
      lines += cat(entries[i], '\t', counts[i], '\n');
      if (lines.size() > (1 << 20)) flush();
    }
    flush();
  });
}

CLIPX_INLINE entry_counts read_counts(const std::string& path) {
  entry_counts out;
  detail::for_each_line(path, [&](std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto tab = std::min(line.rfind('\t'), line.size());
    const auto digits = line.substr(std::min(tab + 1, line.size()));
    std::uint64_t count = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    expect(tab > 0 && !digits.empty() && end.ec == std::errc{} && end.ptr == digits.data() + digits.size(), error_kind::damaged,
           [&] {
             return cat(path, ": line ", out.entries.size() + 1, ": expected an entry, a tab and a count, got \"",
                        line.substr(0, 80), "\"");
           });
    out.entries.emplace_back(line.substr(0, tab));
    out.counts.push_back(count);
  });
  expect(!out.entries.empty(), error_kind::damaged,
         [&] { return cat(path, ": expected counts, as clipx curate match writes them, got an empty file"); });
  return out;
}

CLIPX_INLINE double entry_probability(std::uint64_t count, std::uint64_t t) {
  return count <= t ? 1.0 : static_cast<double>(t) / static_cast<double>(count);
}

CLIPX_INLINE double tail_share(std::span<const std::uint64_t> counts, std::uint64_t t) {
  std::uint64_t all = 0, tail = 0;
  for (const auto c : counts) {
    all += c;
    if (c < t) tail += c;
  }
  return all == 0 ? 0 : static_cast<double>(tail) / static_cast<double>(all);
}

CLIPX_INLINE std::uint64_t threshold_of_tail(std::span<const std::uint64_t> counts, double share) {
  expect(share >= 0 && share <= 1, [&] { return cat("balance: expected a tail share from 0 to 1, got ", share); });
  std::vector<std::uint64_t> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end());
  std::uint64_t all = 0, sum = 0, best = 0;
  for (const auto c : sorted) all += c;
  expect(all > 0, "balance: expected matches, to choose a threshold by their tail; all counts are 0");
  double distance = HUGE_VAL;
  for (const auto c : sorted) {
    sum += c;
    const double d = std::abs(static_cast<double>(sum) / static_cast<double>(all) - share);
    if (d < distance) {
      distance = d;
      best = c;
    }
  }
  return std::max<std::uint64_t>(best, 1);
}

namespace detail {
/// Points at ranks that are roughly evenly spaced on a logarithmic scale.
CLIPX_INLINE series counts_by_rank(std::span<const std::uint64_t> counts) {
  std::vector<std::uint64_t> sorted;
  std::copy_if(counts.begin(), counts.end(), std::back_inserter(sorted), [](std::uint64_t c) { return c > 0; });
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  series out;
  for (double rank = 1; rank < static_cast<double>(sorted.size()) + 1; rank = std::max(std::floor(rank * 1.03), rank + 1))
    out.push_back({std::log10(rank), std::log10(static_cast<double>(sorted[static_cast<std::size_t>(rank) - 1]))});
  return out;
}
}  // namespace detail

CLIPX_INLINE std::string draw_counts(std::span<const std::uint64_t> before, std::span<const std::uint64_t> after) {
  detail::chart chart;
  chart.title = "Texts that hold an entry, by its rank";
  chart.x_label = "rank (log10)";
  chart.y_label = "texts (log10)";
  chart.curves.push_back({"before balancing", "one", detail::counts_by_rank(before)});
  if (!after.empty()) chart.curves.push_back({"after", "two", detail::counts_by_rank(after)});
  return detail::draw(chart, true);
}

}  // namespace clipx
