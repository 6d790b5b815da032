// Definitions of report.hpp.
#pragma once
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "../core/hash.hpp"
#include "../core/json-inl.hpp"
#include "../train/curves-inl.hpp"
#include "../train/metrics-inl.hpp"
#include "curation-inl.hpp"
#include "output-inl.hpp"
#include "report.hpp"
#include "thumbnail-inl.hpp"

namespace clipx {
namespace detail {

/// The positions of some samples of a kind: those with the lowest hashes.
struct chosen_samples {
  struct one {
    std::uint64_t hash;
    std::size_t shard, place;
    auto operator<=>(const one&) const = default;
  };
  std::set<one> all;
  void offer(const one& s, std::size_t most) {
    all.insert(s);
    if (all.size() > most) all.erase(std::prev(all.end()));
  }
};

/// The content of the report, collected from all decisions.
struct report_facts {
  std::map<std::string, chosen_samples> chosen;                           // by the step that dropped them; "": kept
  std::vector<std::uint64_t> cosines = std::vector<std::uint64_t>(2001);  // from -1 to 1 in thousandths
  std::uint64_t scored = 0;
};

inline void count_cosines(report_facts& to, const decision& d) {
  if (d.facts.find("\"clip_score\"") == std::string::npos) return;
  for (const auto& facts : json::parse(d.facts)) {
    if (!facts.is_object() || !facts.contains("clip_score")) continue;
    const double cosine = facts.at("clip_score").at("cosine").get<double>();
    ++to.cosines[static_cast<std::size_t>(std::clamp(cosine * 1000 + 1000, 0.0, 2000.0))];
    ++to.scored;
  }
}

CLIPX_INLINE report_facts collect_facts(const curation& here) {
  constexpr std::size_t most_kept = 24, most_dropped = 12;
  report_facts out;
  for (std::size_t shard = 0; shard < here.shards().size(); ++shard) {
    std::size_t place = 0;
    here.walk(shard, [&](decision&& d) {
      out.chosen[d.step].offer({hash_of(cat(shard, " ", d.key)), shard, place++}, d.kept() ? most_kept : most_dropped);
      count_cosines(out, d);
    });
  }
  return out;
}

/// The card that shows a sample.
CLIPX_INLINE std::string sample_card(const captioned_sample& s, const decision& d) {
  std::string tag = "<div class=\"none\">not shown</div>";
  try {
    if (const auto file = s.members->image()) tag = cat("<img alt=\"\" src=\"", thumbnail_url(*file, d.key), "\">");
  } catch (const error&) { tag = "<div class=\"none\">does not decode</div>"; }
  std::u32string caption = s.captions.empty() ? std::u32string() : decode_utf8(s.captions[0]);
  if (caption.size() > 160) caption = caption.substr(0, 160) + U"\u2026";
  std::string out = cat("<figure>", tag, "<figcaption>", escape_markup(encode_utf8(caption)));
  if (!d.kept())
    out += cat("<b>", escape_markup(repaired_utf8(d.why.reason)), "</b><i>", escape_markup(repaired_utf8(d.why.detail)), "</i>");
  return out + cat("<code>", escape_markup(repaired_utf8(d.key)), "</code></figcaption></figure>\n");
}

/// The cards of all chosen samples, by step, in the order of the data.
CLIPX_INLINE std::map<std::string, std::string> sample_cards(const curation& here, const report_facts& facts) {
  std::map<std::pair<std::size_t, std::size_t>, std::string> step_at;  // by shard and index
  for (const auto& [step, chosen] : facts.chosen)
    for (const auto& one : chosen.all) step_at[{one.shard, one.place}] = step;
  std::map<std::string, std::string> cards;
  for (auto at = step_at.begin(); at != step_at.end();) {
    const auto shard = at->first.first;
    std::size_t place = 0;
    here.walk(shard, [&](const captioned_sample& s, decision&& d) {
      if (at != step_at.end() && at->first == std::pair(shard, place)) cards[(at++)->second] += sample_card(s, d);
      ++place;
    });
  }
  return cards;
}

CLIPX_INLINE std::string steps_table(const curation& here) {
  std::string out = "<table>\n<tr><th>step</th><th class=\"n\">samples</th><th class=\"n\">dropped</th><th>why</th></tr>\n";
  std::uint64_t before = here.total().samples;
  for (const auto& [step, after] : here.steps()) {
    std::string why;
    for (const auto& [reason, n] : after.dropped)
      if (reason.starts_with(step + ": "))
        why += cat(why.empty() ? "" : "<br>", escape_markup(repaired_utf8(reason.substr(step.size() + 2))), ": ", grouped(cat(n)));
    out += cat("<tr><th>", escape_markup(step), "</th><td class=\"n\">", grouped(cat(before)), "</td><td class=\"n\">",
               grouped(cat(before - after.kept)), "</td><td>", why, "</td></tr>\n");
    before = after.kept;
  }
  return out + cat("<tr><th>stay</th><td class=\"n\">", grouped(cat(before)), "</td><td></td><td></td></tr>\n</table>\n");
}

CLIPX_INLINE std::string problems_section(const caption_report& r) {
  if (r.skipped.none() && r.uncaptioned + r.empty == 0) return "";
  std::string out =
      cat("<h2>What was left out</h2>\n<p>Parts of the data: ", r.skipped.count, ", of them unreadable: ", r.skipped.unreadable,
          "; broken shards: ", r.broken_shards, "; captions that are not UTF-8, too long or not in the JSON: ", r.unreadable,
          "; empty captions: ", r.empty, "; samples without a caption: ", r.uncaptioned, ".</p>\n");
  for (const auto& why : r.skipped.first) out += cat("<p><code>", escape_markup(repaired_utf8(why)), "</code></p>\n");
  return out;
}

/// For each cosine, the fraction of samples at or above it: what a threshold would keep.
CLIPX_INLINE std::string cosine_chart(const report_facts& facts) {
  if (facts.scored == 0) return "";
  chart c{"Fraction of samples at or above a cosine of image and caption", "", {}, 1072, 380};
  c.x_label = "cosine, in thousandths";
  series points;
  std::uint64_t above = facts.scored;
  for (std::size_t i = 0; i < facts.cosines.size() && above > 0; ++i) {
    if (above < facts.scored || facts.cosines[i] > 0)
      points.push_back({static_cast<double>(i) - 1000, static_cast<double>(above) / static_cast<double>(facts.scored)});
    above -= facts.cosines[i];
  }
  c.curves.push_back({"share", "one", points});
  return cat("<h2>Cosines</h2>\n", draw(c, false));
}

inline constexpr std::string_view report_style =
    ":root{color-scheme:light dark}body{margin:0 auto;max-width:1120px;padding:28px 24px 48px;background:#f6f8fa;color:#1f2328;"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}h1{font-size:26px;margin:0}h2{font-size:18px;"
    "margin:32px 0 10px}table{border-collapse:collapse;background:#fff;border:1px solid #d0d7de}td,th{padding:5px 14px;border-top:"
    "1px solid #e6e9ed;text-align:left;vertical-align:top}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:12px}figure{margin:0;padding:8px;background:"
    "#fff;border:1px solid #d0d7de;border-radius:6px;overflow-wrap:anywhere;font-size:13px}img{display:block;margin:0 auto 6px;"
    "max-width:100%}.none{color:#57606a;text-align:center;padding:40px 0}figcaption>*{display:block;margin-top:4px;color:#57606a}"
    ".chart{display:block;width:100%;height:auto}@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}table,"
    "figure{background:#161b22;border-color:#30363d}td,th{border-color:#2b323b}figcaption>*{color:#9ea7b3}}";

}  // namespace detail

CLIPX_INLINE void write_curation_report(const curation& here, const curation_output& output, const std::string& path) {
  const auto facts = detail::collect_facts(here);
  const auto cards = detail::sample_cards(here, facts);
  const auto total = here.total();
  std::string page =
      cat("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width="
          "device-width, initial-scale=1\">\n<title>Curation</title>\n<style>",
          detail::report_style, detail::curve_style, "</style>\n</head>\n<body>\n<h1>Curation</h1>\n<p>",
          detail::grouped(cat(total.kept)), " of ", detail::grouped(cat(total.samples)), " samples stay, in ",
          detail::grouped(cat(output.shards.size())), " shards; ", detail::grouped(cat(output.removed)),
          " are in removed.jsonl.</p>\n<h2>Steps</h2>\n", detail::steps_table(here), detail::problems_section(total.read),
          detail::cosine_chart(facts));
  const auto add = [&](const std::string& title, const std::string& step) {
    if (const auto at = cards.find(step); at != cards.end())
      page += cat("<h2>", detail::escape_markup(title), "</h2>\n<div class=\"cards\">\n", at->second, "</div>\n");
  };
  add("Some that stay", "");
  for (const auto& step : here.steps()) add(cat("Some that \"", step.step, "\" dropped"), step.step);
  const detail::final_lock alone(here);
  detail::remove_temporary(path);
  write_file(path, page + "</body>\n</html>\n");
}

}  // namespace clipx
