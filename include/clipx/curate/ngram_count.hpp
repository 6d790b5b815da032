// The dictionary of a Visual N-Grams model, counted from captions (Li et al. 2017, section 3.1):
// all n-grams above a count, in bounded memory.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../core/observer.hpp"
#include "../data/captions.hpp"
#include "../text/ngrams.hpp"

namespace clipx {

/// What is counted.
struct ngram_sources {
  /// Patterns (expand_braces) of shards, .csv or .tsv tables, texts with a caption a line, and folders: of shards, or else of
  /// images with the caption in a .txt of the same name, or the captions in a field of the .json. A .txt beside an image is one
  /// caption, in a folder as in a shard. All captions of an image count.
  std::vector<std::string> data;
  caption_config captions;                    // where tables and shards have their captions
  dim max_n = 5;                              // words of the longest n-gram
  std::uint64_t min_count = 1000;             // the paper keeps what occurs more than 1,000 times
  std::size_t memory = std::size_t(1) << 30;  // approximate number of bytes for counting; does not affect the result
};

/// What was read.
struct ngram_report {
  std::uint64_t captions = 0, words = 0;  // words: including [BEGIN] and [END]
  std::uint64_t distinct = 0;             // n-grams, before rare ones are removed
  std::uint64_t not_utf8 = 0;             // captions left out because they are not UTF-8
  left_out skipped;                       // what else was left out
};

/// Counts the n-grams of ngram_words() between [BEGIN] and [END]. What does not fit into memory waits in sorted, unnamed
/// files in the folder of `scratch`. Captions that are not UTF-8 are left out and counted. The observer's stage is
/// "captions". Errors: cancelled; a table without the column; no n-gram as frequent as that; a disk that is full.
ngram_dictionary count_ngrams(const ngram_sources& sources, const std::string& scratch, ngram_report& report,
                              observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "ngram_count-inl.hpp"
#endif
