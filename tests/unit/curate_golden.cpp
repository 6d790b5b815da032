// The rules against a plain Python implementation of them (tests/golden/curate.py), on its made captions.
#include <clipx/core/hash.hpp>
#include <clipx/curate/balance.hpp>
#include <clipx/curate/queries.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"
#include "watch.hpp"

namespace test_curate_golden {

using namespace clipx;
using json = nlohmann::json;
using list = std::vector<std::string>;
namespace fs = std::filesystem;

namespace {

struct golden {
  json file = json::parse(contents(CLIPX_SOURCE_DIR "/tests/golden/curate.json"));
  list texts = file["texts"], entries = file["entries"];
  std::string lines() const {
    std::string out;
    for (auto& t : texts) out += t + "\n";
    return out;
  }
};

stage_config threads(int n, std::uint64_t part = 0, std::uint64_t parts = 1) { return {"", "", n, part, parts}; }

/// The keys and probabilities of kept.jsonl.
std::vector<std::pair<std::string, double>> kept_lines(const std::string& path) {
  std::vector<std::pair<std::string, double>> out;
  const auto text = contents(path);
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    const auto line = json::parse(text.substr(at, end - at));
    out.emplace_back(line["key"], line["p"]);
    at = end + 1;
  }
  return out;
}
}  // namespace

TEST_CASE("curation: draws, padding and matches are those of the plain implementation") {
  const golden g;
  for (auto& d : g.file["draws"]) {
    const auto seed = d[0].get<std::uint64_t>();
    const auto key = d[1].get<std::string>(), entry = d[2].get<std::string>();
    const auto bits = draws(seed, detail::hash_of(key), detail::hash_of(entry))(0);
    CHECK(static_cast<double>(bits >> 11) * 0x1p-53 == std::strtod(d[3].get<std::string>().c_str(), nullptr));
  }
  for (const auto rule : {padding::spaces, padding::by_script}) {
    const auto& want = g.file[rule == padding::spaces ? "spaces" : "script"];
    for (std::size_t i = 0; i < g.entries.size(); ++i)
      CHECK(padded_entry(g.entries[i], rule) == want["padded"][i].get<std::string>());
    const query_matcher match(g.entries, rule);
    std::vector<std::uint32_t> ids;
    std::string scratch;
    for (std::size_t i = 0; i < g.texts.size(); ++i) {
      match(g.texts[i], ids, scratch);
      REQUIRE(ids == want["found"][i].get<std::vector<std::uint32_t>>());
    }
  }
}

TEST_CASE("curation: counts and kept captions, whatever the threads, parts and processes") {
  const golden g;
  const temporary_folder dir;
  write_file(dir / "t.txt", g.lines());
  for (const auto rule : {padding::spaces, padding::by_script}) {
    const auto& want = g.file[rule == padding::spaces ? "spaces" : "script"];
    const query_matcher match(g.entries, rule);
    entry_counts counts{g.entries, want["counts"]};
    CHECK(threshold_of_tail(counts.counts, 0.2) == want["tail_t"]);
    std::string kept;
    for (const auto& [n, bytes] : {std::pair(1, std::uint64_t(1) << 20), {3, 700}, {2, 1}}) {
      const auto out = dir / cat("out", n, rule == padding::spaces ? "a" : "b");
      const auto m = match_captions(match, {{dir / "t.txt"}, "", bytes}, out, true, threads(n));
      CHECK(m.whole);
      CHECK(m.counts == counts.counts);
      CHECK(read_counts(out + "/counts.tsv").counts == counts.counts);
      CHECK(read_counts(out + "/counts.tsv").entries == g.entries);
      balance_options how;
      how.t = 20, how.seed = 7, how.rule = rule;
      balance_result b;
      for (std::uint64_t part = 0; part < 2; ++part)  // two processes
        b = balance_captions(counts, {{dir / "t.txt"}, "", bytes}, out + "/b", how, threads(n, part, 2));
      CHECK(b.whole);
      CHECK(b.before == counts.counts);
      const auto lines = kept_lines(out + "/b/kept.jsonl");
      REQUIRE(lines.size() == want["kept"].size());
      CHECK(b.kept == lines.size());
      for (std::size_t i = 0; i < lines.size(); ++i) {
        CHECK(lines[i].first == want["kept"][i].get<std::string>());
        CHECK(lines[i].second == Approx(want["p"][std::stoul(lines[i].first)].get<double>()).epsilon(1e-14));
      }
      kept.clear();
      for (auto& [key, p] : lines) kept += g.texts[std::stoul(key)] + "\n";
      CHECK(contents(out + "/b/kept.txt") == kept);
      CHECK_THAT(contents(out + "/b/counts.svg"), Contains("<svg") && Contains("rank (log10)"));
    }
  }
}

