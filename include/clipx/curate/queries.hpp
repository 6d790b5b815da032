// Builds a query list from the user's own text, by the rules that MetaCLIP (Xu et al. 2023) inferred from CLIP's.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "captions_source.hpp"
#include "stage.hpp"

namespace clipx {

/// What entries are taken from.
struct query_sources {
  std::vector<std::string> text;              // patterns of text files, in which words and pairs of adjacent words are counted
  std::uint64_t unigram_min = 100;            // minimum count of a word
  double bigram_pmi = 30;                     // pairs (a, b) of log2(c_ab N / (c_a c_b)) at least this, N the number of all words
  std::string titles;                         // a file of titles, "": none; each line has a title, a tab and a view count
  std::uint64_t titles_min = 70;              // minimum sum of a title's views
  bool wordnet = false;                       // adds the names of WordNet's synsets
  std::string wordnet_folder;                 // with data.adj, data.adv, data.noun, data.verb; "": the usual places
  bool strict = false;                        // error: something is left out, where otherwise the rest is done
  std::size_t limit = 500'000;                // maximum number of entries
  std::size_t memory = std::size_t(1) << 30;  // bytes for counting, over all threads; does not affect the result
  std::uint64_t part_bytes = std::uint64_t(64) << 20;  // about how much of a text file is one part
};

/// What was found.
struct query_report {
  bool whole = false;                                                             // as in match_result
  std::size_t parts = 0, missing = 0;                                             // number of parts, and of those not done
  std::uint64_t numbers = 0, synsets = 0, unigrams = 0, bigrams = 0, titles = 0;  // entries of each source
  std::uint64_t words = 0, distinct_words = 0, distinct_pairs = 0;                // in the text
  std::uint64_t punctuation = 0;     // entries of a single ASCII punctuation character, left out
  std::uint64_t unreadable = 0;      // words and titles that are not UTF-8, left out
  left_out skipped;                  // these, lines of titles without a count, texts that cannot be read
  std::uint64_t over_limit = 0;      // entries for which there was no room, at least
  std::vector<std::string> entries;  // the list
};

/// Writes a query list, one entry per line, in this order; repeated entries are left out.
/// 1. "0" to "99".
/// 2. For every synset of WordNet (adjectives, adverbs, nouns, verbs, in the order of their files) its first word, in lower case,
///    without a marker such as "(p)", cut at its first dot, with '_' replaced by a space.
/// 3. Words, by descending count, then by bytes. Words are separated by spaces, after each of , . ; : ? ! ` has been put between
///    spaces; bytes up to 0x20 count as spaces. Case matters. So padding::spaces finds a word of the list wherever it was counted.
/// 4. Pairs "a b" of adjacent words in a line, by descending PMI, then by bytes.
/// 5. Titles without ':', with '_' replaced by a space, in the order of their first occurrence.
/// A single ASCII punctuation character is never an entry.
///
/// Words and pairs are counted in parts, whose sorted counts are stored in the folder out + ".state", which is removed when the
/// list is written: restarts and processes as in match_captions. Memory: `memory`, twice `limit` entries, the titles. config.folder
/// and config.options are ignored. Errors: no source; no text, or no titles, that can be read; a shard among the texts; WordNet is
/// not found; those of stage; a file that cannot be written; with sources.strict, anything in `skipped`.
query_report build_queries(const query_sources& sources, const std::string& out, stage_config config,
                           observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "queries-inl.hpp"
#endif
