// Git LFS pointers: what a clone without Git LFS has in place of a large file.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// Error: the bytes are a Git LFS pointer.
inline void expect_no_lfs_pointer(std::span<const std::byte> bytes, const std::string& name) {
  constexpr std::string_view first = "version https://git-lfs.github.com/spec/";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  expect(!text.starts_with(first), error_kind::damaged,
         [&] { return cat(name, ": a Git LFS pointer, not the file itself; \"git lfs pull\" fetches the file"); });
}

}  // namespace clipx::detail
