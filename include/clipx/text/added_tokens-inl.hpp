// added_tokens: the strings of a tokenizer.json that are one id each wherever they occur in a text.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "charsmap-inl.hpp"
#include "token_trie.hpp"
#include "vocabulary-inl.hpp"

namespace clipx::detail {

/// An entry of the list.
struct added_token {
  std::string text;
  std::int32_t id = -1;
  bool normalized = false, left = false, right = false, alone = false;  // takes spaces beside it; only as a word of its own
};

inline std::vector<added_token> read_added_tokens(const json* list, const std::string& name) {
  std::vector<added_token> out;
  if (!list) return out;
  expect(list->is_array() && list->size() <= 100'000, error_kind::damaged,
         [&] { return cat(name, ": added_tokens: expected a list of at most 100,000"); });
  for (const json& t : *list) {
    const json* content = member(t, "content");
    const auto value = whole_number(member(t, "id"));
    expect(value >= 0 && value < static_cast<std::int64_t>(most_entries) && content && content->is_string(), error_kind::damaged,
           [&] { return cat(name, ": added_tokens: entry ", out.size(), ": expected content and an id below ", most_entries); });
    out.push_back({content->get<std::string>(), static_cast<std::int32_t>(value), flag(t, "normalized"), flag(t, "lstrip"),
                   flag(t, "rstrip"), flag(t, "single_word")});
    const auto n = out.back().text.size();
    expect(n > 0 && n <= most_entry_bytes, error_kind::unsupported, [&] {
      return cat(name, ": added_tokens: entry ", out.size() - 1, ": expected 1 to ", most_entry_bytes, " bytes, got ", n);
    });
  }
  return out;
}

/// Finds them, the leftmost first and there the longest.
class added_matcher {
 public:
  /// `texts`: what each of the tokens looks like in the text that is searched.
  void set(std::vector<added_token> tokens, const std::vector<std::string>& texts) {
    tokens_ = std::move(tokens);
    trie_ = token_trie(std::vector<std::string_view>(texts.begin(), texts.end()));
  }

  /// Calls piece(text, where) for what is between, and id(number) for each token, in order.
  template <class Piece, class Id>
  void split(std::u32string_view text, const Piece& piece, const Id& id) const {
    std::size_t from = 0;
    for (std::size_t at = 0; at < text.size() && !trie_.empty();) {
      std::size_t end = at;
      const auto* t = match(text, at, end);
      if (!t) {
        ++at;
        continue;
      }
      std::size_t start = at;
      at = end;
      if (t->alone && ((start > 0 && is_word(text[start - 1])) || (end < text.size() && is_word(text[end])))) continue;
      while (t->left && start > from && is_space(text[start - 1])) --start;
      while (t->right && end < text.size() && is_space(text[end])) ++end;
      if (from < start) piece(text.substr(from, start - from), from);
      id(t->id);
      from = end;
      at = std::max(at, end);
    }
    if (from < text.size()) piece(text.substr(from), from);
  }

 private:
  static bool is_word(char32_t c) { return c == U'_' || is_word_part(c) || c == 0x200C || c == 0x200D; }

  const added_token* match(std::u32string_view text, std::size_t at, std::size_t& end) const {
    const added_token* best = nullptr;
    std::uint32_t node = token_trie::root;
    for (std::size_t i = at; i < text.size(); ++i) {
      if (text[i] < 0x80) node = trie_.child(node, static_cast<unsigned char>(text[i]));
      else node = trie_.walk(utf8_char(text[i]), node);
      if (node == token_trie::none) break;
      if (const auto v = trie_.value(node); v >= 0) {
        best = &tokens_[static_cast<std::size_t>(v)];
        end = i + 1;
      }
    }
    return best;
  }

  std::vector<added_token> tokens_;
  token_trie trie_;
};

}  // namespace clipx::detail
