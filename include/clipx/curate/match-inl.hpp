#pragma once
#include <numeric>

#include "../core/hash.hpp"
#include "counts.hpp"
#include "match.hpp"
#include "records-inl.hpp"

namespace clipx {
namespace detail {

CLIPX_INLINE std::vector<stage_item> items_of(const std::vector<caption_part>& parts) {
  std::vector<stage_item> out;
  out.reserve(parts.size());
  for (auto& p : parts) out.push_back({p.facts});
  return out;
}

/// A hash of a query list and its padding rule.
CLIPX_INLINE std::uint64_t hash_of_queries(const query_matcher& queries) {
  std::uint64_t h = static_cast<std::uint64_t>(queries.rule());
  for (auto& e : queries.entries()) h = draws::mix(h ^ hash_of(e));
  return h;
}

/// Where captions are what is asked for, a sample of a shard that has none is left out.
inline void leave_out_uncaptioned(const caption_part& part, const captioned_sample& s, left_out& skipped) {
  if (!s.uncaptioned.empty()) skipped.add(cat(part.path, ": ", s.key), std::string(s.uncaptioned));
}

/// What one part adds to a match_result, and its lines.
CLIPX_INLINE void match_part(const query_matcher& queries, const std::vector<std::string>& quoted, const caption_part& part,
                             const curate_data& data, file_writer put) {
  caption_report report;
  std::uint64_t matched = 0;
  std::vector<std::uint64_t> counts(queries.entries().size());
  std::vector<std::uint32_t> ids;
  std::string scratch, lines, record;
  for_each_captioned(
      part, data.caption_field, report,
      [&](const captioned_sample& s) {
        leave_out_uncaptioned(part, s, report.skipped);
        for (const auto caption : s.captions) {
          queries(caption, ids, scratch);
          for (const auto id : ids) ++counts[id];
          if (ids.empty()) continue;
          ++matched;
          if (quoted.empty()) continue;
          lines += "{\"key\":";
          lines += json_quoted(s.key);
          append_entries(lines, ids, quoted);
        }
      },
      member_bytes::texts);
  if (data.strict) report.skipped.expect_none();
  record_writer to(record);
  to.report(report);
  to.number(matched);
  to.counts(counts);
  put_record(put, record);
  put_text_record(put, lines);
}

CLIPX_INLINE std::vector<std::string> quoted_entries(const std::vector<std::string>& entries) {
  std::vector<std::string> out;
  out.reserve(entries.size());
  for (auto& e : entries) out.push_back(json_quoted(e));
  return out;
}

}  // namespace detail

CLIPX_INLINE match_result match_captions(const query_matcher& queries, const curate_data& data, const std::string& folder,
                                         bool lines, stage_config config, observer& watch) {
  match_result out;
  const auto parts = list_caption_parts(data.data, out.captions.skipped, data.part_bytes);
  if (data.strict) out.captions.skipped.expect_none();
  config.folder = folder + "/state/match";
  config.options = cat("match 2 ", detail::hash_of_queries(queries), " ", lines ? 1 : 0, " ", data.caption_field);
  stage work(detail::items_of(parts), std::move(config));
  const auto quoted = lines ? detail::quoted_entries(queries.entries()) : std::vector<std::string>();
  work.run([&](std::size_t i, file_writer put) { detail::match_part(queries, quoted, parts[i], data, put); }, watch);

  out.parts = parts.size();
  out.missing = work.missing();
  out.whole = out.missing == 0;
  out.counts.resize(queries.entries().size());
  if (!out.whole) return out;
  const auto read_all = [&](match_result& to, function_ref<void(std::string_view)> with_lines) {
    to.counts.assign(queries.entries().size(), 0);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto file = work.result(i);
      detail::record_reader from(detail::record_of(file), file.path());
      to.captions.add(from.report());
      to.matched += from.number();
      from.add_counts(to.counts);
      with_lines(from.text());
    }
  };
  read_all(out, [](std::string_view) {});
  if (data.strict) out.captions.skipped.expect_none();
  if (lines)
    write_file(folder + "/matches.jsonl", [&](file_writer put) {
      match_result again;
      read_all(again, [&](std::string_view text) { detail::put_record(put, text); });
    });
  write_counts(folder + "/counts.tsv", queries.entries(), out.counts);
  out.matches = std::accumulate(out.counts.begin(), out.counts.end(), std::uint64_t{0});
  return out;
}

}  // namespace clipx
