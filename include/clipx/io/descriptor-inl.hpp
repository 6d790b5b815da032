// POSIX file descriptors, for the definitions that call the system.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "../core/error.hpp"

namespace clipx::detail {

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
/// What errno says.
inline std::string reason() { return std::strerror(errno); }

/// The path. Error: it is empty.
inline const std::string& not_empty(const std::string& path) {
  expect(!path.empty(), "expected the path of a file, got an empty one");
  return path;
}
/// A regular file, opened for reading.
struct regular_file : descriptor {
  explicit regular_file(const std::string& path)
      : descriptor(::open(not_empty(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {  // opening a pipe must not block
    expect(fd >= 0, system_error_kind(errno), [&] { return cat(path, ": cannot be opened: ", reason()); });
    struct stat facts {};
    expect(::fstat(fd, &facts) == 0, error_kind::io, [&] { return cat(path, ": ", reason()); });
    expect(!S_ISDIR(facts.st_mode), error_kind::io, [&] { return cat(path, ": expected a file, got a directory"); });
    expect(S_ISREG(facts.st_mode), error_kind::io, [&] { return cat(path, ": expected a regular file"); });
    size = static_cast<std::size_t>(facts.st_size);
    device = facts.st_dev;
    number = facts.st_ino;
  }
  std::size_t size;
  dev_t device;  // these two: which file it is
  ino_t number;
};

/// Fills `out` with the file's bytes from `at`. Error: there are fewer.
inline void read_exactly(int fd, std::size_t at, std::span<std::byte> out, const std::string& path) {
  for (std::size_t done = 0; done < out.size();) {
    const auto n = ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    expect(n >= 0, error_kind::io, [&] { return cat(path, ": cannot be read: ", reason()); });
    expect(n > 0, error_kind::damaged, [&] {
      return cat(path, ": expected ", out.size(), " bytes at byte ", at, ", got ", done,
                 ": the file has become shorter since it was opened");
    });
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace clipx::detail
