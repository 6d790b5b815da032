// Curves as SVG, for report-inl.hpp.
#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/mat.hpp"

namespace clipx::detail {

/// Values by step, as recorded; NaN if a value was not a number.
struct point {
  double x = 0, y = 0;
};
using series = std::vector<point>;

/// Text for HTML and XML: markup characters are escaped, control characters become spaces. The text must be UTF-8.
CLIPX_INLINE std::string escape_markup(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < ' ' || c == 127 ? ' ' : c;
    }
  return out;
}

inline bool drawable(double y) { return std::abs(y) < 1e100; }  // not NaN, and differences do not overflow

/// At most 2 * buckets points: the lowest and the highest of each run of adjacent points, in their order;
/// NaN for a run of only NaN.
CLIPX_INLINE series thin(const series& all, std::size_t buckets = 400) {
  if (all.size() <= 2 * buckets) return all;
  series out;
  for (std::size_t b = 0; b < buckets; ++b) {
    const auto from = b * all.size() / buckets, to = (b + 1) * all.size() / buckets;
    auto low = from, high = from;
    for (auto i = from; i < to; ++i) {
      if (!drawable(all[i].y)) continue;
      if (!drawable(all[low].y) || all[i].y < all[low].y) low = i;
      if (!drawable(all[high].y) || all[i].y > all[high].y) high = i;
    }
    out.push_back(all[std::min(low, high)]);
    if (low != high) out.push_back(all[std::max(low, high)]);
  }
  return out;
}

/// The mean of each value and its neighbors, weighted by exp(-|distance| / reach); at both ends, over one side only.
/// NaN has no weight.
CLIPX_INLINE series smoothed(const series& all, double reach) {
  const double keep = std::exp(-1 / reach);
  series sum(all.size());  // x: sums of weights, y: of weighted values
  const auto pass = [&](auto at, bool own) {
    double weight = 0, value = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      weight *= keep;
      value *= keep;
      const std::size_t k = at(i);
      const double w = drawable(all[k].y) ? 1 : 0, v = w > 0 ? all[k].y : 0;
      if (!own) {  // the value itself is counted in the other pass only
        sum[k].x += weight;
        sum[k].y += value;
      }
      weight += w;
      value += v;
      if (own) {
        sum[k].x += weight;
        sum[k].y += value;
      }
    }
  };
  pass([](std::size_t i) { return i; }, true);
  pass([&](std::size_t i) { return all.size() - 1 - i; }, false);
  for (std::size_t i = 0; i < all.size(); ++i) sum[i] = {all[i].x, drawable(all[i].y) ? sum[i].y / sum[i].x : std::nan("")};
  return sum;
}

/// Digits in groups of three: 12,500.
CLIPX_INLINE std::string grouped(std::string digits) {
  const auto dot = std::min(digits.find('.'), digits.size()), first = static_cast<std::size_t>(digits[0] == '-');
  for (auto at = dot; at > first + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

/// A number with as many digits as distinguish multiples of `unit`: 0.25, 12,500, 1.5e-4.
CLIPX_INLINE std::string tick_label(double value, double unit) {
  if (std::abs(value) < unit / 2) return "0";
  char text[64];
  const int place = static_cast<int>(std::floor(std::log10(unit) + 1e-9));
  if (place >= -4 && std::abs(value) < 1e7) {
    const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, std::max(0, -place)).ptr;
    return grouped({text, end});
  }
  const int digits = std::clamp(static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9)) - place, 0, 15);
  const std::string_view number(
      text,
      static_cast<std::size_t>(std::to_chars(text, text + sizeof text, value, std::chars_format::scientific, digits).ptr - text));
  const auto e = number.find('e');
  auto mantissa = std::string(number.substr(0, e));
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  const auto power = number.substr(e + 2), figures = power.substr(std::min(power.find_first_not_of('0'), power.size() - 1));
  return cat(mantissa, number[e + 1] == '-' ? "e-" : "e", figures);
}

/// An axis for what is drawn: ticks at round numbers, first to last inclusive.
struct axis {
  double low = 0, high = 1, unit = 1;

