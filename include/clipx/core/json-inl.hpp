// JSON for the readers: the one place where nlohmann-json is included.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "error.hpp"

namespace clipx::detail {

using json = nlohmann::json;

/// A file of at most `depth` levels and two million values, whose objects repeat no key. `keys` receives those of the outermost
/// object in the order of the file.
json parse_json(std::string_view text, const std::string& name, int depth, std::vector<std::string>* keys = nullptr);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "json_parse-inl.hpp"
#endif
