#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "../data/captions-inl.hpp"
#include "captions_source-inl.hpp"
#include "match-inl.hpp"
#include "queries.hpp"
#include "word_pairs-inl.hpp"

namespace clipx {
namespace detail {

/// The list under construction.
class query_list {
 public:
  query_list(std::size_t limit, query_report& report) : limit_(limit), report_(report) {}

  bool knows(std::string_view entry) const { return seen_.contains(std::string(entry)); }
  /// Adds an entry unless it is punctuation or already in the list; `of` counts those of its source.
  void add(std::string_view entry, std::uint64_t& of) {
    if (entry.empty()) return;
    if (entry.size() == 1 && ascii_punctuation(static_cast<unsigned char>(entry[0]))) {
      ++report_.punctuation;
      return;
    }
    if (knows(entry)) return;
    if (report_.entries.size() == limit_) {
      ++report_.over_limit;
      return;
    }
    seen_.emplace(entry);
    report_.entries.emplace_back(entry);
    ++of;
  }
  std::size_t room() const { return limit_ - report_.entries.size(); }
  /// Adds those of a source that has more than there is room for.
  void add_best(best_strings&& best, std::uint64_t offered, std::uint64_t& of) {
    const auto all = best.take();
    for (auto& [score, entry] : all) add(entry, of);
    report_.over_limit += offered - all.size();
  }

 private:
  std::size_t limit_;
  query_report& report_;
  std::unordered_set<std::string> seen_;
};

/// The folder of WordNet's data files.
CLIPX_INLINE std::string find_wordnet(const std::string& given) {
  namespace fs = std::filesystem;
  std::vector<std::string> places{given};
  if (given.empty()) {
    places = {"/usr/share/wordnet", "/usr/share/wordnet/dict", "/usr/local/share/wordnet/dict", "/usr/local/WordNet-3.0/dict"};
    if (const char* home = std::getenv("WNHOME")) places.insert(places.begin(), cat(std::string_view(home), "/dict"));
  }
  std::error_code none;
  for (auto& place : places)
    if (fs::exists(fs::path(place) / "data.noun", none)) return place;
  fail(error_kind::not_found,
       cat("wordnet: expected data.noun, data.verb, data.adj and data.adv in ", given.empty() ? "one of the usual folders" : given,
           "; install Debian's wordnet-base, or name the folder that has them"));
}

/// The name of a synset from its line in a data file: "00001740 03 n 01 entity 0 ..".
CLIPX_INLINE std::string synset_name(std::string_view line) {
  for (int field = 0; field < 4; ++field) line.remove_prefix(std::min(line.find(' ') + 1, line.size()));
  std::string name = lower_ascii(line.substr(0, std::min(line.find(' '), line.size())));
  if (name.ends_with(')')) name.resize(std::min(name.find('('), name.size()));
  name.resize(std::min(name.find('.'), name.size()));
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

CLIPX_INLINE void add_synsets(const std::string& folder, query_list& to, query_report& report) {
  for (const char* kind : {"adj", "adv", "noun", "verb"})
    for_each_line(cat(folder, "/data.", std::string_view(kind)), [&](std::string_view line) {
      if (!line.empty() && line[0] != ' ') to.add(synset_name(line), report.synsets);  // lines of the license begin with spaces
    });
}

CLIPX_INLINE void add_titles(const std::string& path, std::uint64_t least, query_list& to, query_report& report) {
  std::unordered_map<std::string, std::size_t> places;
  std::vector<std::pair<std::string, std::uint64_t>> titles;
  std::uint64_t number = 0, counted = 0;
  left_out wrong;
  for_each_line(path, [&](std::string_view line) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto tab = std::min(line.rfind('\t'), line.size());
    const auto digits = line.substr(std::min(tab + 1, line.size()));
    std::uint64_t count = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), count);
    if (tab == line.size() || digits.empty() || end.ec != std::errc{} || end.ptr != digits.data() + digits.size())
      return wrong.add_unreadable(
          cat(path, ": line ", number, ": expected a title, a tab and a count, got \"", line.substr(0, 80), "\""));
    ++counted;
    std::string title(line.substr(0, tab));
    if (title.find(':') != std::string::npos) return;
    if (!valid_utf8(title)) {
      ++report.unreadable;
      return report.skipped.add_unreadable(cat(path, ": line ", number, ": a title that is not UTF-8"));
    }
    std::replace(title.begin(), title.end(), '_', ' ');
    const auto [found, added] = places.try_emplace(title, titles.size());
    if (added) titles.emplace_back(std::move(title), 0);
    titles[found->second].second += count;
  });
  expect(counted > 0 || wrong.none(), error_kind::damaged, [&] { return wrong.first[0]; });
  report.skipped.add(wrong);
  for (auto& [title, count] : titles)
    if (count >= least) to.add(title, report.titles);
}

