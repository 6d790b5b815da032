// Files: read through a private mapping, written whole or not at all.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/function_ref.hpp"

namespace clipx {

/// A file mapped for reading. The mapping is private: views into it may be written, the file stays as it is.
class mapped_file {
 public:
  /// Errors: the path does not exist, is a directory, cannot be read.
  static mapped_file open(const std::string& path);
  mapped_file() = default;
  mapped_file(mapped_file&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)), path_(std::move(o.path_)) {}
  mapped_file& operator=(mapped_file&& o) noexcept {
    std::swap(data_, o.data_), std::swap(size_, o.size_), std::swap(path_, o.path_);
    return *this;
  }
  ~mapped_file();
  std::span<std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  /// Says that the pages inside this range will not be needed soon: they leave memory and come back from the file when read.
  /// Only for ranges that were never written.
  void release(const void* begin, std::size_t bytes) const;

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

/// Appends bytes to the file being written.
using file_writer = function_ref<void(std::span<const std::byte>)>;

/// Writes under a temporary name in the same folder, syncs, renames: the old file stays until the new one is whole. Errors (a full
/// disk, a folder that is not there) remove the temporary file. A path that is a device or a pipe is written in place.
void write_file(const std::string& path, function_ref<void(file_writer)> body);
void write_file(const std::string& path, std::string_view text);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "file-inl.hpp"
#endif
