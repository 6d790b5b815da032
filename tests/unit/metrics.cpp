// The record of a training run: its lines, what of them a resumed run keeps, TensorBoard's files read back by hand, the report.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <clipx/train/metrics.hpp>
#include <clipx/train/report.hpp>
#include <cmath>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_metrics {

using namespace clipx;
namespace fs = std::filesystem;
using facts = std::vector<std::pair<std::string, std::string>>;

namespace {

const double not_a_number = std::nan(""), infinity = std::numeric_limits<double>::infinity();

void put(metrics_log& to, dim step, const std::vector<metric>& values) { to.write(step, values); }

/// Names of the TensorBoard files, sorted.
std::vector<std::string> event_files(const temporary_folder& dir) {
  std::vector<std::string> out;
  for (const auto& one : fs::directory_iterator(dir.path))
    if (one.path().filename().string().starts_with("events.out.tfevents.")) out.push_back(one.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

/// CRC-32C from its polynomial, a bit at a time.
std::uint32_t crc32c_bits(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes)
    for (int bit = 0; bit < 8; ++bit) {
      const bool feed = (crc & 1) != (static_cast<std::uint32_t>(c) >> bit & 1);
      crc = crc >> 1 ^ (feed ? 0x82F63B78 : 0);
    }
  return ~crc;
}
std::uint32_t masked(std::string_view bytes) {
  const auto crc = crc32c_bits(bytes);
  return static_cast<std::uint32_t>(((crc >> 15) | (crc << 17)) + 0xA282EAD8ul);
}

template <class N>
N take(std::string_view& bytes) {
  N out;
  REQUIRE(bytes.size() >= sizeof out);
  std::memcpy(&out, bytes.data(), sizeof out);
  bytes.remove_prefix(sizeof out);
  return out;
}
std::uint64_t take_varint(std::string_view& bytes) {
  std::uint64_t out = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = take<unsigned char>(bytes);
    out |= std::uint64_t(byte & 127) << shift;
    if (byte < 128) return out;
  }
}

/// A protobuf message as its fields: number, wire type, and the value as bytes or as a number.
struct field {
  std::uint64_t number, type, value = 0;
  std::string_view bytes;
};
std::vector<field> message_of(std::string_view bytes) {
  std::vector<field> out;
  while (!bytes.empty()) {
    const auto key = take_varint(bytes);
    field f{key >> 3, key & 7, 0, {}};
    if (f.type == 0) f.value = take_varint(bytes);
    else if (f.type == 1) f.value = take<std::uint64_t>(bytes);
    else if (f.type == 5) f.value = take<std::uint32_t>(bytes);
    else {
      REQUIRE(f.type == 2);
      const auto n = take_varint(bytes);
      REQUIRE(bytes.size() >= n);
      f.bytes = bytes.substr(0, n);
      bytes.remove_prefix(n);
    }
    out.push_back(f);
  }
  return out;
}
template <class To, class From>
To bits(From from) {
  To out;
  static_assert(sizeof out <= sizeof from);
  std::memcpy(&out, &from, sizeof out);
  return out;
}

struct event {
  double wall_time = 0;
  std::uint64_t step = 0, what = 0;  // the number of the third field
  std::string_view body;
};
/// The events of a file, whose frames must hold.
std::vector<event> events_of(std::string_view file) {
  std::vector<event> out;
  while (!file.empty()) {
    REQUIRE(file.size() >= 16);
    const auto head = file.substr(0, 8);
    const auto n = take<std::uint64_t>(file);
    REQUIRE(take<std::uint32_t>(file) == masked(head));
    REQUIRE(file.size() >= n + 4);
    const auto body = file.substr(0, n);
    file.remove_prefix(n);
    REQUIRE(take<std::uint32_t>(file) == masked(body));
    const auto fields = message_of(body);
    REQUIRE(fields.size() == 3);
    CHECK((fields[0].number == 1 && fields[0].type == 1 && fields[1].number == 2 && fields[1].type == 0 && fields[2].type == 2));
    out.push_back({bits<double>(fields[0].value), fields[1].value, fields[2].number, fields[2].bytes});
  }
  return out;
}
/// Tags and values of a Summary.
std::vector<std::pair<std::string, float>> scalars_of(std::string_view summary) {
  std::vector<std::pair<std::string, float>> out;
  for (const auto& one : message_of(summary)) {
    REQUIRE(one.number == 1);
    const auto value = message_of(one.bytes);
    REQUIRE((value.size() == 2 && value[0].number == 1 && value[0].type == 2 && value[1].number == 2 && value[1].type == 5));
    out.emplace_back(value[0].bytes, bits<float>(value[1].value));
  }
  return out;
}

/// The points of each path of a class.
std::vector<std::vector<std::pair<double, double>>> paths(const std::string& svg, const std::string& look) {
  std::vector<std::vector<std::pair<double, double>>> out;
  const auto begin = "<path class=\"" + look + "\" d=\"";
  for (std::size_t at = 0; (at = svg.find(begin, at)) != std::string::npos;) {
    at += begin.size();
    auto text = svg.substr(at, svg.find('"', at) - at);
    for (auto& c : text)
      if (c == 'M' || c == 'L') c = ' ';
    auto& points = out.emplace_back();
    char* rest = text.data();
    for (char* next = rest;; rest = next) {
      const double x = std::strtod(rest, &next);
      if (next == rest) break;
      points.emplace_back(x, std::strtod(rest = next, &next));
    }
  }
  return out;
}
std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

}  // namespace