CLIPX_INLINE void add_unigrams(const word_pairs& counted, std::uint64_t least, query_list& to, query_report& report) {
  best_strings best(to.room());
  std::uint64_t offered = 0;
  for (auto words = counted.singles(); words.next();) {
    ++report.distinct_words;
    if (words.count < least || to.knows(words.text)) continue;
    if (words.text.size() == 1 && ascii_punctuation(static_cast<unsigned char>(words.text[0]))) {
      ++report.punctuation;
      continue;
    }
    best.add(static_cast<double>(words.count), words.text);
    ++offered;
  }
  to.add_best(std::move(best), offered, report.unigrams);
}

CLIPX_INLINE void add_bigrams(const word_pairs& counted, const query_sources& sources, const std::string& scratch, query_list& to,
                              query_report& report) {
  best_strings best(to.room());
  std::uint64_t offered = 0;
  report.distinct_pairs =
      for_each_bigram(counted, sources.bigram_pmi, scratch, sources.memory, [&](double pmi, std::string_view pair) {
        if (to.knows(pair)) return;
        best.add(pmi, pair);
        ++offered;
      });
  to.add_best(std::move(best), offered, report.bigrams);
}

CLIPX_INLINE std::vector<caption_part> list_texts(const query_sources& sources, left_out& skipped) {
  if (sources.text.empty()) return {};
  auto parts = list_caption_parts(sources.text, skipped, sources.part_bytes);
  for (auto& p : parts) {
    expect(p.lines || !p.problem.empty(), [&] { return cat(p.path, ": expected a text file, got a shard"); });
    if (!p.problem.empty()) skipped.add_unreadable(p.problem);
  }
  if (sources.strict) skipped.expect_none();
  return parts;
}

CLIPX_INLINE void count_part(const caption_part& part, std::size_t memory, file_writer put) {
  if (!part.problem.empty()) return;
  const auto file = mapped_file::open(part.path);
  auto text = mapped_text(file).substr(part.begin, part.end - part.begin);
  word_pair_counter counter(memory, put);
  constexpr std::size_t held = 4 << 20;  // bytes already read that may stay in memory
  const char* released = text.data();
  for (auto line = part.first_line; !text.empty(); ++line) {
    const auto end = std::min(text.find('\n'), text.size());
    counter.add_line(text.substr(0, end), line);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (static_cast<std::size_t>(text.data() - released) < held) continue;
    file.release(released, static_cast<std::size_t>(text.data() - released));
    released = text.data();
  }
  file.expect_whole();
  counter.flush();
}

CLIPX_INLINE void write_lines(const std::string& path, const std::vector<std::string>& lines) {
  std::string text;
  for (auto& line : lines) {
    text += line;
    text += '\n';
  }
  write_file(path, text);
}

}  // namespace detail

CLIPX_INLINE query_report build_queries(const query_sources& sources, const std::string& out, stage_config config,
                                        observer& watch) {
  expect(!sources.text.empty() || sources.wordnet || !sources.titles.empty(),
         "queries: expected texts, titles or WordNet to make a list of, got none of them");
  expect(std::isfinite(sources.bigram_pmi),
         [&] { return cat("queries: bigram_pmi: expected a number, got ", sources.bigram_pmi); });
  const std::string wordnet = sources.wordnet ? detail::find_wordnet(sources.wordnet_folder) : "";
  query_report report;
  const auto parts = detail::list_texts(sources, report.skipped);
  config.folder = out + ".state";
  config.options = "queries 1";
  const auto threads =
      config.threads > 0 ? static_cast<unsigned>(config.threads) : std::max(std::thread::hardware_concurrency(), 1u);
  const std::size_t memory = std::max<std::size_t>(sources.memory / threads, 1 << 16);
  {
    stage work(detail::items_of(parts), config);
    work.run([&](std::size_t i, file_writer put) { detail::count_part(parts[i], memory, put); }, watch);
    report.parts = parts.size();
    report.missing = work.missing();
    report.whole = report.missing == 0 && work.claim();
    if (!report.whole) return report;
    const detail::word_pairs counted(work, parts);
    report.words = counted.words;
    report.unreadable = counted.skipped.unreadable;
    report.skipped.add(counted.skipped);
    detail::query_list list(sources.limit, report);
    for (int n = 0; n < 100; ++n) list.add(std::to_string(n), report.numbers);
    if (sources.wordnet) detail::add_synsets(wordnet, list, report);
    detail::add_unigrams(counted, sources.unigram_min, list, report);
    detail::add_bigrams(counted, sources, cat(config.folder, "/pairs.", config.part, "."), list, report);
    if (!sources.titles.empty()) detail::add_titles(sources.titles, sources.titles_min, list, report);
    if (sources.strict) report.skipped.expect_none();
    detail::write_lines(out, report.entries);
  }
  std::error_code none;
  std::filesystem::remove_all(config.folder, none);
  return report;
}

}  // namespace clipx
