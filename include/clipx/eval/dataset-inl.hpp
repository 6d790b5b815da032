#pragma once
#include <charconv>
#include <filesystem>
#include <system_error>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "../data/shards.hpp"
#include "../zero_shot/accuracy.hpp"
#include "../zero_shot/prompts.hpp"
#include "dataset.hpp"

namespace clipx {
namespace detail {

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string sample_name(const std::string& shard, const sample& s) { return shard + ":" + s.key; }

/// The .json member; null if there is none.
CLIPX_INLINE json sample_facts(const sample& s, const std::string& shard) {
  const auto bytes = s.find("json");
  if (!bytes) return {};
  auto facts = json::parse(text_of(*bytes), nullptr, false);
  expect(!facts.is_discarded(), error_kind::damaged,
         [&] { return cat(shard, ": sample ", s.key, ": its .json member is not JSON"); });
  return facts;
}

/// The label of a sample, or -1.
CLIPX_INLINE dim sample_label(const sample& s, const json& facts, const std::string& shard) {
  if (auto cls = s.find("cls")) {
    const auto text = trimmed(std::string(text_of(*cls)));
    dim label = -1;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), label);
    expect(end.ec == std::errc{} && end.ptr == text.data() + text.size(), error_kind::damaged,
           [&] { return cat(shard, ": sample ", s.key, ": expected a whole number in .cls, got \"", text.substr(0, 40), "\""); });
    return label;
  }
  if (!facts.is_object()) return -1;
  const auto cls = facts.find("cls");
  return cls != facts.end() && cls->is_number_integer() ? cls->get<dim>() : -1;
}

CLIPX_INLINE std::vector<std::string> sample_captions(const sample& s, const json& facts) {
  std::vector<std::string> out;
  if (facts.is_object() && facts.contains("captions") && facts["captions"].is_array()) {
    for (auto& c : facts["captions"])
      if (c.is_string()) out.push_back(c.get<std::string>());
  } else if (auto text = s.find("txt")) {
    out.push_back(trimmed(std::string(text_of(*text))));
  }
  return out;
}

}  // namespace detail

CLIPX_INLINE image_dataset::image_dataset(const std::string& path, std::span<const std::string> classes, bool captioned) {
  std::error_code none;
  in_shards_ = !std::filesystem::is_directory(path, none);
  if (in_shards_) read_shards(path, captioned);
  else read_folder(path, classes, captioned);
  expect(!labels_.empty(), error_kind::not_found, [&] {
    const bool by_class = !in_shards_ && !classes.empty();
    return cat(path, ": expected images", by_class ? " in subfolders named like the classes" : "", ", found none");
  });
}

CLIPX_INLINE void image_dataset::read_shards(const std::string& pattern, bool captioned) {
  files_ = expand_braces(pattern);
  for (auto& shard : files_)
    for_each_sample(shard, [&](const sample& s) {
      if (!s.image()) return;
      const auto facts = detail::sample_facts(s, shard);
      const dim label = detail::sample_label(s, facts, shard);
      if (captioned) {
        for (auto& caption : detail::sample_captions(s, facts)) {
          captions_.push_back(std::move(caption));
          image_of_.push_back(size());
        }
      } else {
        expect(label >= 0, error_kind::damaged, [&] {
          return cat(detail::sample_name(shard, s), ": expected a label (.cls member, or \"cls\" in .json), got none");
        });
      }
      labels_.push_back(label);
    });
}

CLIPX_INLINE void image_dataset::read_folder(const std::string& folder, std::span<const std::string> classes, bool captioned) {
  namespace fs = std::filesystem;
  std::error_code none;
  const auto add = [&](std::string path, dim label) {
    if (const auto text = fs::path(path).replace_extension(".txt"); captioned && fs::exists(text, none))
      for (auto& caption : read_lines(text.string())) {
        captions_.push_back(std::move(caption));
        image_of_.push_back(size());
      }
    files_.push_back(std::move(path));
    labels_.push_back(label);
  };
  if (classes.empty())
    for (auto& path : list_images(folder)) add(std::move(path), -1);
  for (std::size_t c = 0; c < classes.size(); ++c)
    if (const auto sub = fs::path(folder) / classes[c]; fs::is_directory(sub, none))
      for (auto& path : list_images(sub.string())) add(std::move(path), static_cast<dim>(c));
}

CLIPX_INLINE image_dataset image_dataset::labelled(const std::string& path, std::span<const std::string> classes) {
  expect(!classes.empty(), [&] { return cat(path, ": expected the names of its classes, got none"); });
  image_dataset out(path, classes, false);
  for (dim i = 0; i < out.size(); ++i) check_label(i, out.labels_[static_cast<std::size_t>(i)], static_cast<dim>(classes.size()));
  return out;
}

CLIPX_INLINE image_dataset image_dataset::captioned(const std::string& path) {
  image_dataset out(path, {}, true);
  expect(!out.captions_.empty(), error_kind::not_found,
         [&] { return cat(path, ": expected captions (\"captions\" in .json, or .txt), found none"); });
  return out;
}

CLIPX_INLINE void image_dataset::for_each_image(function_ref<void(image_source)> next) const {
  if (!in_shards_) {
    for (auto& path : files_) next({path, {}});
    return;
  }
  dim count = 0;
  const auto counted = [&](const std::string& shard, bool ok) {
    expect(ok, error_kind::mismatch,
           [&] { return cat(shard, ": expected ", size(), " images in all, as when it was opened; it has changed"); });
  };
  for (auto& shard : files_)
    for_each_sample(shard, [&](const sample& s) {
      const auto image = s.image();
      if (!image) return;
      counted(shard, count++ < size());
      next({detail::sample_name(shard, s), std::vector<std::byte>(image->begin(), image->end())});
    });
  counted(files_.back(), count == size());
}

}  // namespace clipx