TEST_CASE("metrics: a line for each step") {
  const temporary_folder dir;
  const auto path = dir / "metrics.jsonl";
  write_file(path, "of a run before\n");
  metrics_log metrics(dir.path.string(), 0, false);
  CHECK(contents(path).empty());
  put(metrics, 12, {{"epoch", 0.31}, {"loss", 2.5}});
  CHECK(contents(path) == "{\"step\": 12, \"epoch\": 0.31, \"loss\": 2.5}\n");  // at once, not when the log is closed
  put(metrics, 13, {{"loss", not_a_number}, {"up", infinity}, {"down", -infinity}, {"lr", 1e-20}});
  put(metrics, 14, {});
  put(metrics, 14, {{"a \"name\"\n\\", 1.0 / 3}, {"bad \xff", -0.0}});
  CHECK(contents(path) ==
        "{\"step\": 12, \"epoch\": 0.31, \"loss\": 2.5}\n"
        "{\"step\": 13, \"loss\": null, \"up\": null, \"down\": null, \"lr\": 1e-20}\n"
        "{\"step\": 14}\n"
        "{\"step\": 14, \"a \\\"name\\\"\\n\\\\\": 0.3333333333333333, \"bad \xef\xbf\xbd\": -0}\n");
  CHECK(dir.files() == 1);
  CHECK_THAT(message([&] { put(metrics, -1, {}); }), Contains("got -1"));
  CHECK_THAT(message([&] { put(metrics, 15, {{"loss", 1}, {"lr", 1}, {"loss", 2}}); }), Contains("\"loss\" twice"));
  CHECK_THAT(message([&] { put(metrics, 15, {{"step", 1}}); }), Contains("\"step\" twice"));
  CHECK(count(contents(path), "\n") == 4);
}

