#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../io/file.hpp"
#include "curves-inl.hpp"
#include "metrics-inl.hpp"
#include "report.hpp"

namespace clipx {
namespace detail {

/// A record by name, in the order in which names first occur.
struct run_record {
  std::vector<std::pair<std::string, series>> all;
  std::size_t lines = 0;
  dim first = 0, last = 0;  // steps

  const series* find(std::string_view name) const {
    const auto found = std::find_if(all.begin(), all.end(), [&](auto& one) { return one.first == name; });
    return found == all.end() ? nullptr : &found->second;
  }
};

CLIPX_INLINE run_record read_record(const std::string& path) {
  run_record out;
  std::unordered_map<std::string, std::size_t> index;  // into out.all
  const auto take = [&](const metrics_record& r) {
    for (const auto& [name, value] : r.values) {
      const auto [at, fresh] = index.emplace(name, out.all.size());
      if (fresh) out.all.emplace_back(name, series());
      out.all[at->second].second.push_back({static_cast<double>(r.step), value});
    }
    out.first = out.lines == 0 ? r.step : std::min(out.first, r.step);
    out.last = std::max(out.last, r.step);
    ++out.lines;
  };
  for_each_record(path, take, [](std::string_view, const error& e) { throw e; });
  return out;
}

/// A noisy series: thin as recorded, bold when smoothed. A series of few points is bold as recorded.
inline void add_noisy(chart& c, const std::string& label, const series& s) {
  if (s.size() < 30) return c.curves.push_back({label, "one", s});
  c.curves.push_back({label, "one raw", s});
  c.curves.push_back({"smoothed", "one", smoothed(s, std::max(2.0, static_cast<double>(s.size()) / 80))});
}

CLIPX_INLINE chart loss_chart(const run_record& run, const std::string& title, int width, int height) {
  chart c{title, "loss", {}, width, height};
  if (run.lines < 2) return c;
  if (const auto loss = run.find("loss")) add_noisy(c, "loss", *loss);
  if (const auto held_out = run.find("val_loss")) c.curves.push_back({"held-out loss", "two", *held_out});
  return c;
}

inline constexpr std::string_view page_style =
    ":root{color-scheme:light dark}body{margin:0 auto;max-width:1120px;padding:28px 24px 48px;background:#f6f8fa;color:#1f2328;"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}h1{font-size:26px;margin:0 0 "
    "2px;overflow-wrap:anywhere}"
    "h2{font-size:18px;margin:32px 0 10px}p{margin:0;color:#57606a}.scroll{overflow-x:auto}"
    "table{border-collapse:collapse;background:#fff;border:1px solid #d0d7de}td,th{padding:5px 14px;border-top:1px solid #e6e9ed;"
    "text-align:left;vertical-align:top}th{font-weight:600}td{overflow-wrap:anywhere}.n{text-align:right;font-variant-numeric:"
    "tabular-nums;"
    "white-space:nowrap}.curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:16px}"
    ".curves .wide{grid-column:1/-1}.chart{display:block;width:100%;height:auto}"
    "@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}p{color:#9ea7b3}table{background:#161b22;"
    "border-color:#30363d}td,th{border-color:#2b323b}}";

CLIPX_INLINE std::string figure(double value) {
  if (!std::isfinite(value)) return "not a number";
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value, std::chars_format::general, 5).ptr};
}

/// For every series: the last, the lowest and the highest value, each with its step where they differ.
CLIPX_INLINE std::string figures_table(const run_record& run) {
  std::string out =
      "<div class=\"scroll\"><table>\n<tr><th></th><th class=\"n\">last</th><th class=\"n\">at step</th><th class=\"n\">lowest</th>"
      "<th class=\"n\">at step</th><th class=\"n\">highest</th><th class=\"n\">at step</th><th class=\"n\">values</th></tr>\n";
  for (const auto& [name, s] : run.all) {
    const point *low = &s.front(), *high = low;
    std::size_t numbers = 0;
    for (const auto& p : s) {
      if (std::isnan(p.y)) continue;
      if (numbers++ == 0) low = high = &p;
      if (p.y < low->y) low = &p;
      if (p.y > high->y) high = &p;
    }
    out += cat("<tr><th>", escape_markup(name), "</th>");
    for (const point* p : {&s.back(), low, high})
      out += cat("<td class=\"n\">", figure(p->y), "</td><td class=\"n\">", grouped(cat(static_cast<dim>(p->x))), "</td>");
    out += cat("<td class=\"n\">", grouped(cat(s.size())));
    if (numbers < s.size()) out += cat(" (", grouped(cat(s.size() - numbers)), " not a number)");
    out += "</td></tr>\n";
  }
  return out + "</table></div>\n";
}

CLIPX_INLINE std::string curves_section(const run_record& run) {
  std::string out = "<div class=\"curves\">\n";
  if (auto c = loss_chart(run, "loss", 1072, 420); !c.curves.empty()) {
    c.y_label.clear();
    out += cat("<div class=\"wide\">", draw(c, false), "</div>\n");
  }
  const auto add = [&](const std::string& title, const series* s, bool noisy) {
    if (!s) return;
    chart c{title, "", {}, 528, 300};
    if (noisy) add_noisy(c, "as recorded", *s);
    else c.curves.push_back({title, "one", *s});
    out += cat("<div>", draw(c, false), "</div>\n");
  };
  add("learning rate", run.find("lr"), false);
  add("logit scale", run.find("scale"), false);
  add("pairs per second", run.find("pairs_per_second"), true);
  add("fraction of time spent waiting for data", run.find("data_wait"), true);
  for (const auto& [name, s] : run.all)
    if (name.starts_with("val_") || name.starts_with("zeroshot_")) add(name, &s, false);
  return out + "</div>\n";
}

CLIPX_INLINE std::string report_page(const run_record& run, const std::string& title,
                                     std::span<const std::pair<std::string, std::string>> facts) {
  const auto heading = escape_markup(title);
  std::string out = cat("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>", heading,
                        "</title>\n<style>", page_style, curve_style, "</style>\n</head>\n<body>\n<h1>", heading, "</h1>\n");
  if (run.lines == 0) out += "<p>The record of this run is empty: nothing was logged yet.</p>\n";
  else if (run.lines == 1)
    out += cat("<p>The record of this run has one line, of step ", grouped(cat(run.last)), ": there are no curves yet.</p>\n");
  else
    out +=
        cat("<p>Steps ", grouped(cat(run.first)), " to ", grouped(cat(run.last)), ", ", grouped(cat(run.lines)), " records.</p>\n");
  if (run.lines > 1) out += cat("<h2>Curves</h2>\n", curves_section(run));
  if (!run.all.empty()) out += cat("<h2>Final figures</h2>\n", figures_table(run));
  if (!facts.empty()) {
    out += "<h2>Settings</h2>\n<div class=\"scroll\"><table>\n";
    for (const auto& [name, value] : facts)
      out += cat("<tr><th>", escape_markup(repaired_utf8(name)), "</th><td>", escape_markup(repaired_utf8(value)), "</td></tr>\n");
    out += "</table></div>\n";
  }
  return out + "</body>\n</html>\n";
}

}  // namespace detail

CLIPX_INLINE void write_training_report(const std::string& folder, const std::string& title,
                                        std::span<const std::pair<std::string, std::string>> facts) {
  const auto run = detail::read_record(folder + "/metrics.jsonl");
  const auto name = detail::repaired_utf8(title);
  write_file(folder + "/loss.svg", detail::draw(detail::loss_chart(run, name, 860, 460), true));
  write_file(folder + "/report.html", detail::report_page(run, name, facts));
}

}  // namespace clipx
