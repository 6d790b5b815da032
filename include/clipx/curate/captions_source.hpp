// The captions that curation is about, with the keys of their samples: from tar shards, folders of shards and plain texts.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../data/shards.hpp"

namespace clipx {

/// What one thread reads at a time: a tar shard, or some lines of a plain text.
struct caption_part {
  std::string path;                  // of the file
  bool lines = false;                // a plain text
  std::uint64_t begin = 0, end = 0;  // bytes of the file; whole lines of a text
  std::uint64_t first_line = 0;      // the number of its first line, from 0
  std::string facts;                 // path, size, time of change and bytes: other facts are other captions (stage_item::facts)
};

/// The parts of all inputs, in order. An entry is a pattern (expand_braces) of paths: a tar shard; a folder, whose .tar files are
/// taken by name; any other file is a text with a caption a line, cut into parts of about part_bytes. Reads texts once, to number
/// their lines. Errors: no entry, a path that is not there or not readable, a folder without shards.
std::vector<caption_part> list_caption_parts(std::span<const std::string> data, std::uint64_t part_bytes = std::uint64_t(64) << 20);

/// What was read, and what could not be.
struct caption_report {
  std::uint64_t samples = 0, captions = 0;  // read; captions that are not empty
  std::uint64_t empty = 0;                  // captions of nothing but space
  std::uint64_t uncaptioned = 0;            // samples without the .txt or .json
  std::uint64_t unreadable = 0;     // captions that are no UTF-8 or too long; samples whose JSON is broken or has no such field
  std::uint64_t broken_shards = 0;  // whose rest is left out
  std::vector<std::string> first;   // of the last two: why, of the first eight

  /// Keeps the reason if it is among the first eight; counts nothing.
  void add_problem(const std::string& why);
  /// Adds what was read after it.
  void add(const caption_report& next);
  std::uint64_t problems() const { return unreadable + broken_shards; }  // whether anything was lost
};

/// A sample and its captions, as they stand in the file but for the end of a line. The bytes live as long as the call.
struct captioned_sample {
  std::string_view key;                        // of a shard's sample; of a plain text the line's number from 0
  std::span<const std::string_view> captions;  // in the sample's order
  const sample* members = nullptr;             // all of the sample's files; null for a plain text
};

/// Calls f with every sample of the part, in order, also with those without a caption. `field`: the captions are this field of the
/// sample's .json, a text or a list of texts; "": the .txt. A caption that is no UTF-8, of more than 1 MiB, or nothing but space is
/// left out and counted; so is the rest of a shard that is broken. Errors: a file that cannot be opened, or that has another size
/// than when it was listed.
void for_each_captioned(const caption_part& part, const std::string& field, caption_report& report,
                        function_ref<void(const captioned_sample&)> f);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "captions_source-inl.hpp"
#endif
