// Tar shards of samples, as webdataset writes them.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/function_ref.hpp"
#include "left_out.hpp"

namespace clipx {

/// The paths that a pattern denotes, in order: "a-{0000..0012}.tar" (padded to the wider end if one begins with 0; descending,
/// too), "{a,b}.tar", several braces (the leftmost varies slowest), nested braces, "::" between patterns. Braces with neither
/// "," nor ".." are kept literally. Errors: an empty pattern, an unclosed brace, more than 1,000,000 paths or 256 MiB of them,
/// braces nested 16 deep.
std::vector<std::string> expand_braces(const std::string& pattern);

/// The files of a shard that share a key: "dir/0001.jpg" and "dir/0001.seg.png" are "jpg" and "seg.png" of "dir/0001".
struct sample {
  std::string key;                                                          // the path up to the base name's first dot
  std::vector<std::pair<std::string, std::span<const std::byte>>> members;  // suffix in lower case, bytes
  /// The bytes of one member; nothing if there is none.
  std::optional<std::span<const std::byte>> find(std::string_view suffix) const;
  /// The first of jpg, png, jpeg, webp that exists.
  std::optional<std::span<const std::byte>> image() const;
};

/// Whose bytes a reader of shards reads: those of every member, or of txt, json and cls alone; other members are there without
/// bytes.
enum class member_bytes { all, texts };

/// Calls f with each sample of a tar file, in order; the bytes live as long as the call. Neighbors with the same key are one
/// sample, until a suffix comes again. Left out: directories, links, names without a dot or that begin with one, names like __x__.
/// Read: ustar, GNU long names, pax path and size. Errors, with the byte where they are: a wrong checksum or number, a member that
/// reaches beyond the file, a name over 65,536 bytes, more than 10,000 members in a sample, a sparse file, an empty shard.
/// A gzip file (.tar.gz) is decompressed into memory first; it may hold 4 GiB. Other files are read, not mapped: one that becomes
/// shorter meanwhile is an error.
void for_each_sample(const std::string& shard, function_ref<void(const sample&)> f, member_bytes wanted = member_bytes::all);
/// The same, where `skipped` gets links and files that belong to no sample, the rest of a shard that is damaged, or a shard that
/// cannot be opened. What f throws ends the call.
void for_each_sample(const std::string& shard, left_out& skipped, function_ref<void(const sample&)> f,
                     member_bytes wanted = member_bytes::all);
/// The same from memory; `name` is used for the file in messages.
void for_each_sample(std::span<const std::byte> tar, const std::string& name, function_ref<void(const sample&)> f);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "shards-inl.hpp"
#endif
