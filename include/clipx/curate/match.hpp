// Counts in how many captions each entry of a query list occurs.
#pragma once
#include "captions_source.hpp"
#include "matching.hpp"
#include "stage.hpp"

namespace clipx {

/// What the stages over captions are given.
struct curate_data {
  std::vector<std::string> data;                       // list_caption_parts
  std::string caption_field;                           // for_each_captioned
  std::uint64_t part_bytes = std::uint64_t(64) << 20;  // about how much of a text file is one part
};

/// What was counted.
struct match_result {
  bool whole = false;                  // every part of every process is done, and the files are written
  std::size_t parts = 0, missing = 0;  // in all; those that are not done
  caption_report captions;             // of the parts that are done, and so are the others
  std::uint64_t matched = 0;           // captions with an entry
  std::uint64_t matches = 0;           // pairs of caption and entry
  std::vector<std::uint64_t> counts;   // of each entry
};

/// Writes folder/counts.tsv (write_counts) and, with `lines`, folder/matches.jsonl: a line {"key":..,"entries":[..]} for each
/// caption with an entry, in the order of the data, entries in the order of the list; a sample of several captions has several
/// lines. What is done of the parts is in folder/state/match: the same call goes on after a kill, and processes of different
/// config.part share the work, of which the last one writes the files. config.folder and config.options are not read. Memory: the
/// automaton, and a part's counts and lines for each thread. Errors: those of stage and list_caption_parts, a file that cannot be
/// written.
match_result match_captions(const query_matcher& queries, const curate_data& data, const std::string& folder, bool lines,
                            stage_config config, function_ref<void(std::size_t done, std::size_t total)> progress,
                            function_ref<bool()> stop);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "match-inl.hpp"
#endif
