// WebDataset shards written: samples to tar files that webdataset, open_clip and for_each_sample read.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../io/file.hpp"
#include "shards.hpp"

namespace clipx {

/// One shard on its way: ustar, with a pax header for names that ustar has no room for and members of 8 GiB and more. The bytes are
/// a function of the samples alone (no time, no user). It is a new_file: without commit() nothing is left of it. For one thread.
class tar_writer {
 public:
  /// Errors: those of new_file.
  explicit tar_writer(const std::string& path);
  /// Appends the members of a sample, "key.suffix" each, in their order and with their bytes. Errors: a name that would be read
  /// back as another sample's (an empty key, a dot in its base name, a folder __x__, the key of the sample before) or not at all (a
  /// zero in it, over 65,536 bytes), no members, a suffix twice, and those of new_file.
  void add(const sample& s);
  /// The end of the archive; then the file takes its place. Error: no samples, which readers refuse; those of new_file.
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
  std::vector<std::byte> waiting_;  // not yet in the file
  std::string last_key_;
  std::uint64_t samples_ = 0;
};

/// Name of a shard in its folder: "00012.tar".
std::string shard_name(std::uint64_t number);

/// folder/sizes.json, from which open_clip learns how many samples there are: {"00000.tar": 10000, ..}.
void write_sizes(const std::string& folder, std::span<const std::pair<std::string, std::uint64_t>> sizes);

/// Samples to folder/00000.tar, 00001.tar and so on, each whole or not there at all, and sizes.json at the end. For one thread.
class shard_writer {
 public:
  /// The folder is made where it is missing. Error: a folder that cannot be made, 0 samples a shard.
  explicit shard_writer(std::string folder, std::uint64_t samples_per_shard = 10'000);
  /// Errors: those of tar_writer. The shard that was being written is then gone, those before it stay.
  void add(const sample& s);
  /// The last shard and sizes.json. Nothing may be added after it. Without it the last shard is not written.
  void finish();
  /// Name and number of samples of the shards that are whole.
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
