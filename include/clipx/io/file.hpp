// Files: read through a private mapping; written completely or not at all.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/function_ref.hpp"

namespace clipx {

/// A file mapped for reading. The mapping is private: writing through a view does not change the file.
class mapped_file {
 public:
  /// Errors: the path does not exist, is a directory, cannot be read, holds a pointer of Git LFS in place of the file.
  static mapped_file open(const std::string& path);
  /// Bytes kept on disk instead of in memory, in an unnamed file next to `path`, which disappears however the process ends.
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
  std::span<std::byte> bytes() const { return {data_, size_}; }  // all of the file
  const std::string& path() const { return path_; }              // as it was opened
  /// Tells the system that the pages inside this range will not be needed soon: they are dropped from memory and read from the
  /// file again on access. Only for ranges that were never written.
  void release(const void* begin, std::size_t bytes) const;

 private:
  mapped_file(int fd, std::size_t size, const std::string& path);

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

/// Appends bytes to the file being written.
using file_writer = function_ref<void(std::span<const std::byte>)>;

/// A file that appears only when it is complete: it is written under a temporary name in the same folder (path.tmp.0, or the
/// next free number); commit() syncs and renames it. Without commit() the destructor removes it, and a previous file remains. The
/// temporary file is always a new one, and is locked while it is written; those that killed processes left for the same path are
/// removed. A symbolic link's target is replaced, not the link; a path that is a device or a pipe is written in place. Not
/// thread-safe.
class new_file {
 public:
  /// Errors: no folder to put the file in, or one that cannot be written to.
  explicit new_file(const std::string& path);
  ~new_file();
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;
  /// Errors, also of commit(): a full disk, a pipe without a reader.
  void write(std::span<const std::byte> bytes);
  /// Puts the file in place; nothing can be written afterwards.
  void commit();

 private:
  void open_temporary();
  std::string given_, path_, temporary_;
  bool in_place_ = false;
  int fd_ = -1;
};

/// Writes a whole file as a new_file: if body() throws, nothing is left behind.
void write_file(const std::string& path, function_ref<void(file_writer)> body);
/// The same for a text.
void write_file(const std::string& path, std::string_view text);

/// Throws if write_file could not create the file (a folder of that name, no parent folder, or one that cannot be written to),
/// so that the error comes before the work whose result is to be written.
void expect_writable(const std::string& path);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "file-inl.hpp"
#endif
