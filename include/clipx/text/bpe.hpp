// tokenizer: texts to token ids, by CLIP's byte-level BPE, a tokenizer.json of another kind, or a dictionary of n-grams.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ngrams.hpp"
#include "vocabulary.hpp"

namespace clipx {

class file_set;  // io/file_set.hpp

/// Converts texts to token ids. Immutable and cheap to copy; const members may be called from several threads at once.
///
/// The model behind it is one of: byte-level BPE with </w> at the end of a word, which is CLIP's; what a tokenizer.json describes
/// (text/token_models-inl.hpp has the list); the dictionary of a Visual N-Grams model. What stands around the ids of a text, and
/// how many there are, is of the options, which the reader of a checkpoint fills in (tokenizer_options, token_frame).
///
/// Ids equal those of the library that the options name: openai/CLIP, open_clip 3.3 or transformers 5 (docs/clip.md section 5).
/// ftfy's repair of wrongly decoded text is not implemented (see clean()). Letters and numbers are those of Unicode 16,
/// whatever utf8proc is installed.
class tokenizer {
 public:
  /// From a merges file in the form of bpe_simple_vocab_16e6.txt.gz, gzip or plain: a header line, then one pair of symbols per
  /// line. The first 48,894 merges count; the vocabulary is the 512 byte symbols, the merges, start and end. Throws
  /// clipx::error, which names the line.
  static tokenizer from_merges(const std::string& path, const tokenizer_options& o = tokenizer_options::openai());
  /// From vocab.json (symbol -> id) and merges.txt, as transformers saves them.
  static tokenizer from_vocab(const std::string& vocab_json, const std::string& merges_txt,
                              const tokenizer_options& o = tokenizer_options::hf());
  /// From tokenizer.json, as the `tokenizers` library writes it, of at most 200 MB. CLIP's: model.vocab, model.merges (strings or
  /// pairs) and added_tokens are read. Of other kinds, all that decides about ids; what is not supported is an error that names it.
  static tokenizer from_json(const std::string& tokenizer_json, const tokenizer_options& o = tokenizer_options::hf());
  /// From a model's folder: the first that exists of tokenizer.json, vocab.json + merges.txt, bpe_simple_vocab_16e6.txt.gz and
  /// ngrams.tsv; for transformers, with the special tokens of tokenizer_config.json.
  static tokenizer from_folder(const std::string& folder, const tokenizer_options& o);
  /// The same for files that may be in memory.
  static tokenizer from_files(const file_set& files, const tokenizer_options& o);
  /// From a path alone, without a model: a tokenizer.json or a folder, used as transformers uses them (texts are cut at the
  /// model_max_length of tokenizer_config.json, if there is one); else a merges file, used as openai/CLIP uses it.
  static tokenizer open(const std::string& path);

  /// The same from bytes in memory; `name` is used for the file in messages.
  static tokenizer from_merges_bytes(std::string_view bytes, const tokenizer_options& o, const std::string& name = "merges");
  /// The two files of from_vocab().
  static tokenizer from_vocab_bytes(std::string_view vocab_json, std::string_view merges_txt, const tokenizer_options& o,
                                    const std::string& name = "vocab.json + merges.txt");
  /// The file of from_json().
  static tokenizer from_json_bytes(std::string_view json, const tokenizer_options& o, const std::string& name = "tokenizer.json");

  /// Converts texts to the ids of their n-grams, framed by [BEGIN] and [END] and never truncated:
  /// ngram_dictionary::append_caption(). The other members treat the n-grams as a vocabulary, with one more id for what is not
  /// an n-gram; there is no start, end or pad id, and there are no merges.
  static tokenizer from_ngrams(ngram_dictionary ngrams);
  /// The dictionary of a Visual N-Grams model; null for any other tokenizer.
  const ngram_dictionary* ngrams() const;

  /// Ids of a text, without start and end, and not truncated.
  std::vector<std::int32_t> encode(std::string_view text) const;
  /// The row of a text: start, ids, end, as the options' frame has them; truncated to the context length, in which case the last id
  /// is the end's. Padded only if the frame says so (token_frame::fill).
  std::vector<std::int32_t> operator()(std::string_view text) const;
  /// The same, appended to `out` (texts packed one after another); returns the number of ids appended.
  dim append(std::string_view text, std::vector<std::int32_t>& out) const;
  /// The text of ids: symbols joined, bytes decoded as UTF-8 (U+FFFD where ill-formed), spaces for what marks them in the symbols
  /// (</w>, U+2581, no ## before a symbol).
  std::string decode(std::span<const std::int32_t> ids) const;

  /// Number of ids.
  dim vocab_size() const { return model_->size(); }
  /// The same without tokens that a tokenizer.json adds behind the vocabulary of its model (T5's <extra_id_0>), which only a text
  /// that spells them has: what a text tower's table must hold.
  dim base_vocab_size() const { return model_->base_size(); }
  dim context_length() const { return model_->options.context_length; }  // ids of a text, start and end included
  std::int32_t sot() const { return model_->frame.sot; }                 // id of the start; -1: there is none
  std::int32_t eot() const { return model_->frame.eot; }                 // id of the end; -1: there is none
  /// The id that the library pads rows with, or -1: 0 in openai/CLIP and open_clip, the pad token (CLIP: usually the end's id) in
  /// transformers.
  std::int32_t pad() const { return model_->frame.pad; }
  /// Whether rows are padded to the context length.
  bool fills() const { return model_->frame.fill; }
  /// The symbol of an id as the vocabulary has it: CLIP's in the byte alphabet, including its </w>. Empty where a file skips an id.
  std::string symbol(std::int32_t id) const;
  /// The files, as names and contents, that from_folder() can read back.
  std::vector<std::pair<std::string, std::string>> files() const;
  /// merges.txt as transformers saves it: a header, then one pair of symbols per line, by rank. Only of CLIP's kind.
  std::string merges_text() const;
  /// vocab.json as transformers reads it: symbol -> id, with start and end under the names that it expects. Only of CLIP's
  /// kind.
  std::string vocab_text() const;
  const tokenizer_options& options() const { return model_->options; }  // as given

 private:
  explicit tokenizer(std::shared_ptr<const detail::token_model> model) : model_(std::move(model)) {}
  void expect_id(std::int32_t id) const;
  const detail::vocabulary& byte_bpe() const;
  std::shared_ptr<const detail::token_model> model_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "bpe-inl.hpp"
#endif
