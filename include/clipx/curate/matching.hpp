// Finds the entries of a query list in a caption, by the rules of MetaCLIP (Xu et al. 2023) and of its multilingual successor.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "automaton.hpp"

namespace clipx {

/// Where an entry is padded with spaces, so that it matches whole words only.
enum class padding {
  spaces,     // at both ends (MetaCLIP 1)
  by_script,  // before, unless its first character is punctuation or of a script without spaces; after, by its last (2)
};
/// "spaces" or "script". Errors: another name.
padding padding_by_name(const std::string& name);

/// A caption in the form that is searched: with a space at both ends and around each of , . ; : ? ! `; tabs, CR and LF become
/// spaces. Overwrites `out`.
void normalize_caption(std::string_view text, std::string& out);
/// An entry in the form that is searched for.
std::string padded_entry(std::string_view entry, padding rule);
/// Whether an entry gets no space on a side with this character: Han, Thai, Lao, Burmese, Khmer, Tibetan, ASCII punctuation and CJK
/// punctuation. Kana and Hangul get one.
bool stands_without_space(char32_t c);

/// The entries of a text with one entry per line. Errors, with the line: a file that cannot be read, no entries, an empty line, a
/// tab, invalid UTF-8.
std::vector<std::string> read_queries(const std::string& path);

/// A query list and its automaton. Safe for use by several threads at once.
class query_matcher {
 public:
  /// Errors: no entries, an empty one, those of automaton.
  explicit query_matcher(std::vector<std::string> entries, padding rule = padding::spaces);

  const std::vector<std::string>& entries() const { return entries_; }  // as given
  padding rule() const { return rule_; }                                // as given
  /// The indices of the entries in the caption, each once, ascending. Overwrites `ids`; `scratch` is reused memory.
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
