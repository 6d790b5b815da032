// JSON for the readers: the one place where nlohmann-json is included.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "error.hpp"
#include "function_ref.hpp"

namespace clipx::detail {

using json = nlohmann::json;

/// Whether an object may repeat a key, whose last value then counts. `owner`: the key that the object belongs to; null: the
/// outermost one.
using may_repeat = function_ref<bool(const std::string* owner, const std::string& key)>;
inline constexpr auto no_key_repeats = [](const std::string*, const std::string&) { return false; };

/// Parses a file of at most `depth` levels and two million values, whose objects repeat no key that `repeats` does not allow.
/// `keys` receives those of the outermost object in the order of the file.
json parse_json(std::string_view text, const std::string& name, int depth, std::vector<std::string>* keys = nullptr,
                may_repeat repeats = no_key_repeats);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "json_parse-inl.hpp"
#endif