TEST_CASE("metrics: a resumed run takes away what came later") {
  const temporary_folder dir;
  const auto path = dir / "metrics.jsonl", folder = dir.path.string();
  const std::string early = "{\"step\": 1, \"loss\": 3}\n{\"step\":2,\"loss\":null}\n", again = "{\"step\": 2, \"val_loss\": 3}\n";
  SECTION("later lines, one between the earlier, and a line cut off") {
    write_file(path, early + "{\"step\": 3, \"loss\": 1}\n" + again + "{\"step\": 10, \"loss\": 1}\n{\"step\": 2, \"lo");
    {
      metrics_log metrics(folder, 2, false);
      CHECK(contents(path) == early + again);
      put(metrics, 3, {{"loss", 2}});
    }
    CHECK(contents(path) == early + again + "{\"step\": 3, \"loss\": 2}\n");
    metrics_log same(folder, 3, false);
    CHECK(contents(path) == early + again + "{\"step\": 3, \"loss\": 2}\n");
    metrics_log afresh(folder, 0, false);
    CHECK(contents(path).empty());
    CHECK(dir.files() == 1);
  }
  SECTION("no lines, or no file") {
    write_file(path, "{\"step\"");
    metrics_log metrics(folder, 7, false);
    CHECK(contents(path).empty());
    fs::remove(path);
    metrics_log none(folder, 7, false);
    CHECK(contents(path).empty());
  }
  SECTION("lines that are no record") {
    const auto refused = [&](const std::string& line) {  // put aside, and said
      fs::remove(dir / "metrics.damaged.jsonl");
      write_file(path, early + line + "\n" + again);
      const metrics_log metrics(folder, 2, false);
      CHECK(contents(path) == early + again);
      CHECK(contents(dir / "metrics.damaged.jsonl") == line + "\n");
      REQUIRE(metrics.damaged().size() == 1);
      CHECK_THAT(metrics.damaged()[0], Contains(path + ": line 3: "));
      return metrics.damaged()[0];
    };
    CHECK_THAT(refused("{\"step\": 3"), Contains("not valid JSON"));
    CHECK_THAT(refused(""), Contains("not valid JSON"));
    CHECK_THAT(refused("[1]"), Contains("expected an object"));
    for (const auto* step : {"{}", "{\"step\": -1}", "{\"step\": 1.5}", "{\"step\": \"1\"}", "{\"step\": 18446744073709551615}"})
      CHECK_THAT(refused(step), Contains("whole number \"step\""));
    CHECK_THAT(refused("{\"step\": 1, \"loss\": \"low\"}"), Contains("\"loss\": expected a number or null, got \"low\""));
    CHECK_THAT(refused("{\"step\": 1, \"loss\": [1]}"), Contains("\"loss\": expected a number"));
    CHECK_THAT(refused("{\"step\": 1, \"loss\": 1, \"loss\": 2}"), Contains("appears twice"));
    CHECK_THAT(refused("{\"step\": 1, \"loss\": 1e999}"), Contains("not valid JSON"));
    CHECK_THAT(message([&] { metrics_log(folder, -1, false); }), Contains("got -1"));
  }
}

TEST_CASE("metrics: what cannot be written") {
  const temporary_folder dir;
  const auto path = dir / "metrics.jsonl", folder = dir.path.string();
  CHECK_THAT(message([&] { metrics_log(dir / "none", 0, false); }),
             Contains(dir / "none/metrics.jsonl") && Contains("cannot be written"));
  write_file(dir / "file", "");
  CHECK_THAT(message([&] { metrics_log(dir / "file", 0, true); }), Contains("cannot be written"));
  SECTION("a full disk: lines stay whole, and go on when there is room") {
    metrics_log metrics(folder, 0, true);
    put(metrics, 1, {{"loss", 1}});
    const auto before = contents(path), events = contents(dir / event_files(dir).at(0));
    struct rlimit old {};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const auto full = [&](std::size_t bytes, dim step) {
      const struct rlimit small { bytes, old.rlim_max };
      REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
      const auto what = message([&] { put(metrics, step, {{"loss", 2.25}}); });
      REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
      return what;
    };
    const auto line = full(before.size() + 10, 2);  // less than the line, so a part of it fits
    CHECK_THAT(line, Contains(path) && Contains("cannot be written: File too large") && !Contains("torn"));
    CHECK(contents(path) == before);
    const auto record = full(events.size() + 10, 3);  // room for the line, not for the event
    CHECK_THAT(record, Contains("events.out.tfevents") && Contains("cannot be written"));
    std::signal(SIGXFSZ, handler);
    CHECK(contents(dir / event_files(dir).at(0)) == events);
    put(metrics, 4, {{"loss", 3}});
    CHECK(contents(path) == before + "{\"step\": 3, \"loss\": 2.25}\n{\"step\": 4, \"loss\": 3}\n");
    CHECK(events_of(contents(dir / event_files(dir).at(0))).size() == 4);
  }
  SECTION("a device that is full") {
    if (::access("/dev/full", W_OK) != 0) return;
    fs::create_symlink("/dev/full", path);
    metrics_log metrics(folder, 0, false);
    CHECK_THAT(message([&] { put(metrics, 1, {}); }), Contains("No space left"));
  }
}

