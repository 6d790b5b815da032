#pragma once
#include <algorithm>
#include <filesystem>

#include "../core/error.hpp"
#include "file_set.hpp"
#include "lfs.hpp"

namespace clipx {

CLIPX_INLINE file_set file_set::folder(std::string path) {
  file_set out;
  out.folder_ = std::move(path);
  return out;
}

CLIPX_INLINE file_set file_set::memory(std::vector<named_bytes> files) {
  file_set out;
  out.in_memory_ = true;
  out.files_ = std::move(files);
  std::sort(out.files_.begin(), out.files_.end(), [](auto& a, auto& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(out.files_.begin(), out.files_.end(), [](auto& a, auto& b) { return a.name == b.name; });
  expect(twice == out.files_.end(), [&] { return cat("files in memory: two have the name \"", twice->name, "\""); });
  return out;
}

CLIPX_INLINE const named_bytes* file_set::find(std::string_view name) const {
  const auto at = std::lower_bound(files_.begin(), files_.end(), name, [](auto& f, auto& n) { return f.name < n; });
  return at != files_.end() && at->name == name ? &*at : nullptr;
}

CLIPX_INLINE bool file_set::has(std::string_view name) const {
  std::error_code none;
  return in_memory_ ? find(name) != nullptr : std::filesystem::exists(path(name), none);
}

CLIPX_INLINE std::vector<std::string> file_set::names() const {
  std::vector<std::string> out;
  for (auto& f : files_) out.push_back(f.name);
  if (in_memory_) return out;
  std::error_code problem;
  for (std::filesystem::directory_iterator at(folder_, problem), end; !problem && at != end; at.increment(problem))
    if (at->is_regular_file(problem)) out.push_back(at->path().filename().string());
  expect(!problem, error_kind::io, [&] { return cat(folder_, ": cannot be listed: ", problem.message()); });
  std::sort(out.begin(), out.end());
  return out;
}

CLIPX_INLINE std::string file_set::path(std::string_view name) const {
  if (in_memory_ || folder_.empty()) return std::string(name);
  return cat(folder_, folder_.ends_with('/') ? "" : "/", name);
}

CLIPX_INLINE file_content file_set::open(std::string_view name) const {
  if (!in_memory_) {
    auto file = mapped_file::open(path(name));
    const auto bytes = file.bytes();
    return {bytes, std::move(file), {}};
  }
  const auto* f = find(name);
  expect(f != nullptr, error_kind::not_found, [&] { return cat(name, ": no such file in memory"); });
  detail::expect_no_lfs_pointer(f->bytes, f->name);
  return {{const_cast<std::byte*>(f->bytes.data()), f->bytes.size()}, {}, f->owner};
}

CLIPX_INLINE std::string file_set::text(std::string_view name, std::size_t limit) const {
  const auto content = open(name);
  expect(content.bytes.size() <= limit, error_kind::unsupported,
         [&] { return cat(path(name), ": expected at most ", limit, " bytes, got ", content.bytes.size()); });
  return {reinterpret_cast<const char*>(content.bytes.data()), content.bytes.size()};
}

}  // namespace clipx
