#pragma once
#include <algorithm>
#include <array>
#include <cstring>

#include "../data/captions-inl.hpp"
#include "../text/unicode.hpp"
#include "matching.hpp"

namespace clipx {
namespace detail {

inline constexpr std::string_view wrapped_punctuation = ",.;:?!`";

/// What a byte of a caption becomes: 0 itself, 1 a space, 2 itself between spaces.
inline constexpr auto caption_bytes = [] {
  std::array<unsigned char, 256> kinds{};
  for (const char c : std::string_view("\t\r\n")) kinds[static_cast<unsigned char>(c)] = 1;
  for (const char c : wrapped_punctuation) kinds[static_cast<unsigned char>(c)] = 2;
  return kinds;
}();

struct code_range {
  char32_t first, last;
};
/// As in MetaCLIP 2: ideographs and their radicals, then Thai, Lao, Tibetan, Burmese, Khmer.
inline constexpr std::array<code_range, 16> unspaced_scripts{{{0x2E80, 0x2EFF},
                                                              {0x2F00, 0x2FDF},
                                                              {0x2FF0, 0x2FFF},
                                                              {0x3400, 0x4DBF},
                                                              {0x4E00, 0x9FFF},
                                                              {0xF900, 0xFAFF},
                                                              {0x20000, 0x2A6DF},
                                                              {0x2A700, 0x2B73F},
                                                              {0x2B740, 0x2B81F},
                                                              {0x2B820, 0x2CEAF},
                                                              {0x2CEB0, 0x2EBEF},
                                                              {0x0E00, 0x0E7F},
                                                              {0x0E80, 0x0EFF},
                                                              {0x0F00, 0x0FFF},
                                                              {0x1000, 0x109F},
                                                              {0x1780, 0x17FF}}};
/// The punctuation outside ASCII.
inline constexpr std::u32string_view unspaced_punctuation = U"，。、；：？！“”‘’（）【】《》〈〉「」『』～—";

constexpr bool ascii_punctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

}  // namespace detail

CLIPX_INLINE padding padding_by_name(const std::string& name) {
  if (name == "spaces") return padding::spaces;
  expect(name == "script", [&] { return cat("padding: expected spaces or script, got \"", name, "\""); });
  return padding::by_script;
}

CLIPX_INLINE void normalize_caption(std::string_view text, std::string& out) {
  out.resize(3 * text.size() + 2);  // at most, each byte is put between spaces
  char* to = out.data();
  *to++ = ' ';
  for (const char c : text) {
    const auto kind = detail::caption_bytes[static_cast<unsigned char>(c)];
    if (kind == 2) [[unlikely]] {
      *to++ = ' ';
      *to++ = c;
      *to++ = ' ';
    } else {
      *to++ = kind == 1 ? ' ' : c;
    }
  }
  *to++ = ' ';
  out.resize(static_cast<std::size_t>(to - out.data()));
}

CLIPX_INLINE bool stands_without_space(char32_t c) {
  const auto in = [&](const detail::code_range& r) { return c >= r.first && c <= r.last; };
  return detail::ascii_punctuation(c) || std::any_of(detail::unspaced_scripts.begin(), detail::unspaced_scripts.end(), in) ||
         detail::unspaced_punctuation.find(c) != std::u32string_view::npos;
}

CLIPX_INLINE std::string padded_entry(std::string_view entry, padding rule) {
  if (rule == padding::spaces || entry.empty()) return cat(' ', entry, ' ');
  const auto points = detail::decode_utf8(entry);
  return cat(stands_without_space(points.front()) ? "" : " ", entry, stands_without_space(points.back()) ? "" : " ");
}

CLIPX_INLINE std::vector<std::string> read_queries(const std::string& path) {
  std::vector<std::string> out;
  detail::for_each_line(path, [&](std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto need = [&](bool ok, const char* what) {
      expect(ok, error_kind::damaged, [&] { return cat(path, ": line ", out.size() + 1, ": expected an entry, got ", what); });
    };
    need(!line.empty(), "an empty line");
    need(line.find('\t') == std::string_view::npos, "a tab");
    need(detail::valid_utf8(line), "bytes that are not UTF-8");
    out.emplace_back(line);
  });
  expect(!out.empty(), error_kind::damaged,
         [&] { return cat(path, ": expected a query list, one entry per line, got an empty file"); });
  return out;
}

namespace detail {
CLIPX_INLINE std::vector<std::string> padded_entries(const std::vector<std::string>& entries, padding rule) {
  expect(!entries.empty(), "queries: expected at least one entry, got none");
  std::vector<std::string> out;
  out.reserve(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    expect(!entries[i].empty(), [&] { return cat("queries: entry ", i, " is empty"); });
    out.push_back(padded_entry(entries[i], rule));
  }
  return out;
}
}  // namespace detail

CLIPX_INLINE query_matcher::query_matcher(std::vector<std::string> entries, padding rule)
    : entries_(std::move(entries)), rule_(rule), automaton_(detail::padded_entries(entries_, rule)) {}

CLIPX_INLINE void query_matcher::operator()(std::string_view caption, std::vector<std::uint32_t>& ids, std::string& scratch) const {
  normalize_caption(caption, scratch);
  automaton_.match(scratch, ids);
}

}  // namespace clipx
