// charsmap: the precompiled normalization of sentencepiece, a table of replacements behind a double-array trie (darts-clone).
#pragma once
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "text_pattern-inl.hpp"
#include "unicode-inl.hpp"

namespace clipx::detail {

inline std::string decode_base64(std::string_view s, const std::string& name) {
  std::string out;
  out.reserve(s.size() / 4 * 3);
  std::uint32_t bits = 0;
  int have = 0;
  while (!s.empty() && s.back() == '=') s.remove_suffix(1);
  for (const char c : s) {
    const int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                  : c >= 'a' && c <= 'z' ? c - 'a' + 26
                  : c >= '0' && c <= '9' ? c - '0' + 52
                  : c == '+'             ? 62
                  : c == '/'             ? 63
                                         : -1;
    expect(v >= 0, error_kind::damaged, [&] { return cat(name, ": precompiled_charsmap: not valid base64"); });
    bits = bits << 6 | static_cast<std::uint32_t>(v);
    have += 6;
    if (have >= 8) out += static_cast<char>(static_cast<unsigned char>(bits >> (have -= 8) & 0xFFU));
  }
  return out;
}

/// The bytes of a code point in UTF-8.
struct utf8_char {
  char bytes[4] = {};
  std::size_t size = 0;
  explicit utf8_char(char32_t c) {
    std::string s;  // never longer than the string's own memory
    append_utf8(s, c);
    size = s.size();
    std::memcpy(bytes, s.data(), size);
  }
  operator std::string_view() const { return {bytes, size}; }  // NOLINT: it is a string
};

/// Replaces what the table names: as the `tokenizers` library does (whole grapheme clusters of less than six bytes first, each by
/// the shortest entry that is a prefix of it; else single characters).
class charsmap {
 public:
  charsmap(std::string_view base64, const std::string& name, bool longest) : longest_(longest) {
    const std::string blob = decode_base64(base64, name);
    const auto word = [&](std::size_t at) {
      std::uint32_t v = 0;
      for (std::size_t k = 4; k-- > 0;) v = v << 8 | static_cast<unsigned char>(blob[at + k]);
      return v;
    };
    const std::size_t size = blob.size() >= 4 ? word(0) : 0;
    expect(size > 0 && size % 4 == 0 && size <= blob.size() - 4, error_kind::damaged,
           [&] { return cat(name, ": precompiled_charsmap: expected a trie and replacements, got ", blob.size(), " bytes"); });
    units_.resize(size / 4);
    for (std::size_t i = 0; i < units_.size(); ++i) units_[i] = word(4 + 4 * i);
    replacements_ = blob.substr(4 + size);
    for (char32_t c = 0; c < low; ++c) low_[c] = entry_of(utf8_char(c));
  }

  void apply(std::u32string& text) const {
    std::size_t plain = 0;
    while (plain < text.size() && text[plain] < low && low_[text[plain]] < 0 && text[plain] != '\r') ++plain;
    if (plain == text.size()) return;
    if (longest_) return apply_longest(text);
    std::u32string out;
    out.reserve(text.size() + 8);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = cluster(text, at);
      std::int64_t entry = -1;
      if (end - at > 1) {
        std::string bytes;
        for (std::size_t i = at; i < end && bytes.size() < 6; ++i) append_utf8(bytes, text[i]);
        if (bytes.size() < 6) entry = entry_of(bytes);
      }
      if (entry >= 0) put(out, entry);
      else
        for (std::size_t i = at; i < end; ++i) put_one(out, text[i]);
      at = end;
    }
    text = std::move(out);
  }

 private:
  static constexpr char32_t low = 0x300;  // characters that extend no other

  void apply_longest(std::u32string& text) const {
    const std::string bytes = encode_utf8(text);
    std::u32string out;
    out.reserve(text.size() + 8);
    for (std::size_t at = 0; at < bytes.size();) {
      std::size_t size = 0;
      const auto entry = entry_of(std::string_view(bytes).substr(at), &size);
      if (entry >= 0) {
        put(out, entry);
        at += size;
        continue;
      }
      char32_t c = 0;
      next_utf8(bytes, at, c);
      out += c;
    }
    text = std::move(out);
  }

  // A character that extends a cluster, in the place of one that utf8proc may not know to do so.
  static utf8proc_int32_t known(char32_t c) {
    return c >= newer_extenders[0].first && in_ranges(newer_extenders, c) ? 0x300 : static_cast<utf8proc_int32_t>(c);
  }
  // End of the grapheme cluster at `at`.
  static std::size_t cluster(std::u32string_view text, std::size_t at) {
    utf8proc_int32_t state = 0;
    std::size_t end = at + 1;
    for (; end < text.size(); ++end) {
      const char32_t a = text[end - 1], b = text[end];
      if (a < low && b < low ? !(a == '\r' && b == '\n') : utf8proc_grapheme_break_stateful(known(a), known(b), &state) != 0) break;
    }
    return end;
  }
  // Where the replacement of the shortest entry that the bytes begin with starts, or -1; with `size`, of the longest, and its
  // bytes.
  std::int64_t entry_of(std::string_view bytes, std::size_t* size = nullptr) const {
    const auto offset = [](std::uint32_t unit) { return unit >> 10 << ((unit & 1U << 9) >> 6); };
    std::size_t at = offset(units_[0]);
    std::int64_t found = -1;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto byte = static_cast<unsigned char>(bytes[i]);
      at ^= byte;
      if (byte == 0 || at >= units_.size()) break;
      const std::uint32_t unit = units_[at];
      at ^= offset(unit);
      if ((unit & (1U << 31 | 0xFFU)) != byte || at >= units_.size()) break;
      if ((unit >> 8 & 1U) == 0) continue;
      const std::size_t value = units_[at] & ~(1U << 31);
      if (value >= replacements_.size()) break;
      found = static_cast<std::int64_t>(value);
      if (!size) break;
      *size = i + 1;
    }
    return found;
  }
  void put(std::u32string& out, std::int64_t entry) const {
    const std::string_view all = replacements_;
    const auto from = static_cast<std::size_t>(entry);
    out += decode_utf8(all.substr(from, std::min(all.find('\0', from), all.size()) - from));
    expect_normalized_size(out.size());
  }
  void put_one(std::u32string& out, char32_t c) const {
    const auto entry = c < low ? low_[c] : entry_of(utf8_char(c));
    if (entry >= 0) put(out, entry);
    else out += c;
  }

  bool longest_;
  std::vector<std::uint32_t> units_;
  std::string replacements_;  // each ends with a zero byte
  std::int64_t low_[low] = {};
};

}  // namespace clipx::detail
