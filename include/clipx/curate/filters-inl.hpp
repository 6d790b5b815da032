// Definitions of filters.hpp.
#pragma once
#include <algorithm>

#include "../core/error.hpp"
#include "../core/hash.hpp"
#include "../data/captions-inl.hpp"
#include "../text/unicode.hpp"
#include "filters.hpp"

namespace clipx {
namespace detail {

inline dim count_characters(std::string_view utf8) { return static_cast<dim>(decode_utf8(utf8).size()); }

inline dim count_words(std::string_view utf8) {
  dim words = 0;
  bool inside = false;
  for (const char32_t c : decode_utf8(utf8)) {
    const bool part = !is_space(c);
    words += part && !inside;
    inside = part;
  }
  return words;
}

/// The form in which entries and captions are compared.
CLIPX_INLINE std::u32string folded(std::string_view utf8) {
  auto text = decode_utf8(utf8);
  to_nfc(text);
  to_lower(text, false);
  to_nfc(text);
  collapse_spaces(text);
  return text;
}

/// The first caption that a rule keeps decides; if there is none, the first caption.
template <class Rule>
verdict best_of(const Rule& rule, std::span<const std::string_view> captions, field_writer& facts) {
  verdict first;
  for (const auto& caption : captions) {
    field_writer mine;
    auto v = rule.text(caption_of(caption), mine);
    mine.put("keep", v.keep());
    if (v.keep() || &caption == &captions.front()) facts.put(Rule::name, mine);
    if (v.keep()) return v;
    if (first.keep()) first = std::move(v);
  }
  return first;
}

/// One caption that a rule drops is enough; the facts are about that caption.
template <class Rule>
verdict worst_of(const Rule& rule, std::span<const std::string_view> captions, field_writer& facts) {
  for (const auto& caption : captions) {
    field_writer mine;
    auto v = rule.text(caption_of(caption), mine);
    mine.put("keep", v.keep());
    facts.put(Rule::name, mine);
    if (!v.keep()) return v;
  }
  return {};
}

}  // namespace detail

CLIPX_INLINE verdict size_filter::text(std::string_view caption, field_writer& facts) const {
  const dim n = detail::count_characters(caption);
  facts.put("characters", n);
  if (n >= min_characters) return {};
  return {"size: characters", cat(n, ", expected ", min_characters, " or more")};
}

CLIPX_INLINE verdict size_filter::image(std::size_t bytes, field_writer& facts) const {
  facts.put("bytes", static_cast<dim>(bytes));
  if (static_cast<dim>(bytes) >= min_bytes) return {};
  return {"size: bytes", cat(bytes, ", expected ", min_bytes, " or more")};
}

CLIPX_INLINE verdict basic_filter::text(std::string_view caption, field_writer& facts) const {
  const dim words = detail::count_words(caption), n = detail::count_characters(caption);
  facts.put("words", words);
  facts.put("characters", n);
  if (words < min_words) return {"basic: words", cat(words, ", expected ", min_words, " or more")};
  if (n < min_characters) return {"basic: characters", cat(n, ", expected ", min_characters, " or more")};
  return {};
}

CLIPX_INLINE verdict basic_filter::image(dim width, dim height, field_writer& facts) const {
  const dim shorter = std::min(width, height);
  const double aspect = static_cast<double>(std::max(width, height)) / static_cast<double>(shorter);
  facts.put("width", width);
  facts.put("height", height);
  facts.put("aspect", aspect);
  if (shorter < min_side) return {"basic: short side", cat(shorter, " pixels, expected ", min_side, " or more")};
  if (aspect > max_aspect) return {"basic: aspect", cat(aspect, ", expected at most ", max_aspect)};
  return {};
}

CLIPX_INLINE verdict language_filter::text(std::string_view caption, field_writer& facts) const {
  const auto found = detect_language(caption);
  facts.put("language", found.code);
  facts.put("percent", static_cast<dim>(found.percent));
  facts.put("score", found.score);
  facts.put("reliable", found.reliable);
  facts.put("by", std::string(language_detector()));
  if (!languages.contains(found.code)) return {"language: another", found.code};
  if (found.percent < min_percent) return {"language: percent", cat(found.percent, ", expected ", min_percent, " or more")};
  if (reliable && !found.reliable) return {"language: not reliable", found.code};
  return {};
}

CLIPX_INLINE word_list word_list::read(const std::string& path) {
  std::vector<std::string> entries;
  std::size_t number = 0;
  detail::for_each_line(path, [&](std::string_view line) {
    ++number;
    expect(detail::valid_utf8(line), error_kind::damaged,
           [&] { return cat(path, ": line ", number, ": expected UTF-8, got other bytes"); });
    const auto entry = detail::caption_of(line);
    if (!entry.empty() && entry != "#" && !entry.starts_with("# ")) entries.emplace_back(entry);
  });
  expect(!entries.empty(), error_kind::damaged, [&] { return cat(path, ": expected one entry per line, got none"); });
  return word_list(entries);
}

CLIPX_INLINE word_list::word_list(std::span<const std::string> entries) {
  for (const auto& entry : entries) {
    auto text = detail::folded(entry);
    if (text.empty()) continue;
    lengths_[text[0]].insert(text.size());
    entries_.insert(std::move(text));
  }
}

CLIPX_INLINE std::optional<std::string> word_list::find(std::string_view caption) const {
  const auto text = detail::folded(caption);
  const auto whole = [&](std::size_t cut) {  // whether a word may begin or end there
    return cut == 0 || cut == text.size() || !detail::is_word_part(text[cut - 1]) || !detail::is_word_part(text[cut]);
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto lengths = lengths_.find(text[at]);
    if (lengths == lengths_.end() || !whole(at)) continue;
    for (const auto n : lengths->second) {
      if (n > text.size() - at) break;
      if (whole(at + n) && entries_.contains(text.substr(at, n))) return detail::encode_utf8(text.substr(at, n));
    }
  }
  return {};
}

CLIPX_INLINE verdict word_list::text(std::string_view caption, field_writer& facts) const {
  const auto found = find(caption);
  if (!found) return {};
  facts.put("entry", *found);
  return {"offensive: a word of the list", *found};
}

CLIPX_INLINE std::uint64_t word_list::hash() const {
  std::string all;
  for (const auto& entry : entries_) all += detail::encode_utf8(entry) + "\n";
  return detail::hash_of(all);
}

CLIPX_INLINE verdict judge_texts(const filter_rules& rules, std::span<const std::string_view> captions, field_writer& facts) {
  if (!rules.texts()) return {};
  if (captions.empty()) return {"no caption", "expected one that is UTF-8 and not empty"};
  const auto ask = [&](const auto& rule) { return rule ? detail::best_of(*rule, captions, facts) : verdict{}; };
  if (auto v = ask(rules.size); !v.keep()) return v;
  if (auto v = ask(rules.basic); !v.keep()) return v;
  if (auto v = ask(rules.language); !v.keep()) return v;
  return rules.offensive ? detail::worst_of(*rules.offensive, captions, facts) : verdict{};
}

CLIPX_INLINE verdict judge_bytes(const filter_rules& rules, std::size_t bytes, field_writer& facts) {
  if (!rules.size) return {};
  field_writer mine;
  auto v = rules.size->image(bytes, mine);
  mine.put("keep", v.keep());
  facts.put("image_size", mine);
  return v;
}

CLIPX_INLINE verdict judge_sides(const filter_rules& rules, dim width, dim height, field_writer& facts) {
  if (!rules.basic) return {};
  field_writer mine;
  auto v = rules.basic->image(width, height, mine);
  mine.put("keep", v.keep());
  facts.put("image_basic", mine);
  return v;
}

}  // namespace clipx
