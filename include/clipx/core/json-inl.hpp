// JSON for the readers: the one place where nlohmann-json is included and its parser instantiated (2 s of compile time).
#pragma once
#include <algorithm>
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

/// A file of at most `depth` levels and two million values, whose objects repeat no key that `repeats` does not allow. `keys`
/// receives those of the outermost object in the order of the file.
CLIPX_INLINE json parse_json(std::string_view text, const std::string& name, int depth, std::vector<std::string>* keys = nullptr,
                             may_repeat repeats = no_key_repeats) {
  const auto zero = text.find('\0');  // nlohmann-json takes it for the end
  expect(zero == std::string_view::npos, error_kind::damaged,
         [&] { return cat(name, ": not valid JSON: byte ", zero, " is zero"); });
  std::size_t values = 0;
  std::vector<std::vector<std::string>> seen;  // keys of the objects that are open
  const auto check = [&](int level, json::parse_event_t event, json& value) {
    expect(level <= depth, error_kind::unsupported, [&] { return cat(name, ": JSON nested deeper than ", depth, " levels"); });
    expect(++values <= 2'000'000, error_kind::unsupported, [&] { return cat(name, ": JSON of more than 2,000,000 values"); });
    if (event == json::parse_event_t::object_start) seen.emplace_back();
    if (event == json::parse_event_t::key) seen.back().push_back(value.get<std::string>());
    if (event == json::parse_event_t::object_end) {
      auto& names = seen.back();
      if (keys && seen.size() == 1 && level == 0) *keys = names;
      if (names.size() != value.size()) {
        const auto* owner = seen.size() > 1 && !seen[seen.size() - 2].empty() ? &seen[seen.size() - 2].back() : nullptr;
        std::sort(names.begin(), names.end());
        for (auto at = names.begin(); (at = std::adjacent_find(at, names.end())) != names.end(); ++at)
          expect(repeats(owner, *at), error_kind::damaged, [&] { return cat(name, ": key \"", *at, "\" appears twice"); });
      }
      seen.pop_back();
    }
    return true;
  };
  try {
    return json::parse(text.data(), text.data() + text.size(), check);
  } catch (const json::exception& e) { fail(error_kind::damaged, cat(name, ": not valid JSON: ", e.what())); }
}

}  // namespace clipx::detail
