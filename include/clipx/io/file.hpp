// Files: read into memory or through a private mapping; written completely or not at all.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/function_ref.hpp"

namespace clipx {

namespace detail {
struct guarded_mapping;
}

/// A file's bytes: read into memory if it is smaller than 4 MiB, else mapped. The mapping is private: writing through a view does
/// not change the file. A mapped file that becomes shorter while it is read ends the process by SIGBUS, unless guard_mapped_files()
/// was called.
class mapped_file {
 public:
  /// Errors: the path does not exist, is a directory, cannot be read, holds a pointer of Git LFS in place of the file.
  static mapped_file open(const std::string& path);
  /// Bytes kept on disk instead of in memory, in an unnamed file next to `path`, which disappears however the process ends.
  /// path() is `path`. Errors: a folder that cannot be written to, a full disk.
  static mapped_file spilled(const std::string& path, std::span<const std::byte> bytes);
  mapped_file() = default;
  mapped_file(mapped_file&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)),
        size_(std::exchange(o.size_, 0)),
        path_(std::move(o.path_)),
        guard_(std::exchange(o.guard_, nullptr)) {}
  mapped_file& operator=(mapped_file&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(path_, o.path_);
    std::swap(guard_, o.guard_);
    return *this;
  }
  ~mapped_file();
  std::span<std::byte> bytes() const { return {data_, size_}; }  // all of the file
  const std::string& path() const { return path_; }              // as it was opened
  /// Tells the system that the pages inside this range will not be needed soon: those of a mapping are dropped from memory and read
  /// from the file again on access. Only for ranges that were never written.
  void release(const void* begin, std::size_t bytes) const;
  /// Error: the file has become shorter since it was opened, or a page of it could not be read, so that bytes() may hold zeros in
  /// place of what it held. To be called after reading what a result is made of.
  void expect_whole() const;

 private:
  mapped_file(int fd, std::size_t size, const std::string& path, bool mapped);
  void read_all(int fd);

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
  detail::guarded_mapping* guard_ = nullptr;  // of a mapping, as opposed to memory
};

/// From now on a page of a mapped file that cannot be read is an error instead of the end of the process: it reads as zeros,
/// mapped_file::expect_whole() throws, and so does new_file::commit() of any file, until one of them has said so. Installs a
/// handler of SIGBUS, which passes on what does not concern a mapped_file to the handler before it. Meant for programs; may be
/// called again, and from any thread.
void guard_mapped_files();
/// Error: the first mapped file that could not be read whole and whose expect_whole() has not said so; for the end of a program.
void expect_mapped_files_whole();

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
  /// Overwrites bytes that were written before, `at` bytes from the beginning. Not for devices and pipes.
  void replace(std::size_t at, std::span<const std::byte> bytes);
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