TEST_CASE("curation: query lists, whatever the threads, parts, memory and processes") {
  const golden g;
  const temporary_folder dir;
  write_file(dir / "t.txt", g.lines());
  std::string titles;
  for (auto& t : g.file["titles"]) titles += cat(t[0].get<std::string>(), "\t", t[1].get<std::uint64_t>(), "\n");
  write_file(dir / "titles.tsv", titles);
  query_sources from;
  from.text = {dir / "t.txt"};
  from.titles = dir / "titles.tsv";
  for (const bool limited : {false, true}) {
    from.unigram_min = limited ? 5 : 20;
    from.bigram_pmi = limited ? 0.5 : 3;
    from.limit = limited ? 130 : 500'000;
    const list want = g.file[limited ? "queries_limited" : "queries"];
    for (const auto& [n, bytes, memory] :
         {std::tuple(1, std::uint64_t(1) << 20, std::size_t(1) << 30), {3, 500, 1}, {2, 1, 1 << 10}}) {
      from.part_bytes = bytes;
      from.memory = memory;
      query_report r = build_queries(from, dir / "q", threads(n, 0, 2));
      if (!r.whole) r = build_queries(from, dir / "q", threads(n, 1, 2));
      CHECK(r.whole);
      CHECK(r.entries == want);
      std::string text;
      for (auto& e : want) text += e + "\n";
      CHECK(contents(dir / "q") == text);
      CHECK_FALSE(fs::exists(dir / "q.state"));
    }
  }
}

TEST_CASE("curation: a kill and other options, in a folder of shards") {
  const golden g;
  const temporary_folder dir;
  fs::create_directory(dir.path / "data");
  constexpr std::size_t a_shard = 50;
  for (std::size_t from = 0; from < g.texts.size(); from += a_shard) {
    std::string tar;
    for (std::size_t i = from; i < from + a_shard; ++i)
      tar += member(cat(i, ".jpg"), cat("picture ", i)) + member(cat(i, ".txt"), g.texts[i]);
    write_file(dir / cat("data/", from / a_shard, ".tar"), tar + end_of_tar);
  }
  const entry_counts counts{g.entries, g.file["spaces"]["counts"]};
  const list want = g.file["spaces"]["kept"];
  balance_options how;
  how.t = 20, how.seed = 8;
  const auto run = [&](observer& watch = no_observer()) {
    return balance_captions(counts, {{dir / "data"}, "", 1}, dir / "out", how, threads(2), watch);
  };
  CHECK(run().whole);  // of another seed
  how.seed = 7;
  int asked = 0;
  recorder stopping([&] { return ++asked > 3; });
  const auto stopped = run(stopping);
  CHECK_FALSE(stopped.whole);
  CHECK(stopped.missing == stopped.parts - 3);
  const auto r = run();
  CHECK(r.whole);
  CHECK(r.kept == want.size());
  list keys;
  std::size_t in_sizes = 0;
  const auto sizes = json::parse(contents(dir / "out/sizes.json"));
  for (auto& [name, samples] : sizes.items()) {
    in_sizes += samples.get<std::size_t>();
    for_each_sample(dir / ("out/" + name), [&](const sample& s) {
      keys.push_back(s.key);
      const auto img = *s.image();
      CHECK(std::string(reinterpret_cast<const char*>(img.data()), img.size()) == "picture " + s.key);
      CHECK(s.members.size() == 2);
    });
  }
  CHECK(keys == want);
  CHECK(in_sizes == want.size());

  CHECK_THAT(message([&] {
               balance_captions(counts, {{dir / "data"}, "", 1}, dir / "data", how, threads(1));
             }),
             Contains("expected another folder to write than that of the data"));
  write_file(dir / "out/00099.tar", "x");
  CHECK_THAT(message([&] { run(); }), Contains("00099.tar: a shard of something else"));
}

