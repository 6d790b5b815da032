// The dictionary of a Visual N-Grams model (Li et al. 2017): the n-grams of captions, their counts, and a text as ids of them.
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

/// The words that n-grams are made of: the text as CLIP cleans it (clean_rule::openai: HTML entities, lower case), apostrophes
/// removed, every other character that is no letter, number or mark taken as a space.
std::vector<std::string> ngram_words(std::string_view text);

/// Put around a caption's words before n-grams are counted. No word has brackets, so nothing in a text can be taken for them.
inline constexpr std::string_view ngram_begin = "[BEGIN]", ngram_end = "[END]";

/// Immutable; const members may be called from several threads at once. The id of an n-gram is its line, from 0, so ids are sorted
/// by the number of words.
class ngram_dictionary {
 public:
  /// A line for each n-gram: its count, a tab, its words separated by single spaces; sorted by the number of words, then in
  /// descending order of count, then by bytes. Errors, with the line: another form or order, a count of 0, no UTF-8, an n-gram
  /// twice, no unigram at all.
  static ngram_dictionary open(const std::string& path);
  /// The same from the file's contents; `name` is used for it in errors.
  static ngram_dictionary from_bytes(std::string_view text, const std::string& name = "n-grams");
  /// n-grams with their counts, in any order. Errors as above.
  static ngram_dictionary from_counts(std::vector<std::pair<std::string, std::uint64_t>> counts);

  dim size() const;  // number of n-grams
  /// Words of the longest n-gram.
  dim max_n() const { return static_cast<dim>(orders().size()); }
  /// How many n-grams there are of 1, 2, ... words.
  const std::vector<dim>& orders() const;
  /// Words of an n-gram.
  dim order(std::int32_t id) const;
  std::string_view words(std::int32_t id) const;  // separated by single spaces
  std::uint64_t count(std::int32_t id) const;     // how often captions have the n-gram
  /// The logarithm of its fraction of all the dictionary's counts: its probability without an image.
  double log_frequency(std::int32_t id) const;
  /// -1 where it is not in the dictionary.
  std::int32_t find(std::string_view words) const;
  /// Stands for a word that is no unigram of the dictionary.
  std::int32_t unknown() const { return static_cast<std::int32_t>(size()); }

  /// Appends ids of the n-grams that end at each word, from the unigram (or unknown()) up. A unigram or unknown() therefore begins
  /// the next word.
  void append(std::span<const std::string> words, std::vector<std::int32_t>& ids) const;
  /// A caption's: its ngram_words() between [BEGIN] and [END].
  void append_caption(std::string_view caption, std::vector<std::int32_t>& ids) const;

  /// The file.
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
