// Learns a vocabulary of CLIP's form from captions: byte-level BPE with </w> at the end of a word.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/observer.hpp"
#include "bpe.hpp"

namespace clipx {

/// What is to be learned.
struct bpe_options {
  dim vocab_size = 49408;           // number of ids: 512 bytes, merges, start and end; 515 to 49,408 (the most that CLIP's readers
                                    // take)
  std::uint64_t min_frequency = 2;  // a pair that occurs less often is not merged
  int threads = 1;                  // threads that count words, 1 to 256; the result does not depend on it
                    /// Captions are cleaned and split into words as by a tokenizer with these options, using the same code.
  tokenizer_options text = tokenizer_options::openai();
};

/// What was learned, and statistics of the captions.
struct learned_bpe {
  std::string merges;  // contents of a merges file: a header line, then one pair of symbols per line; see
  // tokenizer::from_merges_bytes
  dim vocab_size = 0;  // of the resulting tokenizer: 514 plus the number of merges
  dim missing = 0;     // number of merges short of the request, if the captions have no more pairs
  std::uint64_t captions = 0, words = 0, distinct_words = 0;  // all of them, and the distinct words among them
  std::uint64_t bytes = 0, tokens = 0;                        // of all words: in cleaned UTF-8; as ids of the new vocabulary

  /// A tokenizer with this vocabulary.
  clipx::tokenizer tokenizer(const tokenizer_options& o = tokenizer_options::openai()) const {
    return clipx::tokenizer::from_merges_bytes(merges, o);
  }
};

/// Takes captions one at a time. For each thread it keeps only each distinct word (bytes + 32 bytes) and its count.
///
/// Each step merges the pair of adjacent symbols that occurs most often in all words ("aaa" contains the pair (a, a) twice); of
/// pairs that occur equally often, the one with the smallest left id, then the smallest right id. Ids are those of the
/// vocabulary: bytes in CLIP's order, then merges in the order learned. So the result depends on the words and their counts
/// alone. Hugging Face's BpeTrainer uses the same rule. Symbols of more than 256 bytes are not made.
class bpe_trainer {
 public:
  /// Errors: a size, frequency or number of threads outside the range in bpe_options.
  explicit bpe_trainer(const bpe_options& o = {});
  ~bpe_trainer();
  bpe_trainer(bpe_trainer&&) noexcept;
  bpe_trainer& operator=(bpe_trainer&&) noexcept;

  /// Counts the words of a caption.
  void add(std::string_view caption);
  /// The same for many captions, divided among the threads.
  void add(std::span<const std::string> captions);

  /// The observer's stage is "merges". More captions may be added afterwards, and learned from with the others. Errors: cancelled;
  /// no captions, no words in them, no pair that is frequent enough, distinct words of more than 4 GiB.
  learned_bpe learn(observer& watch = no_observer());

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Writes bpe_SIZE.txt.gz (for openai/CLIP and open_clip), merges.txt and vocab.json (for transformers) to a folder, which is
/// created if it does not exist; each file is written completely or not at all, vocab.json last. tokenizer::from_folder reads
/// the folder. Errors: a folder that cannot be created or written to, or that contains a tokenizer.json,
/// which readers would prefer.
void write_tokenizer(const std::string& folder, const learned_bpe& learned);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "bpe_train-inl.hpp"
#endif