TEST_CASE("curation: a sample of several captions is kept or left as one") {
  const temporary_folder dir;
  write_file(dir / "s.tar", member("k.json", R"({"c": ["a cat", "a dog", "nothing"]})") + member("k.jpg", "x") + end_of_tar);
  const query_matcher match({"a", "cat", "dog"});
  const auto m = match_captions(match, {{dir / "s.tar"}, "c", 1}, dir / "m", true, threads(1));
  CHECK(m.counts == std::vector<std::uint64_t>{2, 1, 1});
  CHECK(m.matched == 2);
  CHECK(m.matches == 4);
  CHECK(contents(dir / "m/matches.jsonl") ==
        "{\"key\":\"k\",\"entries\":[\"a\",\"cat\"]}\n{\"key\":\"k\",\"entries\":[\"a\",\"dog\"]}\n");
  const auto b = balance_captions({{"a", "cat", "dog"}, {200, 100, 50}}, {{dir / "s.tar"}, "c", 1}, dir / "b", {10}, threads(1));
  CHECK(b.matched == 1);
  CHECK(b.expected == Approx(1 - 0.95 * 0.9 * 0.8));
}

TEST_CASE("curation: thresholds and probabilities") {
  CHECK(entry_probability(0, 5) == 1);
  CHECK(entry_probability(5, 5) == 1);
  CHECK(entry_probability(20, 5) == 0.25);
  const std::vector<std::uint64_t> counts{1, 1, 2, 6, 90, 0};
  CHECK(tail_share(counts, 6) == 0.04);
  CHECK(tail_share(counts, 7) == 0.1);
  CHECK(tail_share({}, 7) == 0);
  CHECK(threshold_of_tail(counts, 0.1) == 6);
  CHECK(threshold_of_tail(counts, 0.035) == 2);
  CHECK(threshold_of_tail(counts, 0) == 1);
  CHECK(threshold_of_tail(counts, 1) == 90);
  CHECK_THAT(message([&] { threshold_of_tail(counts, 1.5); }), Contains("from 0 to 1, got 1.5"));
  CHECK_THAT(message([&] { threshold_of_tail(std::vector<std::uint64_t>(3), 0.5); }), Contains("all counts are 0"));
  CHECK_THAT(message([&] { balancer({{"a"}, {1}}, 0, 0); }), Contains("at least 1, got 0"));
  const temporary_folder dir;
  const auto refused = [&](const std::string& text) {
    write_file(dir / "c", text);
    return message([&] { read_counts(dir / "c"); });
  };
  CHECK_THAT(refused(""), Contains("got an empty file"));
  CHECK_THAT(refused("a\t1\nb\n"), Contains("c: line 2: expected an entry, a tab and a count"));
  CHECK_THAT(refused("a\t1x\n"), Contains("line 1"));
  CHECK_THAT(refused("\t1\n"), Contains("line 1"));
  CHECK(refused("a b\t18446744073709551615\r\n") == "no error");
}

