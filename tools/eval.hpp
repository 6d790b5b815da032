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

/// --classes as given, else the classnames.txt of the data. Bad usage: there is none.
inline std::string classes_of(const std::string& given, const std::string& data) {
  if (!given.empty()) return given;
  auto found = clipx::find_classnames(data);
  if (found.empty()) throw required_error("--classes, or a classnames.txt with the data,");
  return found;
}

/// 1 where a measure is one over a part of the data.
inline int measured(const clipx::left_out& skipped) {
  const int code = tell_left_out(skipped);
  return skipped.count > 0 ? 1 : code;
}

void add_eval_prompts(command& eval, action& run);

}  // namespace cli
