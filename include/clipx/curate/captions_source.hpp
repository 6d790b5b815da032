// The captions that curation processes, with the keys of their samples: from tar shards, folders of shards and text files.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../data/shards.hpp"

namespace clipx {

/// What one thread reads at a time: a tar shard, or some lines of a text file.
struct caption_part {
  std::string path;                  // of the file
  bool lines = false;                // a text file
  std::uint64_t begin = 0, end = 0;  // byte range in the file; whole lines of a text file
  std::uint64_t first_line = 0;      // the index of its first line
  std::string facts;                 // path, size, modification time and range: other facts mean other captions (stage_item::facts)
};

/// The parts of all inputs, in order. An entry is a pattern (expand_braces) of paths: a tar shard; a folder, whose .tar files are
/// used in order of name; any other file is a text with one caption per line, divided into parts of about part_bytes. Reads text
/// files once, to count their lines. Errors: no entry, a path that does not exist or is not readable, a folder without shards.
std::vector<caption_part> list_caption_parts(std::span<const std::string> data, std::uint64_t part_bytes = std::uint64_t(64) << 20);

/// What was read, and what could not be read.
struct caption_report {
  std::uint64_t samples = 0, captions = 0;  // samples read; captions that are not empty
  std::uint64_t empty = 0;                  // captions of whitespace only
  std::uint64_t uncaptioned = 0;            // samples without the .txt or .json
  std::uint64_t unreadable = 0;     // captions that are not UTF-8 or too long; samples whose JSON is invalid or has no such field
  std::uint64_t broken_shards = 0;  // whose rest is left out
  std::vector<std::string> first;   // reasons for the first eight of the last two

  /// Keeps the reason if it is among the first eight; counts nothing.
  void add_problem(const std::string& why);
  /// Adds the report of what was read next.
  void add(const caption_report& next);
  std::uint64_t problems() const { return unreadable + broken_shards; }  // whether anything was lost
};

/// A sample and its captions, unchanged but for the end of a line. The bytes are valid during the call.
struct captioned_sample {
  std::string_view key;                        // of a shard's sample; for a text file, the index of the line
  std::span<const std::string_view> captions;  // in the sample's order
  const sample* members = nullptr;             // all files of the sample; null for a text file
};

/// Calls f with every sample of the part, in order, including those without a caption. `field`: the captions are this field of the
/// sample's .json, a text or a list of texts; "": the .txt. A caption that is not UTF-8, longer than 1 MiB, or only whitespace is
/// left out and counted; so is the rest of a broken shard. Errors: a file that cannot be opened,
/// or whose size has changed since it was listed. With member_bytes::texts, `members` has the bytes of texts alone.
void for_each_captioned(const caption_part& part, const std::string& field, caption_report& report,
                        function_ref<void(const captioned_sample&)> f, member_bytes wanted = member_bytes::all);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "captions_source-inl.hpp"
#endif