TEST_CASE("curation: query lists that cannot be made") {
  const temporary_folder dir;
  query_sources from;
  const auto refused = [&] { return message([&] { build_queries(from, dir / "q", threads(1)); }); };
  CHECK_THAT(refused(), Contains("got none of them"));
  from.wordnet = true, from.wordnet_folder = dir.path.string();
  CHECK_THAT(refused(), Contains("wordnet: expected data.noun") && Contains("wordnet-base"));
  for (auto* kind : {"adj", "adv", "noun", "verb"})
    write_file(dir / cat("data.", std::string_view(kind)), cat("  1 license\n00001740 03 n 02 St._", std::string_view(kind),
                                                               " 0 other 0 000 |\n00001741 03 n 01 Big_Cat(p) 0 000 |\n"));
  auto r = build_queries(from, dir / "q", threads(1));
  CHECK(list(r.entries.begin() + 100, r.entries.end()) == list{"st", "big cat"});
  from.wordnet = false, from.titles = dir / "t";
  write_file(dir / "t", "a\t100\nb 100\n");
  r = build_queries(from, dir / "q", threads(1));
  CHECK(r.entries.back() == "a");
  CHECK(r.unreadable == 0);
  CHECK_THAT(r.skipped.first.at(0), Contains("t: line 2: expected a title, a tab and a count"));
  from.strict = true;
  CHECK_THAT(refused(), Contains("left out 1, 1 of them unreadable"));
  from.strict = false;
  write_file(dir / "t", "b 100\n");
  CHECK_THAT(refused(), Contains("t: line 1: expected a title, a tab and a count"));
  write_file(dir / "t", "a\xff\t100\nb\t100\n");
  r = build_queries(from, dir / "q", threads(1));
  CHECK(r.unreadable == 1);
  CHECK_THAT(r.skipped.first.at(0), Contains("t: line 1: a title that is not UTF-8"));
  CHECK(r.entries.back() == "b");
  from.titles = "", from.text = {dir / "text"};
  write_file(dir / "text", "one two\none \xff two\n");
  from.unigram_min = 1, from.bigram_pmi = -100;
  r = build_queries(from, dir / "q", threads(1));
  CHECK(r.words == 4);
  CHECK(r.unreadable == 1);
  CHECK_THAT(r.skipped.first.at(0), Contains("text: line 2: a word"));
  CHECK(list(r.entries.begin() + 100, r.entries.end()) == list{"one", "two", "one two"});
  write_file(dir / "s.tar", member("a.txt", "b") + end_of_tar);
  from.text = {dir / "s.tar"};
  CHECK_THAT(refused(), Contains("s.tar: expected a text file, got a shard"));
}

TEST_CASE("curation: the captions of the shared pairs, against the plain loop") {
  const std::string pairs = CLIPX_SOURCE_DIR "/../shared/data/pairs/train-0003.tar";
  if (!fs::exists(pairs)) {
    WARN("skipped: " << pairs << " is not here");
    return;
  }
  const list entries{
      "a",        "a photo of a", "photo", "photo of a",      "cat", "drawing", "a drawing of", "flat vector icon", "red", "face",
      "clip art", "clip art of",  "of",    "black and white", "s",   "'s",      "not there"};
  list search;
  for (auto& e : entries) search.push_back(" " + e + " ");
  std::vector<std::uint64_t> want(entries.size());
  for_each_sample(pairs, [&](const sample& s) {
    const auto bytes = *s.find("txt");
    std::string text = " ";
    for (const auto b : bytes) {
      const auto c = static_cast<char>(b);
      if (std::string_view(",.;:?!`").find(c) != std::string_view::npos) text += std::string{' ', c, ' '};
      else text += c == '\n' || c == '\t' || c == '\r' ? ' ' : c;
    }
    text += ' ';
    for (std::size_t i = 0; i < entries.size(); ++i) want[i] += text.find(search[i]) != std::string::npos ? 1 : 0;
  });
  const temporary_folder dir;
  const auto m = match_captions(query_matcher(entries), {{pairs}, "", 1}, dir / "m", false, threads(2));
  CHECK(m.counts == want);
  CHECK(m.captions.captions == 1402);
  CHECK(m.captions.skipped.none());
}

}  // namespace test_curate_golden
