// The dictionary of a Visual N-Grams model (Li et al. 2017): the n-grams of captions with their counts,
// and texts as n-gram ids.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/mat.hpp"

namespace clipx {

/// The words that n-grams are made of: the text as CLIP cleans it (clean_rule::openai: HTML entities, lower case), with
/// apostrophes removed and every other character that is not a letter, number or mark replaced by a space.
std::vector<std::string> ngram_words(std::string_view text);

/// Framing of a caption's words before n-grams are counted. No word contains brackets, so no text can imitate it.
inline constexpr std::string_view ngram_begin = "[BEGIN]", ngram_end = "[END]";

/// Immutable; const members may be called from several threads at once. The id of an n-gram is the index of its line, so ids
/// are sorted by the number of words.
class ngram_dictionary {
 public:
  /// One line per n-gram: its count, a tab, its words separated by single spaces; sorted by the number of words, then by
  /// descending count, then by bytes. Errors, with the line: another form or order, a count of 0, invalid UTF-8, a repeated
  /// n-gram, no unigram at all.
  static ngram_dictionary open(const std::string& path);
  /// The same from the file's contents; `name` is used for it in errors.
  static ngram_dictionary from_bytes(std::string_view text, const std::string& name = "n-grams");
  /// From n-grams with their counts, in any order. Errors as above.
  static ngram_dictionary from_counts(std::vector<std::pair<std::string, std::uint64_t>> counts);

  dim size() const;  // number of n-grams
  /// Number of words of the longest n-gram.
  dim max_n() const { return static_cast<dim>(orders().size()); }
  /// Number of n-grams of 1, 2, ... words.
  const std::vector<dim>& orders() const;
  /// Number of words of an n-gram.
  dim order(std::int32_t id) const;
  std::string_view words(std::int32_t id) const;  // separated by single spaces
  std::uint64_t count(std::int32_t id) const;     // how often captions have the n-gram
  /// The logarithm of its fraction of the sum of all counts: its log-probability without an image.
  double log_frequency(std::int32_t id) const;
  /// The id of an n-gram, or -1 if it is not in the dictionary.
  std::int32_t find(std::string_view words) const;
  /// The id that stands for a word that is not a unigram of the dictionary.
  std::int32_t unknown() const { return static_cast<std::int32_t>(size()); }

  /// Appends the ids of the n-grams that end at each word, starting with the unigram (or unknown()). So a unigram or unknown()
  /// marks the start of each word.
  void append(std::span<const std::string> words, std::vector<std::int32_t>& ids) const;
  /// The same for a caption: its ngram_words() between [BEGIN] and [END].
  void append_caption(std::string_view caption, std::vector<std::int32_t>& ids) const;

  /// The contents of the dictionary's file.
  std::string text() const;

 private:
  struct tables;
  explicit ngram_dictionary(std::shared_ptr<const tables> t) : tables_(std::move(t)) {}
  std::shared_ptr<const tables> tables_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "ngrams-inl.hpp"
#endif