TEST_CASE("metrics: TensorBoard's file") {
  CHECK(crc32c_bits("123456789") == 0xE3069283);
  const temporary_folder dir;
  const auto folder = dir.path.string();
  const double now = static_cast<double>(std::time(nullptr));
  {
    metrics_log metrics(folder, 0, true);
    put(metrics, 1, {{"loss", 2.7}, {"train/lr", 1e-3}});
    put(metrics, 300, {{"loss", not_a_number}, {"up", infinity}});
    metrics_log moved = std::move(metrics);
    put(moved, dim(1) << 40, {{std::string(200, 'n'), -1}, {"bad \xc3", 1e300}});
    put(moved, 301, {});
  }
  REQUIRE(event_files(dir).size() == 1);
  const auto file = contents(dir / event_files(dir)[0]);
  const auto events = events_of(file);
  REQUIRE(events.size() == 6);
  for (const auto& e : events) CHECK((e.wall_time >= now && e.wall_time < now + 600));
  CHECK((events[0].what == 3 && events[0].body == "brain.Event:2" && events[0].step == 0));
  CHECK((events[1].what == 7 && events[1].step == 0));
  for (std::size_t i = 2; i < 6; ++i) CHECK(events[i].what == 5);
  using scalars = std::vector<std::pair<std::string, float>>;
  CHECK(events[2].step == 1);
  CHECK(scalars_of(events[2].body) == scalars{{"loss", 2.7f}, {"train/lr", 1e-3f}});
  CHECK(events[3].step == 300);
  const auto third = scalars_of(events[3].body);
  REQUIRE(third.size() == 2);
  CHECK((third[0].first == "loss" && std::isnan(third[0].second)));
  CHECK(third[1] == std::pair(std::string("up"), std::numeric_limits<float>::infinity()));
  CHECK(events[4].step == std::uint64_t(1) << 40);
  CHECK(scalars_of(events[4].body) ==
        scalars{{std::string(200, 'n'), -1.f}, {"bad \xef\xbf\xbd", std::numeric_limits<float>::infinity()}});
  CHECK(scalars_of(events[5].body).empty());

  // A start after step 300: a second file, which makes readers forget steps from 301 on.
  metrics_log resumed(folder, 300, true);
  const auto names = event_files(dir);
  REQUIRE(names.size() == 2);
  CHECK(contents(dir / names[0]) == file);
  const auto second = contents(dir / names[1]);
  const auto start = events_of(second);
  REQUIRE(start.size() == 2);
  CHECK((start[0].what == 3 && start[1].what == 7 && start[1].step == 301));
  const auto session = message_of(start[1].body);
  CHECK((session.size() == 1 && session[0].number == 1 && session[0].type == 0 && session[0].value == 1));
}

