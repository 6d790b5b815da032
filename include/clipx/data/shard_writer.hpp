// Writes WebDataset shards: samples to tar files that webdataset, open_clip and for_each_sample read.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../io/file.hpp"
#include "shards.hpp"

namespace clipx {

/// A shard being written: ustar, with a pax header for names that do not fit into ustar and for members of 8 GiB and more. The
/// bytes depend on the samples alone (no time, no user). It is a new_file: without commit() nothing is left of it.
/// Not thread-safe.
class tar_writer {
 public:
  /// Errors: those of new_file.
  explicit tar_writer(const std::string& path);
  /// Appends the members of a sample, "key.suffix" each, in order and unchanged. Errors: a name that would be read back as part
  /// of another sample (an empty key, a dot in its base name, a folder __x__, the key of the previous sample) or not at all
  /// (containing a zero byte, over 65,536 bytes), no members, a repeated suffix, and those of new_file.
  void add(const sample& s);
  /// Ends the archive and puts the file in place. Errors: no samples, which readers refuse; those of new_file.
  void commit();
  std::uint64_t samples() const { return samples_; }  // added so far

 private:
  void put(std::span<const std::byte> bytes);
  void put_member(const std::string& name, std::span<const std::byte> data);
  void put_header(const std::string& name, std::uint64_t size, char type);
  void pad(std::uint64_t size);
  void flush();

  std::string path_;
  new_file file_;
  std::vector<std::byte> waiting_;  // not yet written to the file
  std::string last_key_;
  std::uint64_t samples_ = 0;
};

/// The file name of a shard: "00012.tar".
std::string shard_name(std::uint64_t number);

/// Writes folder/sizes.json, from which open_clip reads the number of samples: {"00000.tar": 10000, ..}.
void write_sizes(const std::string& folder, std::span<const std::pair<std::string, std::uint64_t>> sizes);

/// Writes samples to folder/00000.tar, 00001.tar and so on, each completely or not at all, and finally sizes.json.
/// Not thread-safe.
class shard_writer {
 public:
  /// The folder is created if it does not exist. Errors: a folder that cannot be created, 0 samples per shard.
  explicit shard_writer(std::string folder, std::uint64_t samples_per_shard = 10'000);
  /// Errors: those of tar_writer. The shard being written is then lost; those before it remain.
  void add(const sample& s);
  /// Writes the last shard and sizes.json; call it once, after all samples. Without it the last shard is not written.
  void finish();
  /// Name and number of samples of each finished shard.
  const std::vector<std::pair<std::string, std::uint64_t>>& sizes() const { return sizes_; }

 private:
  void close();

  std::string folder_;
  std::uint64_t samples_per_shard_;
  std::unique_ptr<tar_writer> shard_;
  std::vector<std::pair<std::string, std::uint64_t>> sizes_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "shard_writer-inl.hpp"
#endif
