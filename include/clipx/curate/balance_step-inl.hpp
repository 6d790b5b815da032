// Definitions of balance_step.hpp.
#pragma once
#include <algorithm>
#include <utility>

#include "balance-inl.hpp"
#include "balance_step.hpp"
#include "curation-inl.hpp"
#include "records-inl.hpp"

namespace clipx {
namespace detail {

/// The entries in a sample's captions, each once, ascending.
class sample_entries {
 public:
  explicit sample_entries(const query_matcher& queries) : queries_(queries) {}
  /// Also calls f with those of each caption.
  template <class F>
  std::span<const std::uint32_t> operator()(std::span<const std::string_view> captions, F&& f) {
    all_.clear();
    for (const auto caption : captions) {
      queries_(caption, ids_, scratch_);
      f(std::span<const std::uint32_t>(ids_));
      all_.insert(all_.end(), ids_.begin(), ids_.end());
    }
    std::sort(all_.begin(), all_.end());
    all_.erase(std::unique(all_.begin(), all_.end()), all_.end());
    return all_;
  }
  std::span<const std::uint32_t> operator()(std::span<const std::string_view> captions) {
    return (*this)(captions, [](auto) {});
  }

 private:
  const query_matcher& queries_;
  std::vector<std::uint32_t> all_, ids_;
  std::string scratch_;
};

inline verdict no_entry(const captioned_sample& s) {
  return {"no entry", "expected a caption with an entry of the query list",
          s.uncaptioned.empty() ? dropped_as::judged : dropped_as::missing};
}

/// Counts the captions of a shard that contain each entry.
CLIPX_INLINE std::string count_shard(const curation& here, std::size_t shard, const query_matcher& queries) {
  std::vector<std::uint64_t> counts(queries.entries().size());
  sample_entries entries(queries);
  here.walk(shard, [&](const captioned_sample& s, decision&& d) {
    if (!d.kept()) return;
    entries(s.captions, [&](std::span<const std::uint32_t> ids) {
      for (const auto id : ids) ++counts[id];
    });
  });
  std::string record;
  record_writer(record).counts(counts);
  return record;
}

}  // namespace detail

CLIPX_INLINE void match_samples(curation& here, const std::string& step, const match_config& config) {
  const auto& queries = *config.queries;
  here.run(step, std::to_string(detail::hash_of_queries(queries)), [&](std::size_t shard, std::vector<decision>& all) {
    detail::sample_entries entries(queries);
    here.walk(shard, [&](const captioned_sample& s, decision&& before) {
      all.push_back(std::move(before));
      auto& d = all.back();
      if (!d.kept()) return;
      std::string list;
      for (const auto id : entries(s.captions)) list += cat(list.empty() ? "" : ",", detail::json_quoted(queries.entries()[id]));
      add_facts(d, step, cat("{\"entries\":[", list, "]}"));
      if (!list.empty()) return;
      d.step = step;
      d.why = detail::no_entry(s);
    });
  });
}

CLIPX_INLINE void balance_samples(curation& here, const std::string& step, const balance_config& config) {
  const auto& queries = *config.queries;
  const auto hash = std::to_string(detail::hash_of_queries(queries));
  const auto counted = here.prepare(step + "-counts", hash, [&](std::size_t shard, file_writer put) {
    detail::put_record(put, detail::count_shard(here, shard, queries));
  });
  if (!counted) return;
  entry_counts counts{queries.entries(), std::vector<std::uint64_t>(queries.entries().size())};
  for (std::size_t i = 0; i < here.shards().size(); ++i) {
    const auto file = counted->result(i);
    detail::record_reader(detail::record_of(file), file.path()).add_counts(counts.counts);
  }
  const auto t = config.tail_share ? threshold_of_tail(counts.counts, *config.tail_share) : config.t;
  const balancer balance(counts, t, config.seed);
  const auto options = cat(hash, " ", here.hash_of_all(), " ", t, " ", config.seed);
  here.run(step, options, [&](std::size_t shard, std::vector<decision>& all) {
    detail::sample_entries entries(queries);
    here.walk(shard, [&](const captioned_sample& s, decision&& before) {
      all.push_back(std::move(before));
      auto& d = all.back();
      if (!d.kept()) return;
      const auto ids = entries(s.captions);
      const auto decided = balance(d.key, ids);
      add_facts(d, step, cat("{\"p\":", decided.p, ",\"t\":", t, "}"));
      if (decided.kept) return;
      d.step = step;
      d.why = ids.empty() ? detail::no_entry(s) : verdict{"drawn", cat("kept with probability ", decided.p)};
    });
  });
}

}  // namespace clipx