  /// For values in [from, to]. An axis starts at 0 if `from` is near 0 in relation to `to`. An axis of steps ends with the last
  /// step and has whole numbers as ticks; an axis of values ends at ticks.
  axis(double from, double to, int most, bool steps) {
    if (!(from <= to)) {
      from = 0;
      to = 1;
    }
    const double size = std::max(std::abs(from), std::abs(to));
    if (to - from <= 1e-9 * size) {
      const double around = size == 0 ? 1 : size / 10;
      from -= around;
      to += around;
    }
    if (from > 0 && from < 0.35 * to) from = 0;
    const double rough = (to - from) / most, power = std::pow(10, std::floor(std::log10(rough)));
    unit = power * (rough <= power ? 1 : rough <= 2 * power ? 2 : rough <= 5 * power ? 5 : 10);
    if (steps) unit = std::max(unit, 1.0);
    low = steps ? from : std::floor(from / unit + 1e-9) * unit;
    high = steps ? to : std::ceil(to / unit - 1e-9) * unit;
  }
  double place(double value) const { return (value - low) / (high - low); }
  double first() const { return std::ceil(low / unit - 1e-9); }
  double last() const { return std::floor(high / unit + 1e-9); }
};

struct curve {
  std::string label, look;  // classes of curve_style
  series points;
};

struct chart {
  std::string title, y_label;
  std::vector<curve> curves;
  int width = 860, height = 460;
  std::string x_label = "step";
};

/// Styles of curves and frames, for light and dark mode. Without variables, which converters to other formats do not support.
inline constexpr std::string_view curve_style =
    ".chart text{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#57606a}"
    ".chart .title{font-size:16px;font-weight:600;fill:#1f2328}.chart .paper{fill:#ffffff}"
    ".chart .grid{stroke:#e6e9ed;stroke-width:1}.chart .base{stroke:#8c959f;stroke-width:1}"
    ".chart path{fill:none;stroke-linejoin:round;stroke-linecap:round;stroke-width:2.2}.chart "
    ".raw{stroke-width:1;stroke-opacity:.32}.chart .key{stroke-width:3}"
    ".chart .one{stroke:#1f6feb}.chart .two{stroke:#d9730d}.chart circle.one{fill:#1f6feb}.chart circle.two{fill:#d9730d}"
    "@media (prefers-color-scheme:dark){.chart text{fill:#9ea7b3}.chart .title{fill:#e6edf3}.chart .paper{fill:#161b22}"
    ".chart .grid{stroke:#2b323b}.chart .base{stroke:#6e7681}.chart .one{stroke:#6cb0ff}.chart .two{stroke:#f0a04b}"
    ".chart circle.one{fill:#6cb0ff}.chart circle.two{fill:#f0a04b}}";

/// A coordinate with one decimal, which is enough for a screen.
CLIPX_INLINE std::string px(double v) {
  char text[32];
  std::string out(text, std::to_chars(text, text + sizeof text, v, std::chars_format::fixed, 1).ptr);
  if (out.ends_with(".0")) out.resize(out.size() - 2);
  return out;
}
CLIPX_INLINE std::string svg_text(double x, double y, std::string_view attributes, std::string_view words) {
  return cat("<text x=\"", px(x), "\" y=\"", px(y), "\"", attributes, ">", escape_markup(words), "</text>\n");
}
CLIPX_INLINE std::string svg_line(std::string_view look, double x1, double y1, double x2, double y2) {
  return cat("<line class=\"", look, "\" x1=\"", px(x1), "\" y1=\"", px(y1), "\" x2=\"", px(x2), "\" y2=\"", px(y2), "\"/>\n");
}

/// Maps values to coordinates in the drawing.
struct plane {
  axis x, y;
  double left, top, wide, tall;
  double at_x(double v) const { return left + wide * x.place(v); }
  double at_y(double v) const { return top + tall * (1 - y.place(v)); }
};

