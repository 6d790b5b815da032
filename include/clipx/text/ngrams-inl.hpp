// Definitions of ngrams.hpp.
#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "../core/error.hpp"
#include "../io/file.hpp"
#include "clean.hpp"
#include "ngrams.hpp"
#include "unicode.hpp"

namespace clipx {

CLIPX_INLINE std::vector<std::string> ngram_words(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) out.push_back(std::exchange(word, {}));
  };
  for (const char32_t c : detail::clean_text(detail::decode_utf8(text), clean_rule::openai)) {
    if (detail::is_word_part(c)) detail::append_utf8(word, c);
    else if (c != U'\'' && c != U'\u2019') finish();
  }
  finish();
  return out;
}

struct ngram_dictionary::tables {
  std::vector<std::string> words;
  std::vector<std::uint64_t> counts;
  double total = 0;  // sum of the counts
  std::vector<dim> orders;
  std::unordered_map<std::string_view, std::int32_t> ids;  // keys are views into `words`

  static dim order_of(std::string_view w) { return 1 + std::count(w.begin(), w.end(), ' '); }

  /// Adds the next n-gram. Errors are reported through `bad`.
  template <class Bad>
  void add(std::string_view w, std::uint64_t count, const Bad& bad) {
    if (count == 0) bad("expected a count of at least 1");
    const bool control = std::any_of(w.begin(), w.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    if (control || !detail::valid_utf8(w)) bad("expected words in UTF-8 without control characters");
    if (w.empty() || w.front() == ' ' || w.back() == ' ' || w.find("  ") != std::string_view::npos)
      bad("expected words separated by single spaces");
    const dim n = order_of(w), before = static_cast<dim>(orders.size());
    if (n < before) bad("expected n-grams of fewer words first");
    if (n > before + 1) bad(cat("expected n-grams of ", before + 1, " words before those of ", n));
    if (n == before && (count > counts.back() || (count == counts.back() && w <= words.back())))
      bad("expected n-grams of as many words in descending order of count, then of bytes, each once");
    orders.resize(static_cast<std::size_t>(n));
    ++orders.back();
    words.emplace_back(w);
    counts.push_back(count);
    total += static_cast<double>(count);
  }
  /// `kind`: of an empty or repetitive list.
  std::shared_ptr<const tables> finish(const std::string& name, error_kind kind) && {
    expect(!words.empty(), kind, [&] { return cat(name, ": expected a line for each n-gram, count, tab, words; got none"); });
    expect(words.size() < (std::size_t(1) << 31) - 1, error_kind::unsupported,
           [&] { return cat(name, ": expected fewer than 2^31 n-grams"); });
    auto out = std::make_shared<tables>(std::move(*this));
    out->ids.reserve(out->words.size());
    for (std::size_t i = 0; i < out->words.size(); ++i) {
      const bool is_new = out->ids.emplace(out->words[i], static_cast<std::int32_t>(i)).second;
      expect(is_new, kind, [&] { return cat(name, ": \"", out->words[i], "\" occurs twice"); });
    }
    return out;
  }
};

CLIPX_INLINE ngram_dictionary ngram_dictionary::from_bytes(std::string_view text, const std::string& name) {
  tables t;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view row = text.substr(0, end);
    if (row.ends_with('\r')) row.remove_suffix(1);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto bad = [&](const std::string& why) {
      fail(error_kind::damaged, cat(name, ", line ", line, ": ", why, ", got \"", row.substr(0, 60), "\""));
    };
    const auto tab = row.find('\t');
    std::uint64_t count = 0;
    const auto number = std::from_chars(row.data(), row.data() + std::min(tab, row.size()), count);
    if (tab == std::string_view::npos || number.ec != std::errc{} || number.ptr != row.data() + tab)
      bad("expected a count, a tab and words");
    t.add(row.substr(tab + 1), count, bad);
  }
  return ngram_dictionary(std::move(t).finish(name, error_kind::damaged));
}

CLIPX_INLINE ngram_dictionary ngram_dictionary::open(const std::string& path) {
  const auto file = mapped_file::open(path);
  auto out = from_bytes({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
  file.expect_whole();
  return out;
}

CLIPX_INLINE ngram_dictionary ngram_dictionary::from_counts(std::vector<std::pair<std::string, std::uint64_t>> counts) {
  std::sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
    const dim n = tables::order_of(a.first), m = tables::order_of(b.first);
    return n != m ? n < m : a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  tables t;
  for (auto& [words, count] : counts)
    t.add(words, count, [&, &w = words](const std::string& why) { fail(cat("n-grams: ", why, ", got \"", w, "\"")); });
  return ngram_dictionary(std::move(t).finish("n-grams", error_kind::invalid_argument));
}

CLIPX_INLINE dim ngram_dictionary::size() const { return static_cast<dim>(tables_->words.size()); }
CLIPX_INLINE const std::vector<dim>& ngram_dictionary::orders() const { return tables_->orders; }
CLIPX_INLINE dim ngram_dictionary::order(std::int32_t id) const { return tables::order_of(words(id)); }

CLIPX_INLINE std::string_view ngram_dictionary::words(std::int32_t id) const {
  expect(id >= 0 && id < size(), [&] { return cat("n-gram ", id, " is outside the dictionary of ", size()); });
  return tables_->words[static_cast<std::size_t>(id)];
}
CLIPX_INLINE std::uint64_t ngram_dictionary::count(std::int32_t id) const {
  expect(id >= 0 && id < size(), [&] { return cat("n-gram ", id, " is outside the dictionary of ", size()); });
  return tables_->counts[static_cast<std::size_t>(id)];
}

CLIPX_INLINE double ngram_dictionary::log_frequency(std::int32_t id) const {
  return std::log(static_cast<double>(count(id)) / tables_->total);
}

CLIPX_INLINE std::int32_t ngram_dictionary::find(std::string_view words) const {
  const auto found = tables_->ids.find(words);
  return found == tables_->ids.end() ? -1 : found->second;
}

CLIPX_INLINE void ngram_dictionary::append(std::span<const std::string> words, std::vector<std::int32_t>& ids) const {
  std::string joined;
  std::vector<std::size_t> starts;  // of each word in `joined`
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) joined += ' ';
    starts.push_back(joined.size());
    joined += words[i];
    for (std::size_t n = 1; n <= std::min(i + 1, static_cast<std::size_t>(max_n())); ++n) {
      const auto id = find(std::string_view(joined).substr(starts[i + 1 - n]));
      if (n == 1) ids.push_back(id < 0 ? unknown() : id);
      else if (id >= 0) ids.push_back(id);
    }
  }
}

CLIPX_INLINE void ngram_dictionary::append_caption(std::string_view caption, std::vector<std::int32_t>& ids) const {
  auto words = ngram_words(caption);
  words.insert(words.begin(), std::string(ngram_begin));
  words.emplace_back(ngram_end);
  append(words, ids);
}

CLIPX_INLINE std::string ngram_dictionary::text() const {
  std::string out;
  for (std::size_t i = 0; i < tables_->words.size(); ++i) out += cat(tables_->counts[i], "\t", tables_->words[i], "\n");
  return out;
}

}  // namespace clipx
