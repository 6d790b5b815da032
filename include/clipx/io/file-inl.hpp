#pragma once
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "../core/error.hpp"
#include "descriptor-inl.hpp"
#include "file.hpp"
#include "guard-inl.hpp"
#include "lfs.hpp"

namespace clipx {

namespace detail {
CLIPX_INLINE void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    expect(n > 0, error_kind::io,
           [&] { return cat(path, ": cannot be written: ", n < 0 ? reason() : std::string("no progress")); });
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

/// Removes a temporary file whose writer is gone, which no process has locked. False where there is none.
CLIPX_INLINE bool remove_unlocked(const std::string& path) {
  descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat facts {
  }, there{};
  if (file.fd < 0 || ::fstat(file.fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return false;
  if (::flock(file.fd, LOCK_EX | LOCK_NB) != 0 || ::lstat(path.c_str(), &there) != 0) return false;
  return facts.st_ino == there.st_ino && facts.st_dev == there.st_dev && ::unlink(path.c_str()) == 0;
}
}  // namespace detail

CLIPX_INLINE mapped_file mapped_file::open(const std::string& path) {
  constexpr std::size_t smallest_mapped = std::size_t(4) << 20;
  const detail::regular_file file(path);
  auto out = mapped_file(file.fd, file.size, path, file.size >= smallest_mapped);
  detail::expect_no_lfs_pointer(out.bytes(), path);
  return out;
}

CLIPX_INLINE mapped_file mapped_file::spilled(const std::string& path, std::span<const std::byte> bytes) {
  std::string name = path + ".XXXXXX";
  detail::descriptor file(::mkostemp(name.data(), O_CLOEXEC));
  expect(file.fd >= 0, system_error_kind(errno), [&] { return cat(path, ": cannot be written: ", detail::reason()); });
  ::unlink(name.c_str());
  detail::write_all(file.fd, bytes, path);
  return mapped_file(file.fd, bytes.size(), path, true);
}

CLIPX_INLINE mapped_file::mapped_file(int fd, std::size_t size, const std::string& path, bool mapped) : size_(size), path_(path) {
  if (size == 0) return;
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, mapped ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS, mapped ? fd : -1, 0);
  expect(p != MAP_FAILED, error_kind::io, [&] { return cat(path, ": cannot be mapped: ", detail::reason()); });
  data_ = static_cast<std::byte*>(p);
  if (mapped) guard_ = detail::guard_mapping(data_, size, fd, path);
  else read_all(fd);
}

CLIPX_INLINE void mapped_file::read_all(int fd) {
  try {
    detail::read_exactly(fd, 0, bytes(), path_);
  } catch (...) {
    ::munmap(std::exchange(data_, nullptr), size_);
    throw;
  }
}

CLIPX_INLINE mapped_file::~mapped_file() {
  if (guard_) detail::release_mapping(*guard_);
  if (data_) ::munmap(data_, size_);
}

CLIPX_INLINE void mapped_file::expect_whole() const {
  if (guard_) detail::expect_whole(*guard_);
}

CLIPX_INLINE void mapped_file::release(const void* begin, std::size_t bytes) const {
  if (!guard_) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
  const auto to = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / page * page;
  if (to > from) ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

CLIPX_INLINE new_file::new_file(const std::string& path) : given_(path) {
  struct stat facts {};
  const bool there = ::stat(path.c_str(), &facts) == 0;
  in_place_ = there && !S_ISREG(facts.st_mode);
  char* const resolved = there && !in_place_ ? ::realpath(path.c_str(), nullptr) : nullptr;
  path_ = resolved ? resolved : path;
  std::free(resolved);
  if (!in_place_) {
    open_temporary();
    return;
  }
  fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  expect(fd_ >= 0, system_error_kind(errno), [&] { return cat(given_, ": cannot be written: ", detail::reason()); });
}

CLIPX_INLINE void new_file::open_temporary() {
  constexpr int most = 1000;
  int number = 0;
  for (; fd_ < 0; ++number) {
    expect(number < most, error_kind::io,
           [&] { return cat(given_, ": cannot be written: ", path_, ".tmp.0 and others are in use"); });
    temporary_ = cat(path_, ".tmp.", number);
    detail::remove_unlocked(temporary_);
    detail::descriptor file(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (file.fd < 0 && errno == EEXIST) continue;
    expect(file.fd >= 0, system_error_kind(errno), [&] { return cat(given_, ": cannot be written: ", detail::reason()); });
    struct stat facts {};  // between open and flock another process may have taken it for a leftover
    if (::flock(file.fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
    if (::fstat(file.fd, &facts) == 0 && facts.st_nlink > 0) fd_ = std::exchange(file.fd, -1);
  }
  while (number < most && detail::remove_unlocked(cat(path_, ".tmp.", number))) ++number;
}

CLIPX_INLINE new_file::~new_file() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!in_place_) ::unlink(temporary_.c_str());
}

CLIPX_INLINE void new_file::write(std::span<const std::byte> bytes) { detail::write_all(fd_, bytes, given_); }

CLIPX_INLINE void new_file::replace(std::size_t at, std::span<const std::byte> bytes) {
  const bool moved = ::lseek(fd_, static_cast<off_t>(at), SEEK_SET) >= 0;
  expect(moved, error_kind::io, [&] { return cat(given_, ": cannot be written to at a position: ", detail::reason()); });
  detail::write_all(fd_, bytes, given_);
  expect(::lseek(fd_, 0, SEEK_END) >= 0, error_kind::io, [&] { return cat(given_, ": ", detail::reason()); });
}

CLIPX_INLINE void new_file::commit() {
  expect_mapped_files_whole();
  if (!in_place_) {
    expect(::fsync(fd_) == 0, error_kind::io, [&] { return cat(given_, ": cannot be written: ", detail::reason()); });
    expect(::rename(temporary_.c_str(), path_.c_str()) == 0, error_kind::io,
           [&] { return cat(given_, ": cannot be replaced: ", detail::reason()); });
  }
  ::close(std::exchange(fd_, -1));
  if (in_place_) return;
  const auto slash = path_.rfind('/');
  detail::descriptor folder(::open(slash == std::string::npos ? "."
                                   : slash == 0               ? "/"
                                                              : path_.substr(0, slash).c_str(),
                                   O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.fd >= 0) ::fsync(folder.fd);
}

CLIPX_INLINE void write_file(const std::string& path, function_ref<void(file_writer)> body) {
  new_file file(path);
  body([&](std::span<const std::byte> bytes) { file.write(bytes); });
  file.commit();
}

CLIPX_INLINE void write_file(const std::string& path, std::string_view text) {
  write_file(path, [&](file_writer put) { put(std::as_bytes(std::span(text.data(), text.size()))); });
}

CLIPX_INLINE void expect_writable(const std::string& path) {
  std::error_code none;
  expect(!std::filesystem::is_directory(path, none), error_kind::io,
         [&] { return cat(path, ": expected a file to write, got a folder"); });
  const auto folder = std::filesystem::path(path).parent_path();
  const bool open = ::access(folder.empty() ? "." : folder.c_str(), W_OK) == 0;
  expect(open, system_error_kind(errno), [&] { return cat(path, ": its folder is missing or cannot be written to"); });
}

}  // namespace clipx
