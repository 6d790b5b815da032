// Definitions of model_files.hpp.
#pragma once
#include <algorithm>
#include <array>
#include <filesystem>

#include "../core/error.hpp"
#include "../io/file_set.hpp"
#include "model_files.hpp"

namespace clipx {

CLIPX_INLINE bool detail::is_tokenizer_file(std::string_view name) {
  constexpr std::array<std::string_view, 8> names{
      "tokenizer.json",          "vocab.json",        "merges.txt", "tokenizer_config.json",
      "special_tokens_map.json", "added_tokens.json", "ngrams.tsv", "spiece.model"};
  return std::find(names.begin(), names.end(), name) != names.end() || name.ends_with(".txt.gz");
}

CLIPX_INLINE bool detail::is_model_file(std::string_view name) {
  constexpr std::array<std::string_view, 16> names{"open_clip_config.json",
                                                   "config.json",
                                                   "preprocessor_config.json",
                                                   "processor_config.json",
                                                   "open_clip_model.safetensors",
                                                   "open_clip_model.safetensors.index.json",
                                                   "open_clip_pytorch_model.safetensors",
                                                   "model.safetensors",
                                                   "model.safetensors.index.json",
                                                   "open_clip_pytorch_model.bin",
                                                   "open_clip_pytorch_model.pth",
                                                   "pytorch_model.bin",
                                                   "pytorch_model.bin.index.json",
                                                   "pytorch_model.pth",
                                                   "model.pth",
                                                   "templates.txt"};
  return std::find(names.begin(), names.end(), name) != names.end() || is_tokenizer_file(name);
}

CLIPX_INLINE void detail::expect_no_others(const std::string& folder, std::span<const std::string> names,
                                           bool (*is_part)(std::string_view), std::string_view what) {
  std::error_code none;
  if (!std::filesystem::is_directory(folder, none)) return;
  std::string others;
  for (auto& name : file_set::folder(folder).names())
    if (is_part(name) && std::find(names.begin(), names.end(), name) == names.end()) others += (others.empty() ? "" : ", ") + name;
  expect(others.empty(), [&] {
    return cat(folder, ": holds ", others, ", which would stay and be read with what is written now: ", what,
               " names an empty folder, or these files are moved away");
  });
}

CLIPX_INLINE void detail::expect_no_inputs(const std::string& folder, std::span<const std::string> names,
                                           std::span<const std::string> inputs, std::string_view what) {
  std::error_code none;
  for (auto& name : names) {
    const auto path = std::filesystem::path(folder) / name;
    for (auto& input : inputs)
      expect(!std::filesystem::equivalent(path, input, none),
             [&] { return cat(path.string(), ": is ", input, ", which is read; ", what, " names another folder"); });
  }
}

}  // namespace clipx