CLIPX_INLINE std::string svg_axes(const plane& p, const std::string& x_label) {
  std::string out;
  for (double k = p.y.first(); k <= p.y.last(); ++k) {
    const double v = k * p.y.unit, at = p.at_y(v);
    out += svg_line("grid", p.left, at, p.left + p.wide, at);
    out += svg_text(p.left - 10, at + 4.5, " text-anchor=\"end\"", tick_label(v, p.y.unit));
  }
  const double foot = p.top + p.tall;
  out += svg_line("base", p.left, foot, p.left + p.wide, foot);
  for (double k = p.x.first(); k <= p.x.last(); ++k) {
    const double v = k * p.x.unit, at = p.at_x(v);
    out += svg_line("base", at, foot, at, foot + 5);
    out += svg_text(at, foot + 21, " text-anchor=\"middle\"", tick_label(v, p.x.unit));
  }
  return out + svg_text(p.left + p.wide / 2, foot + 42, " text-anchor=\"middle\"", x_label);
}

/// A curve, interrupted at NaN; if there are few points, they are marked.
CLIPX_INLINE std::string svg_curve(const plane& paper, std::string_view look, const series& points) {
  std::string path, marks;
  bool down = false;  // whether the pen is down
  std::size_t numbers = 0;
  for (const auto& p : points) {
    if (!drawable(p.y)) {
      down = false;
      continue;
    }
    const auto x = px(paper.at_x(p.x)), y = px(paper.at_y(p.y));
    path += down ? cat(" ", x, " ", y) : cat("M", x, " ", y, " L", x, " ", y);  // with round caps, a single point is a dot
    marks += cat("<circle class=\"", look, "\" cx=\"", x, "\" cy=\"", y, "\" r=\"3.2\"/>\n");
    down = true;
    ++numbers;
  }
  return cat("<path class=\"", look, "\" d=\"", path, "\"/>\n", numbers <= 40 ? marks : "");
}

/// Draws a chart as an <svg> element: title, legend if there are several curves, round ticks, curves of at most 800 points each.
/// `alone`: for a separate file, which then includes the style.
CLIPX_INLINE std::string draw(const chart& c, bool alone) {
  std::vector<series> drawn;
  double x0 = HUGE_VAL, x1 = -HUGE_VAL, y0 = HUGE_VAL, y1 = -HUGE_VAL;
  for (const auto& one : c.curves)
    for (auto& p : drawn.emplace_back(thin(one.points))) {
      if (std::abs(p.y) < 1e-100) p.y = 0;
      if (drawable(p.y)) {
        x0 = std::min(x0, p.x);
        x1 = std::max(x1, p.x);
        y0 = std::min(y0, p.y);
        y1 = std::max(y1, p.y);
      }
    }
  const double left = c.y_label.empty() ? 64 : 78, top = c.curves.size() > 1 ? 70 : 50, wide = c.width - left - 34,
               tall = c.height - top - 52, middle = top + tall / 2;
  const plane paper{axis(x0, x1, std::max(2, static_cast<int>(wide / 85)), true),
                    axis(y0, y1, std::max(3, static_cast<int>(tall / 42)), false),
                    left,
                    top,
                    wide,
                    tall};

  std::string out = cat("<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", c.width, " ", c.height,
                        "\" role=\"img\" aria-label=\"", escape_markup(c.title), "\"");
  out += alone ? cat(" width=\"", c.width, "\" height=\"", c.height, "\">\n<style>", curve_style, "</style>\n") : ">\n";
  out += cat("<rect class=\"paper\" width=\"", c.width, "\" height=\"", c.height, "\" rx=\"6\"/>\n");
  out += svg_text(left, 29, " class=\"title\"", c.title);
  if (!(x0 <= x1)) return out + svg_text(left + wide / 2, middle, " text-anchor=\"middle\"", "nothing to draw yet") + "</svg>\n";
  out += svg_axes(paper, c.x_label);
  if (!c.y_label.empty())
    out += svg_text(20, middle, cat(" text-anchor=\"middle\" transform=\"rotate(-90 20 ", px(middle), ")\""), c.y_label);
  double key = left;
  for (std::size_t i = 0; i < c.curves.size(); ++i) {
    const auto& [label, look, points] = c.curves[i];
    out += svg_curve(paper, look, drawn[i]);
    if (c.curves.size() < 2) continue;
    out += cat("<path class=\"", look, " key\" d=\"M", px(key), " 51 h24\"/>\n") + svg_text(key + 32, 55.5, "", label);
    key += 60 + 7.5 * static_cast<double>(label.size());
  }
  return out + "</svg>\n";
}

}  // namespace clipx::detail
