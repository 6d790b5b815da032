// JSON for the readers: the one place where nlohmann-json is included.
#pragma once
#include <cstdint>
#include <limits>
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

/// Takes the contents of large arrays and objects as they are read, instead of the tree, where such a part stays empty.
class json_sink {
 public:
  virtual ~json_sink() = default;
  /// Whether it takes the array or object that belongs to `key` of the object that belongs to `parent`, below `level` others.
  virtual bool takes(int level, std::string_view parent, std::string_view key) = 0;
  virtual void opens(bool object) = 0;  // an array or object inside a part that it takes, or the part itself
  virtual void closes() = 0;            // the innermost one that is open
  virtual void key(std::string& s) = 0;
  virtual void text(std::string& s) = 0;
  virtual void number(double v, bool integer) = 0;
  virtual void other() = 0;  // true, false or null
};

/// Parses a file of at most `depth` levels and two million values, whose objects repeat no key that `repeats` does not allow.
/// `keys` receives those of the outermost object in the order of the file. What `sink` takes is not counted.
json parse_json(std::string_view text, const std::string& name, int depth, std::vector<std::string>* keys = nullptr,
                may_repeat repeats = no_key_repeats, json_sink* sink = nullptr);

/// The whole number in v, if it is one from 0 to `most`; -1 for any other value; `missing` for null.
inline std::int64_t whole_number(const json* v, std::int64_t most = std::numeric_limits<std::int64_t>::max(),
                                 std::int64_t missing = -1) {
  if (!v) return missing;
  return v->is_number_unsigned() && v->get<std::uint64_t>() <= static_cast<std::uint64_t>(most) ? v->get<std::int64_t>() : -1;
}

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "json_parse-inl.hpp"
#endif
