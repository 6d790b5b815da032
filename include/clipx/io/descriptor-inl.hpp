// POSIX file descriptors, for the definitions that call the system.
#pragma once
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

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

}  // namespace clipx::detail