TEST_CASE("report: facts, figures and curves") {
  const temporary_folder dir;
  const auto folder = dir.path.string();
  {
    metrics_log metrics(folder, 0, false);
    for (dim step = 1; step <= 60; ++step) {
      put(metrics, step * 100,
          {{"epoch", static_cast<double>(step) / 10},
           {"loss", step == 31 ? not_a_number : 1 + 3 / static_cast<double>(step)},
           {"lr", 1e-4},
           {"scale", 14.3},
           {"pairs_per_second", 12345.6},
           {"data_wait", 0.01},
           {"grad_norm", 1}});
      if (step % 20 == 0) put(metrics, step * 100, {{"val_loss", 2}, {"val_<r1>", 0.5}, {"zeroshot_x", 0.25}, {"other", 1}});
    }
  }
  write_training_report(folder, "A <run> & its \"title\" \x01\xff",
                        facts{{"data", "<b>'{0..9}.tar' & \"more\"</b>"}, {"\xff<i>", ""}});
  CHECK(dir.files() == 3);
  const auto page = contents(dir / "report.html"), img = contents(dir / "loss.svg");
  const std::string title = "A &lt;run&gt; &amp; its &quot;title&quot;  \xef\xbf\xbd";
  CHECK_THAT(page, Contains("<title>" + title + "</title>") && Contains("<h1>" + title + "</h1>"));
  CHECK_THAT(img, Contains(">" + title + "</text>") && Contains("aria-label=\"" + title + "\""));
  CHECK_THAT(page, Contains("<tr><th>data</th><td>&lt;b&gt;&#39;{0..9}.tar&#39; &amp; &quot;more&quot;&lt;/b&gt;</td></tr>"));
  CHECK_THAT(page, Contains("<tr><th>\xef\xbf\xbd&lt;i&gt;</th><td></td></tr>"));
  CHECK_THAT(page, Contains("Steps 100 to 6,000, 63 records."));
  CHECK_THAT(page, Contains("<tr><th>loss</th><td class=\"n\">1.05</td><td class=\"n\">6,000</td><td class=\"n\">1.05</td>"
                            "<td class=\"n\">6,000</td><td class=\"n\">4</td><td class=\"n\">100</td>"
                            "<td class=\"n\">60 (1 not a number)</td></tr>"));
  CHECK_THAT(page, Contains("<th>grad_norm</th>"));
  // Nothing comes from elsewhere.
  CHECK(count(page, "http") == count(page, "xmlns=\"http://www.w3.org/2000/svg\""));
  for (const auto* foreign : {"<script", "<img", "<link", "url(", "@import"}) CHECK_THAT(page, !Contains(foreign));

  std::vector<std::string> charts;
  const std::string label = "aria-label=\"";
  for (std::size_t at = 0; (at = page.find(label, at)) != std::string::npos;) {
    at += label.size();
    charts.push_back(page.substr(at, page.find('"', at) - at));
  }
  CHECK(charts == std::vector<std::string>{"loss", "learning rate", "logit scale", "pairs per second",
                                           "fraction of time spent waiting for data", "val_loss", "val_&lt;r1&gt;", "zeroshot_x"});
  for (const auto& text : {page, img}) CHECK(count(text, "prefers-color-scheme:dark") >= 1);

  // The image: the loss as it is, in two parts about the NaN, the loss smoothed, the held-out loss with its three marks.
  const auto raw = paths(img, "one raw"), bold = paths(img, "one"), held = paths(img, "two");
  REQUIRE((raw.size() == 1 && bold.size() == 1 && held.size() == 1));
  CHECK(raw[0].size() == 59 + 2);
  CHECK(bold[0].size() == 59 + 2);
  CHECK(held[0].size() == 3 + 1);
  CHECK(count(img, "<circle class=\"two\"") == 3);
  for (const auto* words : {">held-out loss<", ">smoothed<", ">step<", ">0<", ">1,000<", ">6,000<", ">4.0<"})
    CHECK_THAT(img, Contains(words));
  for (std::size_t i = 1; i < raw[0].size(); ++i) {  // the loss falls: down on paper, to the right
    CHECK(raw[0][i].first >= raw[0][i - 1].first);
    CHECK(raw[0][i].second >= raw[0][i - 1].second);
  }
  // Heights are values: val_loss is 2, and the axis has its tick there.
  CHECK_THAT(img, Contains(cat("y1=\"", held[0][0].second, "\"")) || Contains(cat("y1=\"", held[0][0].second, ".0\"")));
}

