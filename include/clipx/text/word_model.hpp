// word_model: the `model` of a tokenizer.json, which makes ids of one word.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "token_file.hpp"
#include "word_cache.hpp"

namespace clipx::detail {

/// A kind of model. Immutable but for the cache; thread-safe.
class word_model {
 public:
  virtual ~word_model() = default;
  word_model() = default;
  word_model(const word_model&) = delete;
  word_model& operator=(const word_model&) = delete;

  /// Appends the ids of a piece of UTF-8 text. May stop once `out` holds `limit`.
  virtual void append(std::string_view piece, std::vector<std::int32_t>& out, std::size_t limit) const {
    (void)limit;
    append_word(piece, out);
  }
  /// Appends what a token stands for in a text; `first`: of the text.
  virtual void append_text(std::string_view token, bool first, std::string& out) const = 0;

  std::unique_ptr<word_cache> cache;  // or null

 protected:
  /// Appends the ids of a word.
  virtual void encode(std::string_view word, std::vector<std::int32_t>& out) const = 0;
  /// The same, using the cache.
  void append_word(std::string_view word, std::vector<std::int32_t>& out) const {
    if (!cache || word.size() > word_cache::longest) return encode(word, out);
    const auto key = word_cache::make_key(word);
    if (const auto ids = cache->find(key); !ids.empty()) {
      out.insert(out.end(), ids.begin(), ids.end());
      return;
    }
    const std::size_t before = out.size();
    encode(word, out);
    cache->insert(key, std::span(out).subspan(before));
  }
};

/// The ids of the tokens <0x00> to <0xFF>, of those that are there; else -1.
struct byte_tokens {
  std::int32_t id[256];

  /// `find`: the id of a token, or -1.
  template <class Find>
  explicit byte_tokens(const Find& find) {
    constexpr const char* digits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b) id[b] = find(std::string{'<', '0', 'x', digits[b / 16], digits[b % 16], '>'});
  }
  /// Appends the tokens of all bytes if each has one; else appends nothing and returns false.
  bool append(std::string_view bytes, std::vector<std::int32_t>& out) const {
    const auto at = [&](char c) { return id[static_cast<unsigned char>(c)]; };
    if (std::any_of(bytes.begin(), bytes.end(), [&](char c) { return at(c) < 0; })) return false;
    for (const char c : bytes) out.push_back(at(c));
    return true;
  }
};

/// What a token of sentencepiece stands for: U+2581 is a space, <0xNN> a byte.
inline void append_piece(std::string_view token, bool first, std::string& out) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  if (token.size() == 6 && token.starts_with("<0x") && token.back() == '>' && digit(token[3]) >= 0 && digit(token[4]) >= 0) {
    out += static_cast<char>(static_cast<unsigned char>(digit(token[3]) * 16 + digit(token[4])));
    return;
  }
  constexpr std::string_view mark = "\xE2\x96\x81";
  for (bool start = first; !token.empty(); start = false) {
    const bool space = token.starts_with(mark);
    if (space && !start) out += ' ';
    if (!space) out += token[0];
    token.remove_prefix(space ? mark.size() : 1);
  }
}

}  // namespace clipx::detail
