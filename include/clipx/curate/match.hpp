// Counts the captions in which each entry of a query list occurs.
#pragma once
#include "captions_source.hpp"
#include "matching.hpp"
#include "stage.hpp"

namespace clipx {

/// The input of the stages over captions.
struct curate_data {
  std::vector<std::string> data;                       // list_caption_parts
  std::string caption_field;                           // for_each_captioned
  std::uint64_t part_bytes = std::uint64_t(64) << 20;  // about how much of a text file is one part
  bool strict = false;                                 // error: something is left out, where otherwise the rest is done
};

/// What was counted.
struct match_result {
  bool whole = false;                  // all parts of all processes are done, and the files are written
  std::size_t parts = 0, missing = 0;  // total number; number not done
  caption_report captions;             // of the parts that are done; so are the following
  std::uint64_t matched = 0;           // captions with an entry
  std::uint64_t matches = 0;           // pairs of caption and entry
  std::vector<std::uint64_t> counts;   // per entry
};

/// Writes folder/counts.tsv (write_counts) and, with `lines`, folder/matches.jsonl: a line {"key":..,"entries":[..]} for each
/// caption with an entry, in the order of the data, entries in the order of the list; a sample with several captions has several
/// lines. Finished parts are stored in folder/state/match: the same call continues after a kill, and processes with different
/// config.part share the work; the last of them writes the files. config.folder and config.options are ignored. Memory: the
/// automaton, and the counts and lines of one part per thread. captions.skipped also has samples without a caption. Errors: those
/// of stage and list_caption_parts, a file that cannot be written; with data.strict, anything in captions.skipped, before the files
/// are written.
match_result match_captions(const query_matcher& queries, const curate_data& data, const std::string& folder, bool lines,
                            stage_config config, observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "match-inl.hpp"
#endif
