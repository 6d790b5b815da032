// Which entries of a query list a caption holds, by the rules of MetaCLIP (Xu et al. 2023) and of its multilingual successor.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "automaton.hpp"

namespace clipx {

/// Where an entry is padded with a space, so that it matches whole words alone.
enum class padding {
  spaces,     // at both ends (MetaCLIP 1)
  by_script,  // in front unless its first character is of a script that writes no spaces, or punctuation; behind by its last (2)
};
/// "spaces" or "script". Error: another word.
padding padding_by_name(const std::string& name);

/// A caption as it is searched: a space at both ends and around each of , . ; : ? ! `; tabs, CR and LF are spaces. Overwrites
/// `out`.
void normalize_caption(std::string_view text, std::string& out);
/// An entry as it is searched for.
std::string padded_entry(std::string_view entry, padding rule);
/// Whether a side that has this character gets no space: Han, Thai, Lao, Burmese, Khmer, Tibetan, ASCII punctuation and CJK
/// punctuation. Kana and Hangul get one.
bool stands_without_space(char32_t c);

/// The entries of a text with an entry a line. Errors: a file that cannot be read, no entries, an empty line, a tab, bytes that
/// are no UTF-8, by the line.
std::vector<std::string> read_queries(const std::string& path);

/// Query list and automaton. Safe for use by several threads at once.
class query_matcher {
 public:
  /// Errors: no entries, an empty one, those of automaton.
  explicit query_matcher(std::vector<std::string> entries, padding rule = padding::spaces);

  const std::vector<std::string>& entries() const { return entries_; }  // as given
  padding rule() const { return rule_; }                                // as given
  /// The entries that the caption holds, each once, by their places in the list, ascending. Overwrites `ids`; `scratch` is memory
  /// that is used again.
  void operator()(std::string_view caption, std::vector<std::uint32_t>& ids, std::string& scratch) const;
  const class automaton& automaton() const { return automaton_; }  // over the padded entries

 private:
  std::vector<std::string> entries_;
  padding rule_;
  class automaton automaton_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "matching-inl.hpp"
#endif
