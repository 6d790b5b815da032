// The tables behind a tokenizer: symbols, merges, special strings. Built by the readers and immutable afterwards.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/mat.hpp"
#include "clean.hpp"

namespace clipx {

/// How the ids of a text become a row.
struct token_frame {
  bool fill = false;  // whether every row is filled up to the context length, with tokenizer::pad()

  bool operator==(const token_frame&) const = default;
};

/// Which library a tokenizer agrees with, and the sizes of the model that it is used with.
struct tokenizer_options {
  /// simple: openai/CLIP's and open_clip's own tokenizer. hf: transformers 5 (special strings are found before cleaning and
  /// anywhere, letters are lowered one by one, "'S" is not a contraction until it is lowered).
  enum class library { simple, hf };
  library follows = library::simple;      // whose ids are reproduced
  clean_rule clean = clean_rule::openai;  // with `hf`, runs before clean_rule::hf, which always runs
  std::string sot = "<|startoftext|>";    // strings that are one id each wherever they occur in a text; in a
  std::string eot = "<|endoftext|>";      // vocabulary without them, start and end under their other usual names
  token_frame frame;                      // what is around the ids
  dim context_length = 77;                // ids per text, including start and end
  bool truncate = true;                   // false: a text that is too long is an error, as in openai/CLIP
  dim cache_words = 24000;                // number of words whose ids are cached (85 bytes each); 0: no cache

  /// openai/CLIP's simple_tokenizer.
  static tokenizer_options openai() { return {}; }
  /// open_clip 3.3's SimpleTokenizer: its special strings are <start_of_text> and <end_of_text>.
  static tokenizer_options open_clip() {
    tokenizer_options o;
    o.sot = "<start_of_text>";
    o.eot = "<end_of_text>";
    return o;
  }
  /// transformers 5's CLIPTokenizer.
  static tokenizer_options hf() {
    tokenizer_options o;
    o.follows = library::hf;
    o.clean = clean_rule::none;
    return o;
  }
  /// open_clip's HFTokenizer (a config with hf_tokenizer_name) around transformers' CLIPTokenizer.
  static tokenizer_options open_clip_hf() {
    tokenizer_options o = hf();
    o.clean = clean_rule::whitespace;
    return o;
  }
};

namespace detail {
class word_cache;

/// A string that is one id. `normalized`: it is searched for in the cleaned text instead of the original one (hf only).
struct special_token {
  std::string text;
  std::int32_t id = -1;
  bool normalized = false;
};

/// (left, right) -> (rank, id of the joined pair), by open addressing.
class merge_table {
 public:
  struct entry {
    std::int32_t left = -1, right = -1, rank = -1, id = -1;
  };
  void reserve(std::size_t merges);
  /// If a pair is inserted twice, its last rank counts.
  void insert(const entry& e);
  /// nullptr if the pair is not a merge.
  const entry* find(std::int32_t left, std::int32_t right) const {
    for (std::size_t i = place(left, right);; i = (i + 1) & mask_) {
      const entry& e = slots_[i];
      if (e.rank < 0) return nullptr;
      if (e.left == left && e.right == right) return &e;
    }
  }
  /// All merges, by rank.
  std::vector<entry> ranked() const;

 private:
  std::size_t place(std::int32_t left, std::int32_t right) const {
    const auto key = std::uint64_t(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15U >> 32) & mask_;
  }
  std::vector<entry> slots_ = std::vector<entry>(2);
  std::size_t mask_ = 1;
};

struct vocabulary {
  std::vector<std::string> symbols;               // by id; empty where a file skips an id
  std::array<std::int32_t, 256> inner{}, last{};  // id of each byte inside a word, and at its end
  merge_table merges;
  std::vector<special_token> specials;
  std::int32_t sot = -1, eot = -1, pad = 0;
  tokenizer_options options;

  /// Appends the ids of one word (bytes after cleaning).
  void merge_word(std::string_view word, std::vector<std::int32_t>& out) const;
  /// The same, using the cache.
  void append_word(std::string_view word, std::vector<std::int32_t>& out) const;

  // For the one-pass scan of plain ASCII: the kind of each byte and what it becomes. `stop`: the text needs the full scan.
  enum class ascii : unsigned char { space, letter, number, other, stop };
  std::array<ascii, 256> kind{};
  std::array<char, 256> fold{};
  std::unique_ptr<word_cache> cache;
};

/// Cleans a text, splits it into words by v.options and appends their ids, until there are `limit`.
void encode_text(const vocabulary& v, std::string_view text, std::vector<std::int32_t>& out, std::size_t limit);

/// What merge_word does for words of more than 64 bytes: merges `symbols` in place in O(n log n).
void merge_long(const vocabulary& v, std::vector<std::int32_t>& symbols);

/// Id -> the character that stands for a byte, in table order; and the byte of each such character below U+0144 (-1: none).
struct byte_alphabet {
  std::array<unsigned char, 256> byte_of{};  // by index in the table
  std::array<char32_t, 256> stand_in{};      // by byte
  std::array<int, 0x144> byte_at{};          // by stand-in
};
const byte_alphabet& alphabet();

inline constexpr std::size_t most_merges = 49152 - 256 - 2;  // the number of merges that openai/CLIP and open_clip read

using symbol_pair = std::pair<std::string_view, std::string_view>;
using vocabulary_ptr = std::shared_ptr<const vocabulary>;
/// The 512 byte symbols, then one symbol per merge, then start and end.
vocabulary_ptr make_vocabulary(const std::vector<symbol_pair>& merges, const std::string& name, tokenizer_options o);
vocabulary_ptr read_merges(std::string_view bytes, const std::string& name, tokenizer_options o);
/// tokenizer_config.json and special_tokens_map.json, if a folder has them (only transformers reads them).
struct folder_config {
  bool present = false;
  std::string tokenizer_config, special_tokens_map;
};
vocabulary_ptr read_vocab(std::string_view json, std::string_view merges, const std::string& name, tokenizer_options o,
                          const folder_config& config = {});
vocabulary_ptr read_tokenizer_json(std::string_view json, const std::string& name, tokenizer_options o,
                                   const folder_config& config = {});

}  // namespace detail
}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vocabulary-inl.hpp"
#endif
