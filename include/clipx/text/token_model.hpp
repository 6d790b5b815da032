// What a tokenizer is besides its vocabulary: options, the frame around a text, and the interface of the kinds of models.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/mat.hpp"
#include "clean.hpp"

namespace clipx {

/// How the ids of a text become a row: [sot] ids [eot] [pad ..]. A row that is too long loses ids before its eot.
struct token_frame {
  static constexpr std::int32_t from_files = -2;  // the id that the tokenizer's files give
  static constexpr std::int32_t none = -1;        // no id
  std::int32_t sot = from_files;                  // before the text
  std::int32_t eot = from_files;                  // after it
  std::int32_t pad = from_files;                  // what a row is filled up with
  std::int32_t zeroed = none;                     // an id that becomes 0 wherever it is; from_files: eot (strip_sep_token)
  bool fill = false;                              // whether every row is filled up to the context length

  bool operator==(const token_frame&) const = default;
};

/// Which library a tokenizer agrees with, and the sizes of the model that it is used with.
struct tokenizer_options {
  /// simple: openai/CLIP's and open_clip's own tokenizer. hf: transformers 5 (special strings are found before cleaning and
  /// anywhere, letters are lowered one by one, "'S" is not a contraction until it is lowered).
  enum class library { simple, hf };
  library follows = library::simple;      // whose ids are reproduced
  clean_rule clean = clean_rule::openai;  // of the whole text; what the files or the library do to a text comes after it
  clean_rule between = clean_rule::none;  // of what is between the special strings of a tokenizer.json that is not CLIP's
  /// A tokenizer.json is used as transformers' SiglipTokenizer uses sentencepiece: Precompiled tables replace the longest entry at
  /// each place, no other normalizer is applied, and a text behind a special string has no mark before its first word.
  bool longest = false;
  std::string sot = "<|startoftext|>";  // CLIP's: strings that are one id each wherever they occur in a text; in a
  std::string eot = "<|endoftext|>";    // vocabulary without them, start and end under their other usual names
  token_frame frame{};                  // the ids around a text
  dim context_length = 77;              // ids per text, including start and end
  bool truncate = true;                 // false: a text that is too long is an error, as in openai/CLIP
  dim cache_words = 24000;              // number of words whose ids are cached (85 bytes each); 0: no cache
  /// Whether a text tower's table may have more rows than the tokenizer has ids: Hugging Face's tables are often rounded up.
  bool allows_spare_rows() const { return follows == library::hf; }

  /// openai/CLIP's simple_tokenizer.
  static tokenizer_options openai() { return {}; }
  /// open_clip 3.3's SimpleTokenizer: its special strings are <start_of_text> and <end_of_text>.
  static tokenizer_options open_clip() {
    tokenizer_options o;
    o.sot = "<start_of_text>";
    o.eot = "<end_of_text>";
    return o;
  }
  /// transformers 5: its CLIPTokenizer, or whatever a tokenizer.json of another kind says.
  static tokenizer_options hf() {
    tokenizer_options o;
    o.follows = library::hf;
    o.clean = clean_rule::none;
    return o;
  }
  /// open_clip's HFTokenizer (a config with hf_tokenizer_name) around transformers' tokenizer. open_clip pads these rows to the
  /// context length: frame.fill is for models that see the padding.
  static tokenizer_options open_clip_hf() {
    tokenizer_options o = hf();
    o.clean = clean_rule::whitespace;
    return o;
  }
};

namespace detail {
/// How transformers 5 cleans texts in the tokenizer_class of a tokenizer_config.json, where the tokenizer.json does not say it.
inline void clean_as(std::string_view tokenizer_class, tokenizer_options& o) {
  if (tokenizer_class == "SiglipTokenizer") {
    o.between = clean_rule::bare;
    o.longest = true;
  } else if (tokenizer_class == "Siglip2Tokenizer") {
    o.between = clean_rule::lower;
  }
}

using named_texts = std::vector<std::pair<std::string, std::string>>;  // names and contents of files

/// The model of a tokenizer: how texts become ids, and what the ids are. Immutable once it is made; thread-safe.
struct token_model {
  tokenizer_options options;
  token_frame frame;  // nothing in it is from_files

  virtual ~token_model() = default;
  /// Appends the ids of a text, without its frame. May stop once there are `limit` ids in `out`, or have appended some more.
  virtual void append(std::string_view text, std::vector<std::int32_t>& out, std::size_t limit) const = 0;
  /// Appends the row of a text, by options and frame. Returns the number of ids appended.
  virtual dim append_row(std::string_view text, std::vector<std::int32_t>& out) const;
  /// Number of ids.
  virtual dim size() const = 0;
  /// The same without tokens that are added behind the vocabulary, which only a text that spells them has.
  virtual dim base_size() const { return size(); }
  /// The symbol of an id below size(); empty if there is none.
  virtual std::string symbol(std::int32_t id) const = 0;
  /// The text of ids below size().
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  /// The files that it can be read from again.
  virtual named_texts files() const = 0;

  /// Checks options.frame and takes from `files` what it leaves open. Called when size() is known.
  void set_frame(token_frame files, const std::string& name);
};

}  // namespace detail
}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "token_model-inl.hpp"
#endif
