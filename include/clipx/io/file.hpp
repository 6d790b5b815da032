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
  /// Errors: the path does not exist, is a directory, cannot be read, holds a pointer of Git LFS in place of the file.
  static mapped_file open(const std::string& path);
  /// Bytes on disk instead of in memory, in a file beside `path` that has no name, so that it goes whatever ends the process.
  /// path() is `path`. Errors: a folder that cannot be written to, a full disk.
  static mapped_file spilled(const std::string& path, std::span<const std::byte> bytes);
  mapped_file() = default;
  mapped_file(mapped_file&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)), path_(std::move(o.path_)) {}
  mapped_file& operator=(mapped_file&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(path_, o.path_);
    return *this;
  }
  ~mapped_file();
  std::span<std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  /// Says that the pages inside this range will not be needed soon: they leave memory and come back from the file when read.
  /// Only for ranges that were never written.
  void release(const void* begin, std::size_t bytes) const;

 private:
  mapped_file(int fd, std::size_t size, const std::string& path);

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

/// Appends bytes to the file being written.
using file_writer = function_ref<void(std::span<const std::byte>)>;

/// A file that takes its place only when it is whole: written under a temporary name in the same folder, by commit() synced and
/// renamed. Without commit() the destructor removes it, and what was there before stays. A link's target is replaced, not the link;
/// a path that is a device or a pipe is written in place. For one thread.
class new_file {
 public:
  /// Errors: no folder to put it in, or one that cannot be written to.
  explicit new_file(const std::string& path);
  ~new_file();
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;
  /// Errors, also of commit(): a full disk, a pipe that nobody reads.
  void write(std::span<const std::byte> bytes);
  void commit();

 private:
  std::string given_, path_, temporary_;
  bool in_place_ = false;
  int fd_ = -1;
};

/// The whole file by a new_file: where body() throws, nothing is left.
void write_file(const std::string& path, function_ref<void(file_writer)> body);
void write_file(const std::string& path, std::string_view text);

/// Errors where write_file could not put a file there (a folder of that name, no folder to put it in, or one that cannot be written
/// to), to be said before the work whose result it is.
void expect_writable(const std::string& path);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "file-inl.hpp"
#endif
