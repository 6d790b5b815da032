// The captions of a data set, one at a time, from text files, tables and shards.
#pragma once
#include <string>
#include <string_view>

#include "../core/function_ref.hpp"
#include "left_out.hpp"

namespace clipx {

/// Where a file has its captions.
struct caption_config {
  std::string column = "title";  // of .csv and .tsv tables, whose first row names the columns; fields may be quoted (RFC 4180)
  char separator = '\0';         // between fields; '\0': a comma in .csv, a tab in .tsv
  std::string field{};           // of .tar shards: this field of a sample's .json, a text or a list of texts; "": the .txt
};

/// Calls f with each caption of a file, in order, without space at its ends, empty ones left out. The file is a shard (.tar,
/// .tar.gz, .tgz; a .txt is one caption, however many lines it has, as open_clip and the loader read it), a
/// table (.csv, .tsv) or else a text with a caption a line ("-" for standard input). Samples of a shard without the .txt or .json
/// are left out. Errors, with the line, row or sample: a file that cannot be read, a table without the column, JSON without the
/// field, a line of more than 1 MiB.
void for_each_caption(const std::string& file, const caption_config& c, function_ref<void(std::string_view)> f);
/// The same, where `skipped` gets samples without the .txt or .json, samples whose .json is broken or lacks the field, and the rest
/// of a file that is damaged, or a file that cannot be read. Errors: a table without the column; what f throws.
void for_each_caption(const std::string& file, const caption_config& c, left_out& skipped, function_ref<void(std::string_view)> f);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "captions-inl.hpp"
#endif
