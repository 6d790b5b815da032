// Locks between processes: a file that one of them holds, and a folder that one of them writes to.
#pragma once
#include <string>
#include <utility>

#include "../core/error.hpp"

namespace clipx {

/// A file that is locked (flock) while this object lives. The kernel releases the lock when the process ends, even by a signal. Two
/// objects of one process exclude each other too.
class file_lock {
 public:
  file_lock() = default;
  file_lock(file_lock&& o) noexcept : fd_(std::exchange(o.fd_, -1)), path_(std::move(o.path_)), removed_(o.removed_) {}
  file_lock& operator=(file_lock&& o) noexcept {
    std::swap(fd_, o.fd_);
    std::swap(path_, o.path_);
    std::swap(removed_, o.removed_);
    return *this;
  }
  /// Releases the lock; after remove_with() the file is removed first.
  ~file_lock();

  /// Locks a file, which is created if it does not exist; an empty object if another object holds the lock. On a file system
  /// without locks it succeeds but excludes nobody. Errors: a file that cannot be opened.
  static file_lock try_take(const std::string& path);
  /// As try_take(), but waits until the lock is free. Errors: also a file that cannot be locked.
  static file_lock wait_for(const std::string& path);
  /// The file will be removed when the lock is released.
  file_lock& remove_with() {
    removed_ = true;
    return *this;
  }
  explicit operator bool() const { return fd_ >= 0; }  // whether it holds the lock

 private:
  int fd_ = -1;
  std::string path_;
  bool removed_ = false;
};

/// A folder that one process at a time writes to. The file .clipx.lock in it is locked, and exists, while this object lives.
class folder_lock {
 public:
  folder_lock() = default;
  /// Creates the folder if it does not exist. Errors: it cannot be created or written to; another process, or another object of
  /// this process, holds the lock.
  explicit folder_lock(const std::string& folder);
  folder_lock(folder_lock&& o) noexcept : folder_(std::exchange(o.folder_, {})), made_(o.made_), lock_(std::move(o.lock_)) {}
  folder_lock& operator=(folder_lock&&) = delete;
  /// Removes the folders that this object created if nothing was written to them.
  ~folder_lock();

 private:
  std::string folder_;
  int made_ = 0;  // number of folders created: this one and its parents
  file_lock lock_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "lock-inl.hpp"
#endif
