// A query list from one's own text, by the rules that MetaCLIP (Xu et al. 2023) read off CLIP's.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "captions_source.hpp"
#include "stage.hpp"

namespace clipx {

/// What entries are taken from.
struct query_sources {
  std::vector<std::string> text;    // patterns of text files; words are counted in them, and pairs of neighbours in a line
  std::uint64_t unigram_min = 100;  // words that occur so often
  double bigram_pmi = 30;           // pairs (a, b) of log2(c_ab N / (c_a c_b)) at least this, N the number of all words
  std::string titles;               // a file of titles, "": none; a line is a title, a tab and how often it was seen
  std::uint64_t titles_min = 70;    // titles that were seen so often in all lines together
  bool wordnet = false;             // the names of WordNet's synsets
  std::string wordnet_folder;       // of data.adj, data.adv, data.noun, data.verb; "": the usual places
  std::size_t limit = 500'000;      // entries
  std::size_t memory = std::size_t(1) << 30;           // bytes for counting, of all threads together; no result depends on it
  std::uint64_t part_bytes = std::uint64_t(64) << 20;  // about how much of a text file is one part
};

/// What was found.
struct query_report {
  bool whole = false;                                                             // as in match_result
  std::size_t parts = 0, missing = 0;                                             // number of parts, and of those not done
  std::uint64_t numbers = 0, synsets = 0, unigrams = 0, bigrams = 0, titles = 0;  // entries of each source
  std::uint64_t words = 0, distinct_words = 0, distinct_pairs = 0;                // of the text
  std::uint64_t punctuation = 0;              // entries of one character of ASCII punctuation, left out
  std::uint64_t unreadable = 0;               // words and titles that are no UTF-8, left out
  std::vector<std::string> first_unreadable;  // where the first of them are
  std::uint64_t over_limit = 0;               // entries for which there was no room, at least
  std::vector<std::string> entries;           // the list
};

/// Writes a query list, an entry a line, in this order; what comes a second time is left out.
/// 1. "0" to "99".
/// 2. Of every synset of WordNet (adjectives, adverbs, nouns, verbs, in the order of their files) the first word, in lower case,
///    without a marker such as "(p)", cut at its first dot, '_' as a space.
/// 3. Words, in descending order of count, then of bytes. A word is what stands between spaces once each of , . ; : ? ! ` is
/// between spaces; bytes
///    up to 0x20 are spaces. Case counts. So a word of the list is found by padding::spaces wherever it was counted.
/// 4. Pairs "a b" of neighbours in a line, in descending order of PMI, then of bytes.
/// 5. Titles with no ':' in them, '_' as a space, in the order in which they come first.
/// Single ASCII punctuation is no entry.
///
/// Words and pairs are counted in parts whose sorted counts are in the folder out + ".state", which is removed when the list is
/// written: restarts and processes as in match_captions. Memory: `memory`, twice `limit` entries, the titles. config.folder and
/// config.options are not read. Errors: no source; a file that cannot be read; a shard among the texts; a line of titles without a
/// count; WordNet is not there; those of stage; a file that cannot be written.
query_report build_queries(const query_sources& sources, const std::string& out, stage_config config,
                           function_ref<void(std::size_t done, std::size_t total)> progress, function_ref<bool()> stop);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "queries-inl.hpp"
#endif
