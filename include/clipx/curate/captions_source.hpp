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
  std::string problem;               // why it cannot be read, path included; else empty
};

/// The parts of all inputs, in order. An entry is a pattern (expand_braces) of paths: a tar shard; a folder, which stands for its
/// shards (list_shards); any other file is a text with one caption per line, divided into parts of about part_bytes. Reads text
/// files once, to count their lines. A path that is not there or not readable, and a folder without shards, is a part with a
/// `problem`, which for_each_captioned() reports. `skipped` gets what folders hold beside shards. Errors: no entry, none that can
/// be read.
std::vector<caption_part> list_caption_parts(std::span<const std::string> data, left_out& skipped,
                                             std::uint64_t part_bytes = std::uint64_t(64) << 20);

/// What was read, and what was left out.
struct caption_report {
  std::uint64_t samples = 0, captions = 0;  // samples read; captions that are not empty
  std::uint64_t empty = 0;                  // captions of whitespace only
  std::uint64_t uncaptioned = 0;            // samples without the .txt, or without the .json or its field
  std::uint64_t unreadable = 0;             // captions that are not UTF-8 or too long; samples whose JSON is invalid
  std::uint64_t broken_shards = 0;          // that are left out, or whose rest is
  left_out skipped;                         // the last two, links and foreign files of shards, and what else the caller left out

  /// Adds the report of what was read next.
  void add(const caption_report& next);
};

/// A sample and its captions, unchanged but for the end of a line. The bytes are valid during the call.
struct captioned_sample {
  std::string_view key;                        // of a shard's sample; for a text file, the index of the line
  std::span<const std::string_view> captions;  // in the sample's order
  const sample* members = nullptr;             // all files of the sample; null for a text file
  std::string_view uncaptioned;                // why a shard's sample has no caption: no .txt, no field, an empty text
};

/// Calls f with every sample of the part, in order, including those without a caption, of which the caller decides whether they are
/// left out. `field`: the captions are this field of the sample's .json, a text or a list of texts; "": the .txt. A caption that is
/// not UTF-8, longer than 1 MiB, or only whitespace is left out and counted; so are links and foreign files of a shard, the rest of
/// a broken one, and a part that cannot be read. Errors: a text file whose size has changed since it was listed; what f throws.
/// With member_bytes::texts, `members` has the bytes of texts alone.
void for_each_captioned(const caption_part& part, const std::string& field, caption_report& report,
                        function_ref<void(const captioned_sample&)> f, member_bytes wanted = member_bytes::all);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "captions_source-inl.hpp"
#endif
