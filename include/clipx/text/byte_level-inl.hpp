// byte_level: how GPT-2's and RoBERTa's tokenizers split texts into words (ByteLevel in a tokenizer.json), and the characters that
// stand for bytes in their tokens.
#pragma once
#include <string>
#include <string_view>

#include "unicode.hpp"
#include "vocabulary-inl.hpp"

namespace clipx::detail {

/// The length of the word at the start of a text that is not empty, by GPT-2's pattern
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
inline std::size_t gpt2_word(std::u32string_view t) {
  for (std::u32string_view ending : {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"})
    if (t.starts_with(ending)) return ending.size();
  const auto run = [&](std::size_t from) {  // of one kind
    std::size_t n = from;
    while (n < t.size() && kind_of(t[n]) == kind_of(t[from])) ++n;
    return n;
  };
  const std::size_t space = t[0] == U' ' && t.size() > 1 && kind_of(t[1]) != char_kind::space;
  if (space || kind_of(t[0]) != char_kind::space) return run(space);
  const std::size_t n = run(0);  // white space: its last character belongs to what follows
  return n < t.size() && n > 1 ? n - 1 : n;
}

/// Appends the characters that stand for the bytes of a text.
inline void append_stand_ins(std::u32string_view text, std::u32string& out) {
  for (const char byte : encode_utf8(text)) out += alphabet().stand_in[static_cast<unsigned char>(byte)];
}
/// Appends the bytes for which the characters of a token stand; others are appended as they are.
inline void append_bytes(std::string_view token, std::string& out) {
  for (const char32_t c : decode_utf8(token)) {
    const int byte = c < alphabet().byte_at.size() ? alphabet().byte_at[c] : -1;
    if (byte >= 0) out += static_cast<char>(static_cast<unsigned char>(byte));
    else append_utf8(out, c);
  }
}

}  // namespace clipx::detail
