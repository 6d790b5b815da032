#pragma once
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <vector>

#include "../core/error.hpp"
#include "file-inl.hpp"
#include "lock.hpp"

namespace clipx {

namespace detail {
/// Opens the file and locks it: its descriptor, or -1 where another holds it and `wait` is false.
CLIPX_INLINE int open_locked(const std::string& path, bool wait) {
  for (;;) {
    descriptor file(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666));
    expect(file.fd >= 0, system_error_kind(errno), [&] { return cat(path, ": cannot be written: ", reason()); });
    int code = 0;
    while ((code = ::flock(file.fd, LOCK_EX | (wait ? 0 : LOCK_NB))) != 0 && errno == EINTR) continue;
    if (code != 0 && errno == EWOULDBLOCK) return -1;
    expect(code == 0 || !wait, error_kind::io, [&] { return cat(path, ": cannot be locked: ", reason()); });
    struct stat held {
    }, there{};  // who held it before may have removed it meanwhile
    const bool same = ::fstat(file.fd, &held) == 0 && ::stat(path.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
                      held.st_dev == there.st_dev;
    if (same) return std::exchange(file.fd, -1);
  }
}
}  // namespace detail

CLIPX_INLINE file_lock file_lock::try_take(const std::string& path) {
  file_lock out;
  out.fd_ = detail::open_locked(path, false);
  out.path_ = path;
  return out;
}
CLIPX_INLINE file_lock file_lock::wait_for(const std::string& path) {
  file_lock out;
  out.fd_ = detail::open_locked(path, true);
  out.path_ = path;
  return out;
}
CLIPX_INLINE file_lock::~file_lock() {
  if (fd_ < 0) return;
  if (removed_) ::unlink(path_.c_str());
  ::close(fd_);
}

CLIPX_INLINE folder_lock::folder_lock(const std::string& folder) : folder_(folder) {
  namespace fs = std::filesystem;
  expect(!folder.empty(), "expected the path of a folder, got an empty one");
  std::error_code problem, none;
  for (fs::path at = fs::path(folder).lexically_normal(); !at.empty() && !fs::exists(at, none); at = at.parent_path())
    if (at.has_filename()) ++made_;
  fs::create_directories(folder, problem);
  expect(fs::is_directory(folder, none), error_kind::io, [&] {
    return cat(folder, ": cannot be created as a folder: ", problem ? problem.message() : std::string("a file has this name"));
  });
  lock_ = file_lock::try_take((fs::path(folder) / ".clipx.lock").string());
  expect(static_cast<bool>(lock_), error_kind::io,
         [&] { return cat(folder, ": another process is writing to this folder; wait until it ends, or name another folder"); });
  lock_.remove_with();
}
CLIPX_INLINE folder_lock::~folder_lock() {
  if (folder_.empty()) return;
  lock_ = {};
  auto at = std::filesystem::path(folder_).lexically_normal();
  if (!at.has_filename()) at = at.parent_path();
  for (; made_ > 0; --made_, at = at.parent_path())
    if (::rmdir(at.c_str()) != 0) return;
}

}  // namespace clipx