TEST_CASE("report: 5,000 lines are thinned, and peaks stay") {
  const temporary_folder dir;
  std::string text;
  for (int i = 1; i <= 5000; ++i)
    text += cat("{\"step\": ", i, ", \"loss\": ", i == 3210 ? 95.0 : 1 + (i * 7919 % 100) / 100.0, "}\n");
  write_file(dir / "metrics.jsonl", text + "{\"step\": 5001, \"lo");
  write_training_report(dir.path.string(), "many", {});
  const auto img = contents(dir / "loss.svg"), page = contents(dir / "report.html");
  CHECK_THAT(page, Contains("Steps 1 to 5,000, 5,000 records."));
  for (const auto& [svg, x0, x1] : {std::tuple(img, 78.0, 826.0), std::tuple(page, 64.0, 1038.0)}) {
    const auto raw = paths(svg, "one raw"), bold = paths(svg, "one");
    REQUIRE((raw.size() == 1 && bold.size() == 1));
    CHECK((raw[0].size() > 700 && raw[0].size() <= 801));
    CHECK((bold[0].size() > 390 && bold[0].size() <= 801));
    const auto peak = std::min_element(raw[0].begin(), raw[0].end(), [](auto& a, auto& b) { return a.second < b.second; });
    CHECK(peak->first == Approx(x0 + (x1 - x0) * 3210 / 5000).margin(0.06));  // px: one place after the point
    for (const auto& [x, y] : bold[0]) CHECK((x >= x0 - 0.06 && x <= x1 + 0.06));
    const auto [low, high] =
        std::minmax_element(bold[0].begin(), bold[0].end(), [](auto& a, auto& b) { return a.second < b.second; });
    CHECK(high->second - low->second < 0.1 * (high->second - peak->second));  // the mean of 125 values about the peak
  }
  CHECK(count(img, "<circle") == 0);
  CHECK(img.size() < 40'000);
}

TEST_CASE("report: smoothed values lie among their neighbors") {
  const temporary_folder dir;
  std::string text;
  for (int i = 0; i < 200; ++i) text += cat("{\"step\": ", i, ", \"loss\": ", 3 + (i % 2 ? 1 : -1), "}\n");
  write_file(dir / "metrics.jsonl", text);
  write_training_report(dir.path.string(), "", {});
  const auto img = contents(dir / "loss.svg");
  const auto raw = paths(img, "one raw").at(0), bold = paths(img, "one").at(0);
  const double low = raw[1].second, high = raw[2].second, middle = (low + high) / 2;
  REQUIRE(low > high);
  // Weights fall by q = exp(-1 / 2.5). At an end, where they are 1, q, q^2, .., the mean leaves (1 - q) / (1 + q) of the
  // alternation; within, where they fall to both sides, its square. px: a tenth, in y and in the middle.
  const double q = std::exp(-0.4), end = (1 - q) / (1 + q), half = (low - high) / 2;
  REQUIRE(bold.size() == 201);
  for (std::size_t i = 0; i < bold.size(); ++i) {
    const bool within = i > 40 && i < 160;
    CHECK(std::abs(bold[i].second - middle) == Approx(half * (within ? end * end : end)).margin(within ? 0.1 : half * end));
  }
  CHECK(std::abs(bold[0].second - middle) == Approx(half * end).margin(0.1));
}

TEST_CASE("report: records with little in them") {
  const temporary_folder dir;
  const auto path = dir / "metrics.jsonl", folder = dir.path.string();
  const auto report = [&](const std::string& text) {
    write_file(path, text);
    write_training_report(folder, "small", facts{{"batch", "8"}});
    return contents(dir / "report.html");
  };
  for (const auto* none : {"", "{\"step\": 1, \"loss\": 1}"}) {
    const auto page = report(none);
    CHECK_THAT(page, Contains("record of this run is empty") && Contains("<th>batch</th>") && !Contains("<svg"));
    CHECK_THAT(contents(dir / "loss.svg"), Contains("nothing to draw yet") && Contains("</svg>"));
  }
  const auto one = report("{\"step\": 1234, \"loss\": 1}\n");
  CHECK_THAT(one, Contains("has one line, of step 1,234") && Contains("<th>loss</th>") && !Contains("<svg"));
  CHECK_THAT(contents(dir / "loss.svg"), Contains("nothing to draw yet"));
  CHECK_THAT(report("{\"step\": 1}\n{\"step\": 2}\n"), Contains("Steps 1 to 2") && !Contains("<svg"));
  const auto page = report("{\"step\": 5, \"loss\": null}\n{\"step\": 6, \"loss\": null, \"lr\": 0}\n");
  CHECK_THAT(page, Contains("not a number") && Contains("nothing to draw yet") && Contains("aria-label=\"learning rate\""));
  // Values that leave an axis nothing to span, or too much; only those below 1e100 are drawn.
  using pair = std::pair<std::string, std::string>;
  for (const auto& [a, b] :
       {pair("0", "0"), pair("7", "7"), pair("-3", "-3"), pair("1e300", "-1e300"), pair("1e99", "-1e99"), pair("1e-300", "3e-300"),
        pair("1e9", "1000000000.0000001"), pair("5e-324", "0"), pair("123456789", "987654321"), pair("-2e-6", "1e-5")}) {
    CAPTURE(a, b);
    report("{\"step\": 5, \"loss\": " + a + "}\n{\"step\": 5, \"loss\": " + b + "}\n");
    const auto img = contents(dir / "loss.svg");
    CHECK_THAT(img, !Contains("nan") && !Contains("inf"));
    CHECK(img.size() < 6000);
    CHECK((count(img, "class=\"grid\"") >= 2) == (a != "1e300"));
    CHECK((count(img, "<circle") == 2) == (a != "1e300"));
  }
}

TEST_CASE("report: what is wrong is named") {
  const temporary_folder dir;
  const auto path = dir / "metrics.jsonl", folder = dir.path.string();
  const auto refusal = [&] { return message([&] { write_training_report(folder, "t", {}); }); };
  CHECK_THAT(refusal(), Contains(path) && Contains("cannot be opened"));
  write_file(path, "{\"step\": 1, \"loss\": 1}\n{\"step\": 2, \"loss\"\n{\"step\": 3}\n");
  CHECK_THAT(refusal(), Contains(path + ": line 2: ") && Contains("not valid JSON"));
  CHECK(dir.files() == 1);
}

}  // namespace test_metrics
