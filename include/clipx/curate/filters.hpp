// The filters of curation: small named rules that decide whether a sample is kept, and report why not and what they measured.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../io/fields.hpp"
#include "decisions.hpp"
#include "language.hpp"

namespace clipx {

/// Bytes of the encoded image and characters of the caption. LAION-400M's rule:
/// images of at least 5 kB, captions of at least 5 characters.
struct size_filter {
  static constexpr const char* name = "size";  // in reasons and in files
  dim min_bytes = 5000, min_characters = 5;    // the least that passes
  ///@{
  /// Applies the rule to one caption, or to the image, and adds to `facts` what it measured.
  verdict text(std::string_view caption, field_writer& facts) const;
  verdict image(std::size_t bytes, field_writer& facts) const;
  ///@}
};

/// DataComp's basic filter without its language rule: more than 2 words and 5 characters, a short side of at least 200 pixels, a
/// long side of at most 3 times the short one. Words are separated by whitespace; characters are code points.
struct basic_filter {
  static constexpr const char* name = "basic";            // in reasons and in files
  dim min_words = 3, min_characters = 6, min_side = 200;  // the least that passes
  double max_aspect = 3;                                  // long side over short side, the most that passes
  ///@{
  /// Applies the rule to one caption, or to the image, and adds to `facts` what it measured.
  verdict text(std::string_view caption, field_writer& facts) const;
  verdict image(dim width, dim height, field_writer& facts) const;
  ///@}
};

/// The caption's language by cld2 (language.hpp), which is unreliable on texts of a few words: `reliable` requires that cld2 itself
/// considers its result reliable.
struct language_filter {
  static constexpr const char* name = "language";  // in reasons and in files
  std::set<std::string> languages{"en"};           // codes of which one must be the caption's (detected_language)
  dim min_percent = 0;                             // of the caption's letters in that language
  bool reliable = false;                           // whether cld2 must consider its result reliable
  /// Applies the rule to one caption and adds to `facts` what it measured. Errors: those of detect_language().
  verdict text(std::string_view caption, field_writer& facts) const;
};

/// Captions that contain an entry of a list, whole words only, ignoring case (lower case of NFC). clipx comes without a list.
class word_list {
 public:
  static constexpr const char* name = "offensive";  // in reasons and in files
  /// A UTF-8 file with one entry per line: a word, or several separated by single spaces. Whitespace at the ends, empty lines and
  /// lines that begin with "# " are ignored. Errors: a file that cannot be read, no entries, an entry that is not UTF-8.
  static word_list read(const std::string& path);
  /// Entries that are empty after folding are ignored.
  explicit word_list(std::span<const std::string> entries);
  /// The first entry in a caption, in the caption's order; nothing if there is none.
  std::optional<std::string> find(std::string_view caption) const;
  /// Applies the rule to one caption and adds to `facts` what it found.
  verdict text(std::string_view caption, field_writer& facts) const;
  std::size_t size() const { return entries_.size(); }  // number of entries
  /// A hash of the entries.
  std::uint64_t hash() const;

 private:
  std::set<std::u32string> entries_;
  std::map<char32_t, std::set<std::size_t>> lengths_;  // of the entries, by first character
};

/// The rules that a sample must pass, in order; those that are not set are skipped.
struct filter_rules {
  std::optional<size_filter> size;                                       // the first rule
  std::optional<basic_filter> basic;                                     // the second
  std::optional<language_filter> language;                               // the third
  std::optional<word_list> offensive;                                    // the last
  bool texts() const { return size || basic || language || offensive; }  // whether any rule reads captions
};

/// Applies the text rules to a sample's captions. A sample is as good as its best caption, and as offensive as its worst: the other
/// rules require one caption that passes, and their facts are about the first that does, else about the first caption.
verdict judge_texts(const filter_rules& rules, std::span<const std::string_view> captions, field_writer& facts);
/// Apply the image rules to the encoded image, and to the decoded one.
verdict judge_bytes(const filter_rules& rules, std::size_t bytes, field_writer& facts);
/// The same for the decoded image.
verdict judge_sides(const filter_rules& rules, dim width, dim height, field_writer& facts);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "filters-inl.hpp"
#endif
