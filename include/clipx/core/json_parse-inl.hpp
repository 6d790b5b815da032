// Definition of parse_json of json-inl.hpp: the one place where nlohmann-json's parser is instantiated (2 s of compile time).
#pragma once
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "error.hpp"
#include "json-inl.hpp"

namespace clipx::detail {

CLIPX_INLINE json parse_json(std::string_view text, const std::string& name, int depth, std::vector<std::string>* keys) {
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
        std::sort(names.begin(), names.end());
        fail(error_kind::damaged, cat(name, ": key \"", *std::adjacent_find(names.begin(), names.end()), "\" appears twice"));
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
