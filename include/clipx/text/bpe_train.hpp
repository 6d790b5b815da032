// Learns a vocabulary of CLIP's form from captions: byte-level BPE with </w> at a word's end.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/function_ref.hpp"
#include "bpe.hpp"

namespace clipx {

/// What is to be learned.
struct bpe_options {
  dim vocab_size = 49408;           // ids in all: 512 bytes, merges, start and end; 515 to 49,408 (what CLIP's readers take)
  std::uint64_t min_frequency = 2;  // a pair that occurs less often is not merged
  int threads = 1;                  // that count words, 1 to 256; no result depends on it
  /// Captions are cleaned and cut into words as this tokenizer does it, by the same code.
  tokenizer_options text = tokenizer_options::openai();
};

/// What was learnt, and from how much.
struct learnt_bpe {
  std::string merges;  // text of a merges file: a header line, then a pair of symbols a line; tokenizer::from_merges_bytes reads it
  dim vocab_size = 0;  // of the tokenizer that it makes: 514 and one a merge
  dim missing = 0;     // merges fewer than asked for, where the captions have no more pairs
  std::uint64_t captions = 0, words = 0, distinct_words = 0;  // all of them, and the distinct words among them
  std::uint64_t bytes = 0, tokens = 0;                        // of all words: in UTF-8, cleaned; as ids of the new vocabulary

  /// A tokenizer with this vocabulary.
  clipx::tokenizer tokenizer(const tokenizer_options& o = tokenizer_options::openai()) const {
    return clipx::tokenizer::from_merges_bytes(merges, o);
  }
};

/// Takes captions one at a time and keeps nothing but each distinct word (bytes + 32 bytes) and how often it came, for each thread.
///
/// Each step merges the pair of neighbouring symbols that occurs most often in all words ("aaa" holds the pair (a, a) twice); of
/// pairs that occur equally often the one whose left id is smallest, then whose right id is. Ids are the vocabulary's own: bytes in
/// CLIP's order, then merges as they were learnt. So the result follows from the words and their counts alone. The rule is the
/// one of Hugging Face's BpeTrainer. Symbols of more than 256 bytes are not made.
class bpe_trainer {
 public:
  /// Errors: a size, frequency or number of threads outside what bpe_options says.
  explicit bpe_trainer(const bpe_options& o = {});
  ~bpe_trainer();
  bpe_trainer(bpe_trainer&&) noexcept;
  bpe_trainer& operator=(bpe_trainer&&) noexcept;

  /// Counts the words of a caption.
  void add(std::string_view caption);
  /// The same for many, shared out to the threads.
  void add(std::span<const std::string> captions);

  /// progress(merges so far) is called after each merge. More captions may be added afterwards, and learnt from with the others.
  /// Errors: no captions, no words in them, no pair that is frequent enough, distinct words of more than 4 GiB.
  learnt_bpe learn(function_ref<void(dim)> progress);
  /// The same without progress.
  learnt_bpe learn() {
    return learn([](dim) {});
  }

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Writes bpe_SIZE.txt.gz (openai/CLIP and open_clip read it), merges.txt and vocab.json (transformers reads them) to a folder,
/// which is made where it is missing; each file whole or not at all, vocab.json last. tokenizer::from_folder reads it. Errors: a
/// folder that cannot be made or written to, or that holds a tokenizer.json, which readers would take instead.
void write_tokenizer(const std::string& folder, const learnt_bpe& learnt);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "bpe_train-inl.hpp"
#endif
