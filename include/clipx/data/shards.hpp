// Where images come from: tar shards of samples (as webdataset writes them) and folders of files.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/function_ref.hpp"

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

/// Calls f with each sample of a tar file, in order; the bytes are valid during the call. Consecutive members with the same key
/// form a sample, until a suffix repeats. Ignored: directories, links, names without a dot or that begin with one, names like
/// __x__. Supported: ustar, GNU long names, pax path and size. Errors, with the byte offset: a wrong checksum or number, a
/// member that extends beyond the file, a name over 65,536 bytes, more than 10,000 members in a sample, a sparse file,
/// an empty shard.
void for_each_sample(const std::string& shard, function_ref<void(const sample&)> f);
/// The same from memory; `name` is used for the file in messages.
void for_each_sample(std::span<const std::byte> tar, const std::string& name, function_ref<void(const sample&)> f);

/// The images (.jpg .jpeg .png .bmp .gif .ppm .pgm, in any case) of a folder and those below it, sorted by path. Links to
/// folders are not followed. Errors: no such folder, no images in it.
std::vector<std::string> list_images(const std::string& folder);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "shards-inl.hpp"
#endif
