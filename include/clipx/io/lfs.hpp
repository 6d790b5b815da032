// Pointers of Git LFS: the few lines of text that stand in a checkout in place of a large file, until `git lfs pull` fetches it.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// Error: these bytes, the beginning of a file, are such a pointer. Every reader of files asks.
inline void expect_no_lfs_pointer(std::string_view bytes, const std::string& name, where at = where::here()) {
  expect(
      !bytes.starts_with("version https://git-lfs"), error_kind::damaged,
      [&] { return cat(name, ": a Git LFS pointer, not the file itself: git lfs pull"); }, at);
}
inline void expect_no_lfs_pointer(std::span<const std::byte> bytes, const std::string& name, where at = where::here()) {
  expect_no_lfs_pointer(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), name, at);
}

}  // namespace clipx::detail
