// The tables behind CLIP's tokenizer: symbols, merges, special strings. Built by the readers and immutable afterwards.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "merges.hpp"
#include "token_file.hpp"
#include "token_model.hpp"

namespace clipx {

namespace detail {
class word_cache;

/// A string that is one id. `normalized`: it is searched for in the cleaned text instead of the original one (hf only).
struct special_token {
  std::string text;
  std::int32_t id = -1;
  bool normalized = false;
};

/// CLIP's byte-level BPE.
struct vocabulary final : token_model {
  std::vector<std::string> symbols;               // by id; empty where a file skips an id
  std::array<std::int32_t, 256> inner{}, last{};  // id of each byte inside a word, and at its end
  merge_table merges;
  std::vector<special_token> specials;
  std::int32_t sot = -1, eot = -1, pad = 0;
  std::int32_t unknown = -1;  // for a byte that is no symbol

  /// Appends the ids of one word (bytes after cleaning).
  void merge_word(std::string_view word, std::vector<std::int32_t>& out) const;
  /// The same, using the cache.
  void append_word(std::string_view word, std::vector<std::int32_t>& out) const;

  void append(std::string_view text, std::vector<std::int32_t>& out, std::size_t limit) const override;
  dim append_row(std::string_view text, std::vector<std::int32_t>& out) const override;
  dim size() const override { return static_cast<dim>(symbols.size()); }
  std::string symbol(std::int32_t id) const override { return symbols[static_cast<std::size_t>(id)]; }
  std::string decode(std::span<const std::int32_t> ids) const override;
  named_texts files() const override;

  // For the one-pass scan of plain ASCII: the kind of each byte and what it becomes. `stop`: the text needs the full scan.
  enum class ascii : unsigned char { space, letter, number, other, stop };
  std::array<ascii, 256> kind{};
  std::array<char, 256> fold{};
  std::unique_ptr<word_cache> cache;
};

/// Cleans a text, splits it into words by v.options and appends their ids, until there are `limit`.
void encode_text(const vocabulary& v, std::string_view text, std::vector<std::int32_t>& out, std::size_t limit);

/// Id -> the character that stands for a byte, in table order; and the byte of each such character below U+0144 (-1: none).
struct byte_alphabet {
  std::array<unsigned char, 256> byte_of{};  // by index in the table
  std::array<char32_t, 256> stand_in{};      // by byte
  std::array<int, 0x144> byte_at{};          // by stand-in
};
const byte_alphabet& alphabet();

inline constexpr std::size_t most_merges = 49152 - 256 - 2;  // the number of merges that openai/CLIP and open_clip read

using vocabulary_ptr = std::shared_ptr<const vocabulary>;
/// The 512 byte symbols, then one symbol per merge, then start and end.
vocabulary_ptr make_vocabulary(const std::vector<symbol_pair>& merges, const std::string& name, tokenizer_options o);
vocabulary_ptr read_merges(std::string_view bytes, const std::string& name, tokenizer_options o);
/// tokenizer_config.json, special_tokens_map.json and spiece.model, if a folder has them (only transformers reads them; the last
/// holds the same vocabulary as the tokenizer.json, for the tokenizers that transformers runs by sentencepiece).
struct folder_config {
  bool present = false;
  std::string tokenizer_config, special_tokens_map, spiece{};
};
vocabulary_ptr read_vocab(std::string_view json, std::string_view merges, const std::string& name, tokenizer_options o,
                          const folder_config& config = {});
/// The model of a tokenizer.json, of whichever kind it is (token_models-inl.hpp).
std::shared_ptr<const token_model> read_tokenizer_json(std::string_view json, const std::string& name, tokenizer_options o,
                                                       const folder_config& config = {});

}  // namespace detail
}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vocabulary-inl.hpp"
#endif
