// Definitions of decisions.hpp.
#pragma once
#include <utility>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "captions_source-inl.hpp"
#include "decisions.hpp"

namespace clipx {
namespace detail {

/// Facts do not contain the bytes of captions, but keys and messages may be invalid UTF-8: those bytes become U+FFFD.
inline std::string json_line(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"; }

inline json summary_json(const shard_summary& s) {
  const auto& r = s.read;
  return {{"samples", s.samples},
          {"kept", s.kept},
          {"dropped", s.dropped},
          {"captions", r.captions},
          {"empty_captions", r.empty},
          {"uncaptioned", r.uncaptioned},
          {"unreadable_captions", r.unreadable},
          {"broken_shards", r.broken_shards},
          {"left_out", r.skipped.count},
          {"unreadable", r.skipped.unreadable},
          {"other_files", r.skipped.other_files},
          {"problems", r.skipped.first}};
}

inline std::string_view chars_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Parses a line that clipx has written with `read`.
template <class Read>
auto from_line(std::string_view line, const std::string& name, std::size_t number, Read&& read) {
  try {
    return read(json::parse(line.begin(), line.end()));
  } catch (const json::exception& e) {
    fail(error_kind::damaged, cat(name, ": line ", number, ": not what curation writes: ", e.what()));
  }
}

}  // namespace detail

CLIPX_INLINE void shard_summary::add(const shard_summary& next) {
  samples += next.samples;
  kept += next.kept;
  for (auto& [reason, n] : next.dropped) dropped[reason] += n;
  read.add(next.read);
}

CLIPX_INLINE void shard_summary::count(const decision& d) {
  ++samples;
  if (d.kept()) ++kept;
  else ++dropped[cat(d.step, ": ", d.why.reason)];
}

CLIPX_INLINE void add_facts(decision& d, const std::string& step, std::string_view facts) {
  auto all = detail::parse_json(d.facts, d.key, 64);
  auto more = detail::parse_json(facts, d.key, 64);
  expect(all.is_object() && more.is_object(), [&] { return cat(d.key, ": expected facts as a JSON object, got ", facts); });
  all[step] = std::move(more);
  d.facts = all.dump(-1, ' ', false, detail::json::error_handler_t::replace);
}

CLIPX_INLINE void append_line(std::string& out, const decision& d) {
  detail::json line{{"key", d.key}, {"facts", detail::json::parse(d.facts)}};
  if (!d.kept()) {
    line["step"] = d.step;
    line["reason"] = d.why.reason;
    line["detail"] = d.why.detail;
  }
  out += detail::json_line(line);
}

CLIPX_INLINE void append_line(std::string& out, const shard_summary& s) {
  out += detail::json_line({{"summary", detail::summary_json(s)}});
}

CLIPX_INLINE void for_each_decision(std::span<const std::byte> file, const std::string& name, function_ref<void(decision&&)> f) {
  auto text = detail::chars_of(file);
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (text.empty()) return;  // the summary
    f(detail::from_line(line, name, number, [](const detail::json& j) {
      decision d;
      d.key = j.at("key").get<std::string>();
      d.facts = j.at("facts").dump();
      if (!j.contains("step")) return d;
      d.step = j.at("step").get<std::string>();
      d.why = {j.at("reason").get<std::string>(), j.at("detail").get<std::string>()};
      return d;
    }));
  }
}

CLIPX_INLINE shard_summary read_summary(std::span<const std::byte> file, const std::string& name) {
  auto text = detail::chars_of(file);
  if (text.ends_with('\n')) text.remove_suffix(1);
  const auto begin = text.rfind('\n');
  if (begin != std::string_view::npos) text.remove_prefix(begin + 1);
  return detail::from_line(text, name, 0, [&](const detail::json& line) {
    const auto count = [&](const detail::json& j, const std::string& key) {
      const auto n = detail::whole_number(&j.at(key));
      expect(n >= 0, error_kind::damaged, [&] { return cat(name, ": ", key, ": expected a count, got ", j.at(key).dump()); });
      return static_cast<std::uint64_t>(n);
    };
    const auto& j = line.at("summary");
    shard_summary s;
    s.samples = count(j, "samples");
    s.kept = count(j, "kept");
    for (auto& [reason, unused] : j.at("dropped").items()) s.dropped[reason] = count(j.at("dropped"), reason);
    s.read.samples = s.samples;
    s.read.captions = count(j, "captions");
    s.read.empty = count(j, "empty_captions");
    s.read.uncaptioned = count(j, "uncaptioned");
    s.read.unreadable = count(j, "unreadable_captions");
    s.read.broken_shards = count(j, "broken_shards");
    auto& skipped = s.read.skipped;
    skipped.count = count(j, "left_out");
    skipped.unreadable = count(j, "unreadable");
    skipped.other_files = count(j, "other_files");
    skipped.first = j.at("problems").get<std::vector<std::string>>();
    return s;
  });
}

CLIPX_INLINE std::string merge_facts(std::string_view json_text, const decision& d, const std::string& name) {
  auto all = json_text.empty() ? detail::json::object() : detail::parse_json(json_text, name, 64);
  expect(all.is_object(), error_kind::damaged,
         [&] { return cat(name, ": expected a JSON object beside the image, got ", all.dump().substr(0, 40)); });
  auto& facts = all["curate"];
  if (!facts.is_object()) facts = detail::json::object();
  facts.update(detail::parse_json(d.facts, name, 64));
  return all.dump(-1, ' ', false, detail::json::error_handler_t::replace);
}

}  // namespace clipx
