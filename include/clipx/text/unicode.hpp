// The parts of Unicode that text processing needs: UTF-8, categories, lower case, normal forms. The tables are utf8proc's.
#pragma once
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// Code points of UTF-8 bytes. Ill-formed input gives U+FFFD for each maximal subpart, as Python's errors="replace" does.
std::u32string decode_utf8(std::string_view bytes);
/// Whether the bytes are well-formed UTF-8.
bool valid_utf8(std::string_view bytes);
void append_utf8(std::string& out, char32_t c);
std::string encode_utf8(std::u32string_view text);

enum class char_kind : unsigned char { space, letter, number, other };
/// By the Unicode category, of Unicode 16 or that of utf8proc if it is newer: L* letter, N* number; space is White_Space
/// (U+0009-000D, 20, 85, A0, Zs, Zl, Zp).
char_kind kind_of(char32_t c);
bool is_space(char32_t c);
/// Category Nd, which is what \d means in Python.
bool is_decimal_digit(char32_t c);
/// Categories L*, N* and M*: a letter, a number, or a mark that belongs to one.
bool is_word_part(char32_t c);

/// Category M*: a mark.
bool is_mark(char32_t c);
/// A printable ASCII character that is neither letter, digit nor the space.
constexpr bool is_ascii_punctuation(char32_t c) {
  return c > 0x20 && c < 0x7F && !(c >= U'0' && c <= U'9') && !((c | 0x20) >= U'a' && (c | 0x20) <= U'z');
}

/// Canonical composition (NFC), in place; O(n log n) whatever the input.
void to_nfc(std::u32string& text);
/// Any of the normal forms, in place: NFD, NFC, NFKD, NFKC; O(n log n).
void to_normal_form(std::u32string& text, bool compatible, bool composed);
/// The same as the `tokenizers` library has them: what is newer than Unicode 9 stays as and where it is.
void to_old_normal_form(std::u32string& text, bool compatible, bool composed);
/// The compatibility composition (NFKC) of one code point.
std::u32string nfkc(char32_t c);

/// Full lower-casing of Unicode 17, in place: U+0130 becomes i + U+0307; a capital sigma at the end of a word becomes U+03C2 if
/// final_sigma.
void to_lower(std::u32string& text, bool final_sigma);

/// Joins the parts between whitespace by single spaces, as " ".join(text.split()) does in Python.
void collapse_spaces(std::u32string& text);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "unicode-inl.hpp"
#endif
