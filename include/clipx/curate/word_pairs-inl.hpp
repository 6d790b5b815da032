// Words and pairs of adjacent words in a text, counted part by part into sorted runs, and merged over all parts.
#pragma once
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "../io/file.hpp"
#include "../text/unicode.hpp"
#include "../text/word_counts-inl.hpp"
#include "captions_source-inl.hpp"
#include "matching-inl.hpp"
#include "records-inl.hpp"
#include "runs-inl.hpp"
#include "stage.hpp"

namespace clipx::detail {

/// Calls f with each word of a line.
template <class F>
void for_each_word(std::string_view line, F&& f) {
  const auto space = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  const auto alone = [](char c) { return caption_bytes[static_cast<unsigned char>(c)] == 2; };
  for (std::size_t at = 0; at < line.size();) {
    if (space(line[at])) {
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    if (!alone(line[at]))
      while (end < line.size() && !space(line[end]) && !alone(line[end])) ++end;
    f(line.substr(at, end - at));
    at = end;
  }
}

/// The counts of one part, written as sections: number of words, words that are not UTF-8, distinct words and pairs as runs.
class word_pair_counter {
 public:
  word_pair_counter(std::size_t memory, file_writer put) : memory_(memory), put_(put) {}

  void add_line(std::string_view line, std::uint64_t number) {
    bool follows = false;  // the previous piece is a word
    for_each_word(line, [&](std::string_view word) {
      if (!valid_utf8(word)) {
        if (unreadable_++ == 0) first_unreadable_ = number;
        follows = false;
        return;
      }
      ++words_;
      singles_.add(word, 1);
      if (follows) {
        pair_ += ' ';
        pair_ += word;
        pairs_.add(pair_, 1);
      }
      pair_ = word;
      follows = true;
      if (memory() > memory_) flush();
    });
  }
  void flush() {
    std::string out;
    record_writer to(out);
    to.number(words_);
    to.number(unreadable_);
    to.number(first_unreadable_);
    to.text(run_of(singles_));
    to.text(run_of(pairs_));
    put_(std::as_bytes(std::span(out.data(), out.size())));
    words_ = unreadable_ = first_unreadable_ = 0;
    singles_ = word_counts();
    pairs_ = word_counts();
  }

 private:
  /// Memory of the tables, and of sorting them.
  std::size_t memory() const { return 128 * (singles_.size() + pairs_.size()) + 3 * (singles_.bytes() + pairs_.bytes()); }
  static std::string run_of(const word_counts& counts) {
    std::vector<std::pair<std::string_view, std::uint64_t>> all;
    all.reserve(counts.size());
    counts.for_each([&](std::string_view word, std::uint64_t times) { all.emplace_back(word, times); });
    std::sort(all.begin(), all.end());
    std::string run;
    for (auto& [word, times] : all) append_counted(run, word, times);
    return run;
  }

  std::size_t memory_;
  file_writer put_;
  word_counts singles_, pairs_;
  std::string pair_;
  std::uint64_t words_ = 0, unreadable_ = 0, first_unreadable_ = 0;
};

/// The counts of all parts.
class word_pairs {
 public:
  word_pairs(const stage& work, const std::vector<caption_part>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      auto& file = files_.emplace_back(work.result(i));
      const std::string_view all(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
      for (record_reader from(all, file.path()); !from.at_end();) {
        words += from.number();
        const auto bad = from.number(), line = from.number();
        if (bad > 0) skipped.add_unreadable(cat(parts[i].path, ": line ", line + 1, ": a word that is not UTF-8"), bad);
        singles_.push_back(from.text());
        pairs_.push_back(from.text());
      }
    }
  }
  run_merge singles() const { return run_merge(singles_); }
  run_merge pairs() const { return run_merge(pairs_); }

  std::uint64_t words = 0;
  left_out skipped;

 private:
  std::list<mapped_file> files_;
  std::vector<std::string_view> singles_, pairs_;
};

/// log2(c_ab N / (c_a c_b)).
inline double pointwise_information(std::uint64_t both, std::uint64_t a, std::uint64_t b, std::uint64_t all) {
  const auto wide = [](std::uint64_t n) { return static_cast<long double>(n); };
  return std::log2(static_cast<double>(wide(both) * wide(all) / (wide(a) * wide(b))));
}

/// Calls f(pmi, "a b") for each pair with at least this PMI. Pairs are joined with the counts of their first words in the order of
/// those, then with the counts of their second words; in between they are sorted on disk. Returns the number of distinct pairs.
template <class F>
std::uint64_t for_each_bigram(const word_pairs& counted, double least, const std::string& scratch, std::size_t memory, F&& f) {
  std::uint64_t distinct = 0;
  string_sorter by_second(scratch, memory);
  {
    auto words = counted.singles();
    bool more = words.next();
    for (auto pairs = counted.pairs(); pairs.next();) {
      ++distinct;
      const auto cut = pairs.text.find(' ');
      const auto first = pairs.text.substr(0, cut);
      while (more && words.text < first) more = words.next();
      expect(more && words.text == first, error_kind::damaged,
             "curate: a pair of words that were not counted; remove the state folder");
      // its second word occurs at least as often as the pair
      if (pointwise_information(pairs.count, words.count, pairs.count, counted.words) < least) continue;
      std::string record = cat(pairs.text.substr(cut + 1), ' ', first, ' ');
      append_varint(record, pairs.count);
      append_varint(record, words.count);
      by_second.add(std::move(record));
    }
  }
  auto words = counted.singles();
  bool more = words.next();
  std::string text;
  for (auto records = by_second.merged(); records.next();) {
    const auto one = records.text.find(' '), two = records.text.find(' ', one + 1);
    const auto second = records.text.substr(0, one), first = records.text.substr(one + 1, two - one - 1);
    run_cursor numbers(records.text.substr(two + 1));
    const auto both = numbers.varint(), of_first = numbers.varint();
    while (more && words.text < second) more = words.next();
    expect(more && words.text == second, error_kind::damaged,
           "curate: a pair of words that were not counted; remove the state folder");
    const double pmi = pointwise_information(both, of_first, words.count, counted.words);
    if (pmi < least) continue;
    text = cat(first, ' ', second);
    f(pmi, std::string_view(text));
  }
  return distinct;
}

}  // namespace clipx::detail
