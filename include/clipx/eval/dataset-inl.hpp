#pragma once
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <unordered_set>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "../data/folders-inl.hpp"
#include "../data/shards-inl.hpp"
#include "../zero_shot/prompts-inl.hpp"
#include "dataset.hpp"

namespace clipx {
namespace detail {

/// The texts that stand beside an image, in its shard or its folder.
struct beside_image {
  std::string name;  // of the image
  std::optional<std::string_view> cls, json, txt;
};

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string sample_name(const std::string& shard, const sample& s) { return shard + ":" + s.key; }

CLIPX_INLINE beside_image beside_of(const std::string& shard, const sample& s) {
  beside_image out{sample_name(shard, s), {}, {}, {}};
  const auto text = [&](const char* suffix, auto& to) {
    if (const auto bytes = s.find(suffix)) to = text_of(*bytes);
  };
  text("cls", out.cls);
  text("json", out.json);
  text("txt", out.txt);
  return out;
}

/// Null where there is none.
CLIPX_INLINE json facts_of(const beside_image& i) {
  if (!i.json) return {};
  auto facts = json::parse(*i.json, nullptr, false);
  expect(!facts.is_discarded(), error_kind::damaged, [&] { return cat(i.name, ": its .json is not JSON"); });
  return facts;
}

/// -1 where there is none.
CLIPX_INLINE dim label_of(const beside_image& i) {
  if (i.cls) {
    const auto text = trimmed(std::string(*i.cls));
    dim label = -1;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), label);
    expect(end.ec == std::errc{} && end.ptr == text.data() + text.size(), error_kind::damaged,
           [&] { return cat(i.name, ": expected a whole number in .cls, got \"", text.substr(0, 40), "\""); });
    return label;
  }
  const auto facts = facts_of(i);
  if (!facts.is_object()) return -1;
  const auto cls = facts.find("cls");
  return cls == facts.end() ? -1 : detail::whole_number(&*cls);
}

CLIPX_INLINE std::vector<std::string> captions_of(const beside_image& i) {
  std::vector<std::string> out;
  const auto facts = facts_of(i);
  if (facts.is_object() && facts.contains("captions") && facts["captions"].is_array()) {
    for (auto& c : facts["captions"])
      if (c.is_string()) out.push_back(c.get<std::string>());
  } else if (i.txt) {
    out = split_lines(std::string(*i.txt));
  }
  return out;
}

/// A sample without an image: a part of the data where it has a label or captions of its own.
CLIPX_INLINE void leave_out_sample(const sample& s, const beside_image& i, bool captioned, left_out& skipped) {
  constexpr const char* expected = "expected an image (jpg, png, jpeg or webp), got none";
  for (auto& [suffix, bytes] : s.members)
    if (has_ending("x." + suffix, image_endings()) || has_ending("x." + suffix, other_image_endings))
      return skipped.add(i.name, cat("expected an image (jpg, png, jpeg or webp), got .", suffix));
  try {
    const bool part = captioned ? !captions_of(i).empty() : label_of(i) >= 0;
    if (part) skipped.add(i.name, expected);
    else skipped.add_other_file(i.name, expected);
  } catch (const error& e) { skipped.add_unreadable(e.what()); }
}

CLIPX_INLINE bool has_nshards(const std::filesystem::path& folder) {
  std::error_code none;
  return std::filesystem::exists(folder / "nshards.txt", none);
}
inline std::filesystem::path without_slash(const std::string& path) {
  const auto out = std::filesystem::path(path).lexically_normal();
  return out.has_filename() ? out : out.parent_path();
}

}  // namespace detail

CLIPX_INLINE image_dataset::image_dataset(const std::string& path, std::span<const std::string> classes, bool captioned) {
  namespace fs = std::filesystem;
  std::error_code none;
  const bool folder = fs::is_directory(path, none);
  const auto test = (fs::path(path) / "test").string();
  const auto shards = !folder                                                   ? expand_braces(path)
                      : !detail::has_nshards(path) && detail::has_nshards(test) ? list_shards(test, skipped_)
                                                                                : list_shards(path, skipped_);
  if (!shards.empty()) read_shards(shards, captioned ? 0 : static_cast<dim>(classes.size()));
  else if (captioned) read_captioned(path);
  else read_classes(path, classes);
  expect(!labels_.empty(), skipped_.unreadable > 0 ? error_kind::damaged : error_kind::not_found, [&] {
    const bool by_class = shards.empty() && !captioned;
    return cat(path, ": expected images", by_class ? " in subfolders named like the classes" : "",
               captioned ? " with captions (\"captions\" in .json, or .txt)" : "", ", found none",
               skipped_.none() ? "" : "; " + skipped_.text());
  });
}

CLIPX_INLINE void image_dataset::read_shards(std::span<const std::string> paths, dim classes) {
  for (auto& path : paths) {
    auto& own = shards_.emplace_back();
    own.path = path;
    own.whole = detail::read_samples(
        path,
        [&](const sample& s) {
          own.taken.push_back(false);
          const auto beside = detail::beside_of(path, s);
          if (!s.image()) return detail::leave_out_sample(s, beside, classes == 0, skipped_);
          std::vector<std::string> captions;
          dim label = -1;
          try {
            if (classes == 0) captions = detail::captions_of(beside);
            else label = detail::label_of(beside);
          } catch (const error& e) { return skipped_.add_unreadable(e.what()); }
          if (classes == 0 && captions.empty()) return skipped_.add(beside.name, "expected captions, got none");
          if (classes > 0 && label == -1)
            return skipped_.add(beside.name, "expected a label (.cls member, or \"cls\" in .json), got none");
          expect(classes == 0 || (label >= 0 && label < classes), error_kind::mismatch, [&] {
            return cat(beside.name, ": expected a label from 0 to ", classes - 1, ", got ", label, "; there are ", classes,
                       " classes");
          });
          own.taken.back() = true;
          image_of_.insert(image_of_.end(), captions.size(), size());
          std::move(captions.begin(), captions.end(), std::back_inserter(captions_));
          labels_.push_back(label);
        },
        &skipped_, member_bytes::texts);
  }
}

