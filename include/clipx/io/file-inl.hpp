#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../core/error.hpp"
#include "file.hpp"

namespace clipx {

namespace detail {
/// A descriptor that closes itself.
struct descriptor {
  int fd = -1;
  explicit descriptor(int f) : fd(f) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
};
CLIPX_INLINE std::string reason() { return std::strerror(errno); }
}  // namespace detail

CLIPX_INLINE mapped_file mapped_file::open(const std::string& path) {
  detail::descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe must not wait
  expect(file.fd >= 0, [&] { return cat(path, ": cannot be opened: ", detail::reason()); });
  struct stat facts {};
  expect(::fstat(file.fd, &facts) == 0, [&] { return cat(path, ": ", detail::reason()); });
  expect(!S_ISDIR(facts.st_mode), [&] { return cat(path, ": expected a file, got a directory"); });
  expect(S_ISREG(facts.st_mode), [&] { return cat(path, ": expected a regular file"); });
  mapped_file out;
  out.path_ = path, out.size_ = static_cast<std::size_t>(facts.st_size);
  if (out.size_ == 0) return out;
  void* p = ::mmap(nullptr, out.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.fd, 0);
  expect(p != MAP_FAILED, [&] { return cat(path, ": cannot be mapped: ", detail::reason()); });
  out.data_ = static_cast<std::byte*>(p);
  return out;
}

CLIPX_INLINE mapped_file::~mapped_file() {
  if (data_) ::munmap(data_, size_);
}

CLIPX_INLINE void mapped_file::release(const void* begin, std::size_t bytes) const {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
  const auto to = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / page * page;
  if (to > from) ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

CLIPX_INLINE void write_file(const std::string& given, function_ref<void(file_writer)> body) {
  // A link's target is replaced, not the link; what is no regular file (a device, a pipe) is written in place.
  struct stat facts {};
  const bool there = ::stat(given.c_str(), &facts) == 0, in_place = there && !S_ISREG(facts.st_mode);
  char* const resolved = there && !in_place ? ::realpath(given.c_str(), nullptr) : nullptr;
  const std::string path = resolved ? resolved : given, temporary = in_place ? path : cat(path, ".tmp.", ::getpid());
  std::free(resolved);
  try {
    detail::descriptor file(::open(temporary.c_str(), O_WRONLY | (in_place ? 0 : O_CREAT | O_TRUNC) | O_CLOEXEC, 0666));
    expect(file.fd >= 0, [&] { return cat(given, ": cannot be written: ", detail::reason()); });
    body([&](std::span<const std::byte> bytes) {
      while (!bytes.empty()) {
        const auto n = ::write(file.fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        expect(n > 0, [&] { return cat(given, ": cannot be written: ", n < 0 ? detail::reason() : std::string("no progress")); });
        bytes = bytes.subspan(static_cast<std::size_t>(n));
      }
    });
    if (in_place) return;
    expect(::fsync(file.fd) == 0, [&] { return cat(given, ": cannot be written: ", detail::reason()); });
    expect(::rename(temporary.c_str(), path.c_str()) == 0, [&] { return cat(given, ": cannot be replaced: ", detail::reason()); });
  } catch (...) {
    if (!in_place) ::unlink(temporary.c_str());
    throw;
  }
  const auto slash = path.rfind('/');
  detail::descriptor folder(::open(slash == std::string::npos ? "."
                                   : slash == 0               ? "/"
                                                              : path.substr(0, slash).c_str(),
                                   O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.fd >= 0) ::fsync(folder.fd);
}

CLIPX_INLINE void write_file(const std::string& path, std::string_view text) {
  write_file(path, [&](file_writer put) { put(std::as_bytes(std::span(text.data(), text.size()))); });
}

}  // namespace clipx
