// What the tasks of clipx eval share.
#pragma once
#include <filesystem>

#include "common.hpp"

namespace cli {

/// The name of a data set: the folder that it is, or that its shards are in.
inline std::string dataset_name(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path data = fs::path(path).lexically_normal();
  if (!data.has_filename()) data = data.parent_path();  // a folder with a slash at its end
  const auto name = fs::is_directory(data) ? data.filename().string() : data.parent_path().filename().string();
  return name.empty() ? path : name;
}

void add_eval_prompts(command& eval, action& run);

}  // namespace cli