CLIPX_INLINE void image_dataset::read_classes(const std::string& folder, std::span<const std::string> classes) {
  namespace fs = std::filesystem;
  std::error_code none;
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const auto sub = fs::path(folder) / classes[c];
    if (!fs::is_directory(sub, none)) continue;
    for (auto& path : list_images(sub.string(), skipped_)) {
      files_.push_back(std::move(path));
      labels_.push_back(static_cast<dim>(c));
    }
  }
  leave_out_of_no_class(folder, classes);
}

/// What stands in the folder besides the classes' own.
CLIPX_INLINE void image_dataset::leave_out_of_no_class(const std::string& folder, std::span<const std::string> classes) {
  namespace fs = std::filesystem;
  std::unordered_set<std::string> of_class;  // of one that is named by a path, the beginning
  for (auto& c : classes) of_class.insert(c.substr(0, c.find('/')));
  std::error_code problem, gone;
  std::vector<fs::path> there;
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) there.push_back(at->path());
  if (problem) return skipped_.add_unreadable(cat(folder, ": cannot be listed: ", problem.message()));
  std::sort(there.begin(), there.end());
  for (auto& path : there) {
    const auto name = path.filename().string();
    if (fs::is_directory(path, gone)) {
      if (of_class.contains(name)) continue;
      left_out inside;
      const auto images = list_images(path.string(), inside).size() + inside.count;
      if (images > 0) skipped_.add(path.string(), cat(images, " images in a folder whose name is not a class"), images);
      else skipped_.add_other_file(path.string(), "a folder without images whose name is not a class");
    } else if (detail::has_ending(path, detail::image_endings()) || detail::has_ending(path, detail::other_image_endings)) {
      skipped_.add(path.string(), "an image in no class's folder");
    } else if (!name.starts_with('.') && name != "classnames.txt" && name != "classes.txt" && name != "templates.txt") {
      skipped_.add_other_file(path.string(), "not the folder of a class");
    }
  }
}

CLIPX_INLINE void image_dataset::read_captioned(const std::string& folder) {
  namespace fs = std::filesystem;
  for (auto& path : list_images(folder, skipped_)) {
    std::vector<std::string> captions;
    try {
      std::vector<mapped_file> open;  // what the texts are in
      detail::beside_image beside{path, {}, {}, {}};
      for (auto& [ending, to] : {std::pair{".json", &beside.json}, std::pair{".txt", &beside.txt}}) {
        const auto file = fs::path(path).replace_extension(ending).string();
        std::error_code none;
        if (!fs::exists(file, none)) continue;
        open.push_back(mapped_file::open(file));
        *to = detail::text_of(open.back().bytes());
        if (to->value().starts_with("\xef\xbb\xbf")) to->value().remove_prefix(3);
      }
      captions = detail::captions_of(beside);
    } catch (const error& e) {
      skipped_.add_unreadable(e.what());
      continue;
    }
    if (captions.empty()) {
      skipped_.add(path, "expected captions (.txt or .json beside it), got none");
      continue;
    }
    image_of_.insert(image_of_.end(), captions.size(), size());
    std::move(captions.begin(), captions.end(), std::back_inserter(captions_));
    files_.push_back(std::move(path));
    labels_.push_back(-1);
  }
}

CLIPX_INLINE image_dataset image_dataset::labeled(const std::string& path, std::span<const std::string> classes) {
  expect(!classes.empty(), [&] { return cat(path, ": expected the names of its classes, got none"); });
  return image_dataset(path, classes, false);
}

CLIPX_INLINE image_dataset image_dataset::captioned(const std::string& path) { return image_dataset(path, {}, true); }

CLIPX_INLINE void image_dataset::for_each_image(function_ref<void(image_source)> next) const {
  for (auto& path : files_) next({path, {}});
  for (auto& own : shards_) {
    std::size_t count = 0;
    const auto expect_same = [&](bool same) {
      expect(same, error_kind::mismatch,
             [&] { return cat(own.path, ": expected ", size(), " images in all, as when it was opened; it has changed"); });
    };
    left_out again;
    const bool whole = detail::read_samples(
        own.path,
        [&](const sample& s) {
          expect_same(count < own.taken.size());
          if (!own.taken[count++]) return;
          const auto image = s.image();
          expect_same(image.has_value());
          next({detail::sample_name(own.path, s), std::vector<std::byte>(image->begin(), image->end())});
        },
        &again, member_bytes::all);
    expect_same(count == own.taken.size() && whole == own.whole);
  }
}

CLIPX_INLINE std::string find_classnames(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code none;
  auto folder = detail::without_slash(path);
  if (!fs::is_directory(folder, none)) folder = folder.parent_path();
  auto file = folder / "classnames.txt";
  if (fs::exists(file, none)) return file.string();
  if (!detail::has_nshards(folder)) return "";
  file = folder / ".." / "classnames.txt";
  return fs::exists(file, none) ? file.lexically_normal().string() : "";
}

}  // namespace clipx
