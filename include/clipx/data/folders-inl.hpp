#pragma once
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "../core/error.hpp"
#include "../image/decode.hpp"
#include "../io/file.hpp"
#include "folders.hpp"
#include "shards-inl.hpp"

namespace clipx {
namespace detail {

inline constexpr std::string_view other_image_endings = ".jp2 .j2k .pam .ico .svg .psd .tga .dng .exr .cr2 .nef .arw";

/// Of the files that are taken for images, separated by spaces: those of image_formats(), whether this build decodes them or not.
inline const std::string& image_endings() {
  static const std::string all = [] {
    std::string out;
    for (auto& format : image_formats()) out += cat(out.empty() ? "" : " ", format.endings);
    return out;
  }();
  return all;
}

/// Whether the path's ending is one of a list that is separated by spaces.
inline bool has_ending(const std::filesystem::path& path, std::string_view endings) {
  const auto own = lower_ascii(path.extension().string());
  for (std::size_t at = 0; own.size() > 1 && (at = endings.find(own, at)) != std::string_view::npos; ++at)
    if (const auto end = at + own.size(); end == endings.size() || endings[end] == ' ') return true;
  return false;
}

/// A folder and those below it, sorted into what is taken and what is not.
class image_lister {
 public:
  explicit image_lister(const std::string& folder) {
    for (waiting_.push_back(folder); !waiting_.empty();) {
      const auto next = std::move(waiting_.back());
      waiting_.pop_back();
      list(next);
    }
    std::sort(images_.begin(), images_.end());
    std::sort(unreadable_.begin(), unreadable_.end());
    std::sort(not_taken_.begin(), not_taken_.end());
    std::sort(others_.begin(), others_.end());
  }
  std::vector<std::string>& images() { return images_; }
  void tell(left_out& skipped) const {
    for (auto& message : unreadable_) skipped.add_unreadable(message);
    for (auto& [path, why] : not_taken_) skipped.add(path, why);
    if (others_.empty()) return;
    std::set<std::string> stems;
    for (auto& path : images_) stems.insert(stem(path));
    for (auto& path : others_) {
      const auto ending = lower_ascii(path.extension().string());
      if ((ending == ".txt" || ending == ".json") && stems.contains(stem(path))) continue;
      skipped.add_other_file(path.string(), cat("not an image (", image_endings(), ")"));
    }
  }

 private:
  static std::string stem(std::filesystem::path path) { return path.replace_extension().string(); }

  void list(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::error_code problem;
    fs::directory_iterator at(folder, problem), end;
    for (; !problem && at != end; at.increment(problem)) take(*at);
    if (problem) unreadable_.push_back(cat(folder.string(), ": cannot be listed: ", problem.message()));
  }
  void take(const std::filesystem::directory_entry& entry) {
    std::error_code gone;
    const auto& path = entry.path();
    if (entry.is_directory(gone)) {
      if (entry.is_symlink(gone)) not_taken_.emplace_back(path.string(), "a link to a folder, which is not followed");
      else waiting_.push_back(path);
    } else if (has_ending(path, image_endings())) {
      if (entry.is_regular_file(gone)) images_.push_back(path.string());
      else
        unreadable_.push_back(cat(path.string(), ": expected an image, got ",
                                  entry.is_symlink(gone) ? "a link to a file that is not there" : "not a regular file"));
    } else if (has_ending(path, other_image_endings)) {
      not_taken_.emplace_back(path.string(), cat("images of this format are not read (supported: ", image_endings(), ")"));
    } else if (!path.filename().string().starts_with('.')) {
      others_.push_back(path);
    }
  }

  std::vector<std::filesystem::path> waiting_, others_;  // folders; files of another kind
  std::vector<std::string> images_, unreadable_;
  std::vector<std::pair<std::string, std::string>> not_taken_;
};

CLIPX_INLINE void expect_folder(const std::string& folder) {
  std::error_code problem;
  const bool there = std::filesystem::is_directory(folder, problem);
  expect(there, system_error_kind(problem.value()), [&] { return cat(folder, ": expected a folder of images, found none"); });
}

/// The number in nshards.txt; 0 where there is no such file.
CLIPX_INLINE std::uint64_t nshards_of(const std::filesystem::path& folder) {
  const auto path = (folder / "nshards.txt").string();
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return 0;
  const auto file = mapped_file::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::uint64_t n = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), n);
  const auto rest = text.substr(static_cast<std::size_t>(end.ptr - text.data()));
  expect(end.ec == std::errc{} && n > 0 && n <= max_paths && rest.find_first_not_of(" \t\r\n") == std::string_view::npos,
         error_kind::damaged,
         [&] { return cat(path, ": expected a number of shards from 1 to ", max_paths, ", got \"", text.substr(0, 40), "\""); });
  return n;
}

/// Whether images or shards are somewhere in a folder, or some of it cannot be listed.
CLIPX_INLINE bool holds_data(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code problem;
  for (fs::recursive_directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
    const auto& path = at->path();
    if (is_shard_name(path.string()) || has_ending(path, image_endings()) || has_ending(path, other_image_endings)) return true;
  }
  return static_cast<bool>(problem);
}

[[noreturn]] inline void fail_without_images(const std::string& folder, const left_out& skipped) {
  std::string why = cat(folder, ": expected images (", image_endings(), "), got none");
  if (!skipped.none()) why += "; " + skipped.text();
  fail(skipped.unreadable > 0 ? error_kind::io : error_kind::not_found, why);
}

}  // namespace detail

CLIPX_INLINE std::vector<std::string> list_images(const std::string& folder, left_out& skipped) {
  detail::expect_folder(folder);
  detail::image_lister lister(folder);
  lister.tell(skipped);
  return std::move(lister.images());
}

CLIPX_INLINE std::vector<std::string> list_images(const std::string& folder) {
  left_out skipped;
  auto out = list_images(folder, skipped);
  if (out.empty()) detail::fail_without_images(folder, skipped);
  expect(skipped.unreadable == 0, error_kind::io, [&] { return skipped.first[0]; });
  return out;
}

CLIPX_INLINE bool is_shard_name(const std::string& path) {
  const auto name = detail::lower_ascii(path);
  return name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz");
}

CLIPX_INLINE std::vector<std::string> list_shards(const std::string& folder, left_out& skipped) {
  namespace fs = std::filesystem;
  std::vector<std::string> out;
  std::vector<std::pair<std::string, const char*>> beside;
  std::error_code problem;
  if (const auto n = detail::nshards_of(folder)) {
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto plain = fs::path(folder) / cat(i, ".tar"), packed = fs::path(folder) / cat(i, ".tar.gz");
      out.push_back((!fs::exists(plain, problem) && fs::exists(packed, problem) ? packed : plain).string());
    }
    return out;
  }
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
    std::error_code gone;
    const auto path = at->path().string();
    if (at->is_directory(gone)) {
      if (detail::holds_data(path)) beside.emplace_back(path, "a folder");
    } else if (is_shard_name(path)) out.push_back(path);
    else if (detail::has_ending(path, detail::image_endings()) || detail::has_ending(path, detail::other_image_endings))
      beside.emplace_back(path, "an image");
  }
  expect(!problem, system_error_kind(problem.value()), [&] { return cat(folder, ": cannot be listed: ", problem.message()); });
  std::sort(out.begin(), out.end());
  std::sort(beside.begin(), beside.end());
  if (!out.empty())
    for (auto& [path, what] : beside) skipped.add(path, cat(what, " beside shards, which alone are read"));
  return out;
}

}  // namespace clipx
