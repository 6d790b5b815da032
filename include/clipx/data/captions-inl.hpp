#pragma once
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "../core/json-inl.hpp"
#include "captions.hpp"
#include "shards-inl.hpp"
#include "table-inl.hpp"

namespace clipx {
namespace detail {

/// A caption without the whitespace at both ends.
inline std::string_view caption_of(std::string_view s) {
  constexpr std::string_view space = " \t\r\n\v\f";
  const auto from = s.find_first_not_of(space);
  return from == std::string_view::npos ? std::string_view() : s.substr(from, s.find_last_not_of(space) - from + 1);
}

/// Calls f with each text in a field of a JSON text, unchanged.
template <class F>
void json_texts(std::string_view text, const std::string& name, const std::string& field, F&& f) {
  const auto value = parse_json(text, name, 64);
  const auto found = value.is_object() ? value.find(field) : value.end();
  const auto add = [&](const json& one) {
    expect(one.is_string(), error_kind::damaged,
           [&] { return cat(name, ": \"", field, "\": expected a text or a list of texts"); });
    f(one.get_ref<const std::string&>());
  };
  expect(value.is_object() && found != value.end(), error_kind::damaged,
         [&] { return cat(name, ": expected a field \"", field, "\" in its JSON"); });
  if (found->is_array()) std::for_each(found->begin(), found->end(), add);
  else add(*found);
}

/// The same texts without whitespace at their ends; empty ones are left out.
inline void json_captions(std::string_view text, const std::string& name, const std::string& field, std::vector<std::string>& out) {
  json_texts(text, name, field, [&](const std::string& one) {
    if (const auto caption = caption_of(one); !caption.empty()) out.emplace_back(caption);
  });
}

inline constexpr std::size_t longest_line = std::size_t(1) << 20;

/// Calls f with the lines of a file, which may be a pipe. Only one line and one block are in memory.
CLIPX_INLINE void for_each_line(const std::string& path, function_ref<void(std::string_view)> f) {
  const auto close = [](std::FILE* file) { return file == stdin ? 0 : std::fclose(file); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(path == "-" ? stdin : std::fopen(path.c_str(), "rb"), close);
  expect(file != nullptr, system_error_kind(errno), [&] { return cat(path, ": cannot be opened: ", std::strerror(errno)); });
  std::vector<char> block(1 << 16);
  std::string rest;  // of a line that began in an earlier block
  std::size_t line = 1;
  const auto hold = [&](std::string_view part) {
    rest += part;
    expect(rest.size() <= longest_line, error_kind::unsupported,
           [&] { return cat(path, ": line ", line, ": expected a caption of at most ", longest_line, " bytes, got more"); });
  };
  for (bool first = true;; first = false) {
    const std::size_t n = std::fread(block.data(), 1, block.size(), file.get());
    expect(std::ferror(file.get()) == 0, error_kind::io, [&] { return cat(path, ": cannot be read: ", std::strerror(errno)); });
    if (n == 0) break;
    std::string_view text(block.data(), n);
    if (first && text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    for (std::size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1), ++line) {
      if (rest.empty()) f(text.substr(0, end));
      else {
        hold(text.substr(0, end));
        f(rest);
        rest.clear();
      }
    }
    hold(text);
  }
  if (!rest.empty()) f(rest);
}

}  // namespace detail

CLIPX_INLINE void for_each_caption(const std::string& file, const caption_config& c, function_ref<void(std::string_view)> f) {
  const auto ending = detail::lower_ascii(std::filesystem::path(file).extension().string());
  const auto give = [&](std::string_view text) {
    if (const auto caption = detail::caption_of(text); !caption.empty()) f(caption);
  };
  if (ending == ".csv" || ending == ".tsv") {
    const detail::table rows(file, c.separator ? c.separator : ending == ".csv" ? ',' : '\t', c.column, c.column);
    std::vector<std::string> fields;
    std::string same, caption;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows.row(i, fields, same, caption);
      give(caption);
    }
  } else if (ending == ".tar") {
    std::vector<std::string> captions;
    for_each_sample(file, [&](const sample& s) {
      const auto bytes = s.find(c.field.empty() ? "txt" : "json");
      if (!bytes) return;
      const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
      if (c.field.empty()) return give(text);
      captions.clear();
      detail::json_captions(text, cat(file, ": ", s.key), c.field, captions);
      for (auto& caption : captions) give(caption);
    });
  } else {
    detail::for_each_line(file, give);
  }
}

}  // namespace clipx
