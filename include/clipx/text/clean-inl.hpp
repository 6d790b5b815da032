#pragma once
#include <algorithm>

#include "clean.hpp"

namespace clipx {
namespace detail {

// Latin ligatures and digraphs that ftfy expands; empty for any other character.
CLIPX_INLINE std::u32string_view ligature(char32_t c) {
  switch (c) {
    case 0x132:
      return U"IJ";
    case 0x133:
      return U"ij";
    case 0x149:
      return U"\u02BCn";
    case 0x1C4:
      return U"D\u017D";
    case 0x1C5:
      return U"D\u017E";
    case 0x1C6:
      return U"d\u017E";
    case 0x1C7:
      return U"LJ";
    case 0x1C8:
      return U"Lj";
    case 0x1C9:
      return U"lj";
    case 0x1CA:
      return U"NJ";
    case 0x1CB:
      return U"Nj";
    case 0x1CC:
      return U"nj";
    case 0x1F1:
      return U"DZ";
    case 0x1F2:
      return U"Dz";
    case 0x1F3:
      return U"dz";
    case 0xFB00:
      return U"ff";
    case 0xFB01:
      return U"fi";
    case 0xFB02:
      return U"fl";
    case 0xFB03:
      return U"ffi";
    case 0xFB04:
      return U"ffl";
    case 0xFB05:
      return U"\u017Ft";
    case 0xFB06:
      return U"st";
    default:
      return {};
  }
}

CLIPX_INLINE char32_t uncurl(char32_t c) {
  if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) return U'\'';
  return c >= 0x201C && c <= 0x201F ? U'"' : c;
}

CLIPX_INLINE bool unwanted(char32_t c) {
  if (c < 0x80) return (c < 0x20 && c != 9 && c != 10 && c != 12 && c != 13) || c == 0x7F;
  return (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

// Steps 3 to 8 of ftfy (docs/clip.md section 5.2): C1 controls, ligatures, width, quotes, line breaks.
CLIPX_INLINE std::u32string fix_characters(const std::u32string& text) {
  std::u32string out;
  out.reserve(text.size());
  const auto put = [&](char32_t c) {
    c = uncurl(c);
    if (c == U'\n' && !out.empty() && out.back() == U'\r') out.back() = c;
    else out += c == 0x2028 || c == 0x2029 ? U'\n' : c;
  };
  for (char32_t c : text) {
    if (c < 0x80) {
      put(c);
      continue;
    }
    c = windows_1252(c);
    if (const auto parts = ligature(c); !parts.empty())
      for (char32_t p : parts) put(p);
    else if (c == 0x3000) put(U' ');
    else if (c >= 0xFF01 && c <= 0xFFEF)
      for (char32_t p : nfkc(c)) put(p);
    else put(c);
  }
  std::replace(out.begin(), out.end(), U'\r', U'\n');
  return out;
}

// Steps 9 and 10 of ftfy: terminal escapes (ESC [ digits and semicolons, letter) and control characters.
CLIPX_INLINE void drop_controls(std::u32string& text) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == 0x1B && i + 1 < text.size() && text[i + 1] == U'[') {
      std::size_t end = i + 2;
      while (end < text.size() && (text[end] == U';' || is_decimal_digit(text[end]))) ++end;
      if (end < text.size() && ((text[end] >= U'a' && text[end] <= U'z') || (text[end] >= U'A' && text[end] <= U'Z'))) {
        i = end;
        continue;
      }
    }
    if (!unwanted(text[i])) text[n++] = text[i];
  }
  text.resize(n);
}

// ftfy.fix_text: line by line (or a million characters at a time), each repeated until nothing changes; entities are not
// decoded from the first line with a "<" on.
CLIPX_INLINE std::u32string fix_text(const std::u32string& text) {
  constexpr std::size_t longest = 1000000;
  std::u32string out;
  bool unescape = true;
  std::size_t budget = std::size_t(1) << 27;
  for (std::size_t at = 0; at < text.size();) {
    auto end = text.find(U'\n', at);
    end = std::min(end == std::u32string::npos ? text.size() : end + 1, at + longest);
    std::u32string line = text.substr(at, end - at);
    at = end;
    unescape = unescape && line.find(U'<') == std::u32string::npos;
    for (bool changed = true; changed;) {
      std::u32string next = fix_characters(unescape ? ftfy_unescape(line) : line);
      drop_controls(next);
      to_nfc(next);
      changed = next != line && budget > 0;
      budget -= std::min(budget, line.size());
      line = std::move(next);
    }
    out += line;
  }
  return out;
}

CLIPX_INLINE void remove_punctuation(std::u32string& text) {
  std::size_t n = 0;
  for (char32_t c : text) {
    if (c == U'_') text[n++] = U' ';
    else if (c >= 0x7F || c <= 0x20 || (c >= U'0' && c <= U'9') || (c >= U'A' && c <= U'Z') || (c >= U'a' && c <= U'z'))
      text[n++] = c;
  }
  text.resize(n);
}

// U+2581 is a space here, and the separators U+001C to U+001F are whitespace, as they are in Python.
CLIPX_INLINE void make_bare(std::u32string& text) {
  std::replace(text.begin(), text.end(), U'\u2581', U' ');
  to_lower(text, true);
  std::u32string out;
  bool gap = false;
  for (const char32_t c : text) {
    const bool space = is_space(c) || (c >= 0x1C && c <= 0x1F);
    if (is_ascii_punctuation(c)) continue;
    if (!space && gap && !out.empty()) out += U' ';
    if (!space) out += c;
    gap = space;
  }
  text = std::move(out);
}

CLIPX_INLINE std::u32string clean_text(std::u32string text, clean_rule rule) {
  if (rule == clean_rule::none) return text;
  if (rule == clean_rule::lower) {
    to_lower(text, false);
    return text;
  }
  if (rule == clean_rule::bare) {
    make_bare(text);
    return text;
  }
  if (rule == clean_rule::hf) {
    to_old_normal_form(text, false, true);
    std::size_t n = 0;
    for (char32_t c : text) {
      const bool space = is_space(c);
      if (space && n > 0 && text[n - 1] == U' ') continue;
      text[n++] = space ? U' ' : c;
    }
    text.resize(n);
    to_lower(text, false);
    return text;
  }
  text = html_unescape(html_unescape(fix_text(text)));
  if (rule == clean_rule::canonicalize) remove_punctuation(text);
  if (rule == clean_rule::canonicalize) to_lower(text, true);
  collapse_spaces(text);
  if (rule == clean_rule::openai) to_lower(text, true);
  return text;
}

}  // namespace detail

CLIPX_INLINE std::string clean(std::string_view utf8, clean_rule rule) {
  return detail::encode_utf8(detail::clean_text(detail::decode_utf8(utf8), rule));
}

}  // namespace clipx
