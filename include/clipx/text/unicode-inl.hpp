#pragma once
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "newer_characters_table.hpp"
#include "unicode.hpp"

namespace clipx::detail {

/// Reads the code point at `at` into c and moves `at` past it; if the bytes are ill-formed,
/// moves past a maximal subpart and returns false.
inline bool next_utf8(std::string_view s, std::size_t& at, char32_t& c) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char lead = byte(at++);
  c = lead;
  if (lead < 0x80) return true;
  // The second byte's range depends on the lead byte (no overlong forms, no surrogates, at most U+10FFFF);
  // that of the others does not.
  unsigned low = 0x80, high = 0xBF;
  int more = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    more = 1;
    c = lead & 0x1FU;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    more = 2;
    c = lead & 0x0FU;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    more = 3;
    c = lead & 0x07U;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return false;
  }
  for (; more > 0; --more, ++at, low = 0x80, high = 0xBF) {
    if (at >= s.size() || byte(at) < low || byte(at) > high) return false;
    c = c << 6 | (byte(at) & 0x3FU);
  }
  return true;
}

CLIPX_INLINE std::u32string decode_utf8(std::string_view s) {
  std::u32string out;
  out.reserve(s.size());
  char32_t c = 0;
  for (std::size_t at = 0; at < s.size();) out += next_utf8(s, at, c) ? c : U'\uFFFD';
  return out;
}

CLIPX_INLINE bool valid_utf8(std::string_view s) {
  constexpr std::uint64_t high = 0x8080808080808080u;
  char32_t c = 0;
  for (std::size_t at = 0; at < s.size();) {
    std::uint64_t eight = high;
    if (s.size() - at >= 8) std::memcpy(&eight, s.data() + at, 8);
    if ((eight & high) == 0) at += 8;
    else if (!next_utf8(s, at, c)) return false;
  }
  return true;
}

CLIPX_INLINE void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t b) { out += static_cast<char>(static_cast<unsigned char>(b)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

CLIPX_INLINE std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char32_t c : text) append_utf8(out, c);
  return out;
}

CLIPX_INLINE bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  if (c == 0x85 || c == 0xA0) return true;
  if (c < 0x1680) return false;
  return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

CLIPX_INLINE char_kind kind_of(char32_t c) {
  if (is_space(c)) return char_kind::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return char_kind::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return char_kind::number;
    case UTF8PROC_CATEGORY_CN:
      return in_ranges(newer_letters, c) ? char_kind::letter : in_ranges(newer_numbers, c) ? char_kind::number : char_kind::other;
    default:
      return char_kind::other;
  }
}

CLIPX_INLINE bool is_decimal_digit(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
}

CLIPX_INLINE bool is_word_part(char32_t c) {
  const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO;
}

CLIPX_INLINE bool is_mark(char32_t c) {
  const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

// Decomposes with utf8proc, orders the marks here (utf8proc's own ordering is quadratic, so hostile text could hang it), and
// composes with utf8proc.
CLIPX_INLINE void to_normal_form(std::u32string& text, bool compatible, bool composed) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                                      (compatible ? UTF8PROC_COMPAT : 0));
  std::u32string parts;
  parts.reserve(text.size() + 16);
  for (char32_t c : text) {
    utf8proc_int32_t buffer[32];  // the longest decomposition has 18 code points
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer, 32, options, &boundary);
    if (n < 0 || n > 32) parts += c;
    else
      for (int i = 0; i < static_cast<int>(n); ++i) parts += static_cast<char32_t>(buffer[i]);
  }
  const auto rank = [](char32_t c) { return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class; };
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] < 0x300 || rank(parts[i]) == 0) continue;
    std::size_t end = i + 1;
    while (end < parts.size() && rank(parts[end]) != 0) ++end;
    if (end - i > 1)
      std::stable_sort(parts.begin() + static_cast<std::ptrdiff_t>(i), parts.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](char32_t a, char32_t b) { return rank(a) < rank(b); });
    i = end - 1;
  }
  if (!composed) {
    text = std::move(parts);
    return;
  }
  static_assert(sizeof(char32_t) == sizeof(utf8proc_int32_t));
  const auto n = utf8proc_normalize_utf32(reinterpret_cast<utf8proc_int32_t*>(parts.data()),
                                          static_cast<utf8proc_ssize_t>(parts.size()), options);
  if (n < 0) return;
  parts.resize(static_cast<std::size_t>(n));
  text = std::move(parts);
}

CLIPX_INLINE void to_nfc(std::u32string& text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) return;
  to_normal_form(text, false, true);
}

CLIPX_INLINE void to_old_normal_form(std::u32string& text, bool compatible, bool composed) {
  if (!compatible && composed && std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) return;
  const auto newer = [](char32_t c) { return c >= newer_than_normal_forms[0].first && in_ranges(newer_than_normal_forms, c); };
  auto next = std::find_if(text.begin(), text.end(), newer);
  if (next == text.end()) return to_normal_form(text, compatible, composed);
  std::u32string out;
  for (auto from = text.begin();; from = next + 1, next = std::find_if(from, text.end(), newer)) {
    std::u32string part(from, next);
    to_normal_form(part, compatible, composed);
    out += part;
    if (next == text.end()) break;
    out += *next;
  }
  text = std::move(out);
}

CLIPX_INLINE std::u32string nfkc(char32_t c) {
  std::u32string text(1, c);
  to_normal_form(text, true, true);
  return text;
}

// Unicode's Case_Ignorable: marks, format controls, modifiers, and the word-internal punctuation listed here.
CLIPX_INLINE bool case_ignorable(char32_t c) {
  for (int p : {0x27, 0x2E, 0x3A, 0xB7, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E,
                0xFF1A})
    if (c == static_cast<char32_t>(p)) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return false;
  }
}

// Unicode's Cased, for characters that are not ignorable: Lu, Ll, Lt and the few of Other_Uppercase and Other_Lowercase.
CLIPX_INLINE bool cased(char32_t c) {
  if (c == 0xAA || c == 0xBA || (c >= 0x2160 && c <= 0x217F) || (c >= 0x24B6 && c <= 0x24E9)) return true;
  if ((c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189)) return true;
  const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

CLIPX_INLINE bool sigma_is_final(const std::u32string& text, std::size_t at) {
  std::size_t i = at;
  while (i > 0 && case_ignorable(text[i - 1])) --i;
  if (i == 0 || !cased(text[i - 1])) return false;
  for (i = at + 1; i < text.size() && case_ignorable(text[i]);) ++i;
  return i == text.size() || !cased(text[i]);
}

CLIPX_INLINE char32_t small_of(char32_t c) {
  const auto small = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  if (small != c || c < newer_capitals[0].first) return small;
  for (const auto& r : newer_capitals)
    if (c <= r.last) return c < r.first ? c : c - r.first + r.small;
  return c;
}

CLIPX_INLINE void to_lower(std::u32string& text, bool final_sigma) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c < 0x80) out += c >= 'A' && c <= 'Z' ? c + 32 : c;
    else if (c == 0x130) out += U"i\u0307";
    else if (c == 0x3A3 && final_sigma && sigma_is_final(text, i)) out += U'\u03C2';
    else out += small_of(c);
  }
  text = std::move(out);
}

CLIPX_INLINE void collapse_spaces(std::u32string& text) {
  std::size_t n = 0;
  bool gap = false;
  for (char32_t c : text) {
    if (is_space(c)) {
      gap = n > 0;
      continue;
    }
    if (gap) text[n++] = U' ';
    gap = false;
    text[n++] = c;
  }
  text.resize(n);
}

}  // namespace clipx::detail
