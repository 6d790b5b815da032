#pragma once
#include <algorithm>
#include <vector>

#include "html.hpp"
#include "html_entities_table.hpp"
#include "unicode.hpp"

namespace clipx::detail {

struct html_entity {
  std::string_view name, value;
  bool legacy;  // valid without its semicolon
};

CLIPX_INLINE std::vector<html_entity> read_entities(std::string_view table) {
  std::vector<html_entity> out;
  for (std::size_t at = 0; at < table.size();) {
    const auto gap = table.find_first_of(" \t", at), end = table.find('\1', gap);
    out.push_back({table.substr(at, gap - at), table.substr(gap + 1, end - gap - 1), table[gap] == '\t'});
    at = end + 1;
  }
  return out;
}

CLIPX_INLINE const html_entity* find_entity(const std::vector<html_entity>& list, std::string_view name) {
  const auto it =
      std::lower_bound(list.begin(), list.end(), name, [](const html_entity& e, std::string_view n) { return e.name < n; });
  return it != list.end() && it->name == name ? &*it : nullptr;
}

CLIPX_INLINE const std::vector<html_entity>& entities() {
  static const auto list = read_entities(html_entities);
  return list;
}

CLIPX_INLINE const std::vector<html_entity>& capital_entities() {
  static const auto list = read_entities(html_capital_entities);
  return list;
}

CLIPX_INLINE char32_t windows_1252(char32_t c) {
  static constexpr char16_t table[32] = {0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021, 0x2C6,  0x2030, 0x160,
                                         0x2039, 0x152,  0x8D,   0x17D,  0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
                                         0x2013, 0x2014, 0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178};
  return c >= 0x80 && c <= 0x9F ? table[c - 0x80] : c;
}

CLIPX_INLINE void append_number_reference(std::u32string& out, char32_t n) {
  if (n == 0 || n > 0x10FFFF || (n >= 0xD800 && n <= 0xDFFF)) out += U'\uFFFD';
  else if (n >= 0x80 && n <= 0x9F) out += windows_1252(n);
  else if (n < 9 || n == 0xB || (n >= 0xE && n <= 0x1F) || n == 0x7F || (n >= 0xFDD0 && n <= 0xFDEF) || (n & 0xFFFE) == 0xFFFE)
    return;
  else out += n;
}

CLIPX_INLINE int digit_value(char32_t c, int base) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  const char32_t l = c | 0x20;
  return base == 16 && c < 0x80 && l >= 'a' && l <= 'f' ? static_cast<int>(l - 'a') + 10 : -1;
}

// Reads "#123;", "#x1F;" or the like at `at` (the character after '&');
// returns the position after it, or `at` if there is none.
CLIPX_INLINE std::size_t read_number(std::u32string_view text, std::size_t at, char32_t& value) {
  std::size_t i = at;
  if (i >= text.size() || text[i] != '#') return at;
  int base = 10;
  if (++i < text.size() && (text[i] == 'x' || text[i] == 'X')) {
    base = 16;
    ++i;
  }
  const std::size_t first = i;
  for (value = 0; i < text.size() && digit_value(text[i], base) >= 0; ++i)
    value = std::min<char32_t>(value * static_cast<char32_t>(base) + static_cast<char32_t>(digit_value(text[i], base)), 0x110000);
  if (i == first) return at;
  return i < text.size() && text[i] == ';' ? i + 1 : i;
}

CLIPX_INLINE std::string ascii_of(std::u32string_view text) {
  std::string out;
  for (char32_t c : text) out += c < 0x80 ? static_cast<char>(c) : '\x7F';  // no entity has 7F in its name
  return out;
}

CLIPX_INLINE std::u32string html_unescape(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '&') {
      out += text[i++];
      continue;
    }
    const std::size_t start = i + 1;
    char32_t number = 0;
    if (const auto end = read_number(text, start, number); end != start) {
      append_number_reference(out, number);
      i = end;
      continue;
    }
    std::size_t n = start;
    while (n < text.size() && n - start < 32 && std::u32string_view(U"\t\n\f <&#;").find(text[n]) == std::u32string_view::npos) ++n;
    const std::string name = ascii_of(text.substr(start, n - start));
    const bool closed = !name.empty() && n < text.size() && text[n] == ';';
    const html_entity* e = name.empty() ? nullptr : find_entity(entities(), name);
    std::size_t used = name.size() + (closed ? 1 : 0);
    if (e && !closed && !e->legacy) e = nullptr;
    for (std::size_t length = std::min<std::size_t>(closed ? name.size() : name.size() - (name.empty() ? 0 : 1), 6);
         !e && length >= 2; --length) {
      e = find_entity(entities(), std::string_view(name).substr(0, length));
      if (e && !e->legacy) e = nullptr;
      used = length;
    }
    if (e) {
      out += decode_utf8(e->value);
      i = start + used;
    } else {
      out += U'&';
      i = start;
    }
  }
  return out;
}

CLIPX_INLINE std::u32string ftfy_unescape(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] != '&') continue;
    const std::size_t start = i + 1;
    std::size_t n = start;
    const bool number = n < text.size() && text[n] == '#';
    n += number ? 1 : 0;
    const std::size_t word = n;
    while (n < text.size() && n - word <= 24 &&
           (digit_value(text[n], 10) >= 0 || (text[n] < 0x80 && (text[n] | 0x20) >= 'a' && (text[n] | 0x20) <= 'z')))
      ++n;
    if (n == word || n - word > 24 || n >= text.size() || text[n] != ';') continue;
    if (number) {
      char32_t value = 0;
      if (read_number(text, start, value) != n + 1 || value == ';') continue;
      out.pop_back();
      append_number_reference(out, value);
    } else {
      const std::string name = ascii_of(text.substr(word, n - word));
      const html_entity* e = find_entity(entities(), name);
      if (!e) e = find_entity(capital_entities(), name);
      if (!e) continue;
      out.pop_back();
      out += decode_utf8(e->value);
    }
    i = n;
  }
  return out;
}

}  // namespace clipx::detail
