#pragma once
#include <cerrno>
#include <filesystem>
#include <sstream>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "../text/gunzip.hpp"
#include "prompts.hpp"

namespace clipx {

CLIPX_INLINE std::span<const std::string> default_templates() {
  static const std::vector<std::string> list{
      "a picture of a {}.",      "a photo showing a {}.", "a close view of a {}.", "a small picture of the {}.",
      "a {} on a plain ground.", "a drawing of a {}.",    "an icon of a {}.",      "this is a {}.",
  };
  return list;
}

namespace detail {
/// The next "{}" or "{c}" of a template: where it stands, and its length; 0 where there is none.
struct name_place {
  std::size_t at, size;
};
inline name_place next_place(const std::string& text, std::size_t from) {
  for (auto at = text.find('{', from); at != std::string::npos; at = text.find('{', at + 1)) {
    if (text.compare(at, 2, "{}") == 0) return {at, 2};
    if (text.compare(at, 3, "{c}") == 0) return {at, 3};
  }
  return {from, 0};
}

/// Errors: classes in templates that would be more texts, or longer ones in all, than a computer has to hold at once.
CLIPX_INLINE void expect_few(std::span<const std::string> classes, std::span<const std::string> templates) {
  constexpr std::size_t most = std::size_t{1} << 24, most_bytes = std::size_t{1} << 30;
  expect(classes.size() <= most / templates.size(), [&] {
    return cat("prompts: expected at most ", most, " texts, got ", classes.size(), " classes in ", templates.size(),
               " templates each");
  });
  std::size_t of_templates = 0, of_names = 0, names = 0;  // names: how often each class is named
  for (auto& name : classes) of_names += name.size();
  for (auto& t : templates) {
    of_templates += t.size();
    for (auto place = next_place(t, 0); place.size > 0; place = next_place(t, place.at + place.size)) ++names;
  }
  const double bytes = static_cast<double>(classes.size()) * static_cast<double>(of_templates) +
                       static_cast<double>(names) * static_cast<double>(of_names);
  expect(bytes <= static_cast<double>(most_bytes), [&] {
    return cat("prompts: expected texts of at most ", most_bytes, " bytes in all, got ", classes.size(), " classes of ", of_names,
               " bytes in ", templates.size(), " templates of ", of_templates, " bytes that name the class ", names, " times");
  });
}
}  // namespace detail

CLIPX_INLINE std::string fill_template(const std::string& text, const std::string& name) {
  std::string out;
  std::size_t from = 0;
  auto place = detail::next_place(text, 0);
  expect(place.size > 0,
         [&] { return cat("template \"", text.substr(0, 60), "\": expected \"{}\" or \"{c}\" where the class name goes"); });
  for (; place.size > 0; from = place.at + place.size, place = detail::next_place(text, from)) {
    out.append(text, from, place.at - from);
    out += name;
  }
  out.append(text, from);
  out.shrink_to_fit();  // there may be millions
  return out;
}

CLIPX_INLINE void expect_prompts(const prompt_set& prompts) {
  const auto classes = prompts.classes.size();
  expect(classes > 0, "prompts: expected at least one class, got none");
  expect(prompts.prompts.size() == classes, error_kind::mismatch,
         [&] { return cat("prompts: expected the texts of ", classes, " classes, got those of ", prompts.prompts.size()); });
  for (std::size_t c = 0; c < classes; ++c)
    expect(!prompts.prompts[c].empty(), [&] {
      return cat("prompts: class ", c, ", \"", prompts.classes[c].substr(0, 60), "\": expected at least one text, got none");
    });
}

CLIPX_INLINE prompt_set make_prompts(std::span<const std::string> classes, std::span<const std::string> templates) {
  expect(!classes.empty(), "prompts: expected at least one class, got none");
  expect(!templates.empty(), "prompts: expected at least one template, got none");
  detail::expect_few(classes, templates);
  prompt_set out;
  out.classes.reserve(classes.size());
  out.prompts.reserve(classes.size());
  for (auto& name : classes) {
    expect(!name.empty(), [&] { return cat("prompts: class ", out.classes.size(), " has an empty name"); });
    out.classes.push_back(name);
    auto& texts = out.prompts.emplace_back();
    texts.reserve(templates.size());
    for (auto& t : templates) texts.push_back(fill_template(t, name));
  }
  return out;
}

CLIPX_INLINE std::string trimmed(std::string line) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!line.empty() && space(line.back())) line.pop_back();
  std::size_t first = 0;
  while (first < line.size() && space(line[first])) ++first;
  return line.substr(first);
}

namespace detail {
/// Without a byte order mark.
inline std::string without_mark(std::string text) {
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

/// A whole text of at most 64 MiB; path "-": standard input.
CLIPX_INLINE std::string read_text(const std::string& path) {
  return without_mark(path == "-" ? read_file(stdin, "standard input") : read_file(path));
}

CLIPX_INLINE std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t from = 0; from < text.size();) {
    const auto end = std::min(text.find('\n', from), text.size());
    if (auto line = trimmed(text.substr(from, end - from)); !line.empty()) lines.push_back(std::move(line));
    from = end + 1;
  }
  return lines;
}
}  // namespace detail

namespace detail {
/// Whether a text is a JSON list and not lines of which the first begins with a bracket.
inline bool is_json_list(const std::string& text) {
  const auto all = trimmed(text);
  return all.starts_with('[') && all.ends_with(']');
}

/// The members of a JSON list of texts; `accepted` says what else the file may be.
CLIPX_INLINE std::vector<std::string> json_names(const std::string& text, const std::string& path, std::string_view accepted) {
  const auto list = parse_json(text, path, 64);
  std::vector<std::string> out;
  for (auto& one : list) {
    expect(one.is_string(), error_kind::damaged, [&] {
      return cat(path, ": expected ", accepted, "; member ", out.size(), " of its list is ",
                 one.is_array() ? "a list" : "not a string", ": ",
                 one.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 60));
    });
    out.push_back(trimmed(one.get<std::string>()));
  }
  return out;
}

inline constexpr std::string_view class_files =
    "one class per line, a JSON list of classes [\"class\", ...], or texts of each class's own: a JSON object {\"class\": "
    "[\"text\", "
    "...]} or lines \"class<TAB>text\"";
}  // namespace detail

CLIPX_INLINE std::vector<std::string> read_classes(const std::string& path) {
  const auto text = detail::read_text(path);
  constexpr std::string_view accepted = "one class per line, or a JSON list of classes";
  auto names = detail::is_json_list(text) ? detail::json_names(text, path, accepted) : detail::split_lines(text);
  expect(!names.empty(), error_kind::damaged, [&] { return cat(path, ": expected ", accepted, ", got none"); });
  const bool own = trimmed(text.substr(0, 64)).starts_with('{') || names[0].find('\t') != std::string::npos;
  expect(!own || detail::is_json_list(text), error_kind::unsupported,
         [&] { return cat(path, ": expected ", accepted, ", got texts of each class's own, which take no templates"); });
  return names;
}

CLIPX_INLINE std::vector<std::string> read_lines(const std::string& path) { return detail::split_lines(detail::read_text(path)); }

CLIPX_INLINE std::vector<std::string> read_texts(const std::string& path) {
  std::istringstream text(detail::read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
  }
  expect(!lines.empty(), error_kind::damaged, [&] { return cat(path, ": expected one text per line, got an empty file"); });
  return lines;
}

CLIPX_INLINE prompt_set read_prompts(const std::string& path, std::span<const std::string> templates) {
  const auto text = detail::read_text(path);
  prompt_set out;
  if (detail::is_json_list(text)) {
    const auto names = detail::json_names(text, path, detail::class_files);
    expect(!names.empty(), error_kind::damaged, [&] { return cat(path, ": expected at least one class, got an empty list"); });
    return make_prompts(names, templates);
  }
  if (trimmed(text.substr(0, 64)).starts_with('{')) {
    const auto object = detail::parse_json(text, path, 2, &out.classes);
    for (auto& name : out.classes) {
      const auto& texts = object[name];
      expect(texts.is_array() && std::all_of(texts.begin(), texts.end(), [](auto& t) { return t.is_string(); }),
             error_kind::damaged, [&] {
               return cat(path, ": class \"", name.substr(0, 60),
                          "\": expected a list of texts, as in {\"class\": [\"text\", ...]}");
             });
      out.prompts.push_back(texts.get<std::vector<std::string>>());
    }
  } else {
    const auto lines = detail::split_lines(text);
    const bool own = !lines.empty() && lines[0].find('\t') != std::string::npos;
    if (!own) {
      expect(!lines.empty(), error_kind::damaged, [&] { return cat(path, ": expected one class per line, got an empty file"); });
      return make_prompts(lines, templates);
    }
    for (auto& line : lines) {
      const auto tab = line.find('\t');
      expect(tab != std::string::npos, error_kind::damaged,
             [&] { return cat(path, ": expected \"class<TAB>text\", got \"", line.substr(0, 60), "\""); });
      const auto name = trimmed(line.substr(0, tab));
      if (out.classes.empty() || out.classes.back() != name) {
        out.classes.push_back(name);
        out.prompts.emplace_back();
      }
      out.prompts.back().push_back(trimmed(line.substr(tab + 1)));
    }
  }
  expect(!out.classes.empty(), error_kind::damaged, [&] { return cat(path, ": expected at least one class, got none"); });
  for (std::size_t c = 0; c < out.classes.size(); ++c)
    expect(!out.prompts[c].empty(), error_kind::damaged,
           [&] { return cat(path, ": class \"", out.classes[c].substr(0, 60), "\" has no texts"); });
  return out;
}

namespace detail {
inline std::vector<std::string> parse_templates(const std::string& text, const std::string& path) {
  constexpr std::string_view accepted = "one template per line, or a JSON list of templates";
  const auto begin = trimmed(text.substr(0, 256));
  const auto quote = begin.starts_with('{') ? begin.find_first_not_of(" \t\r\n", 1) : std::string::npos;
  expect(quote == std::string::npos || begin[quote] != '"', error_kind::damaged,
         [&] { return cat(path, ": expected ", accepted, ", got a JSON object"); });
  auto lines = is_json_list(text) ? json_names(text, path, accepted) : split_lines(text);
  expect(!lines.empty(), error_kind::damaged, [&] { return cat(path, ": expected ", accepted, ", got an empty file"); });
  for (auto& line : lines)
    expect(next_place(line, 0).size > 0, error_kind::damaged, [&] {
      return cat(path, ": expected {} or {c} in every template, where the label goes; got \"", line.substr(0, 60), "\"");
    });
  return lines;
}
}  // namespace detail

CLIPX_INLINE std::vector<std::string> read_templates(const std::string& path) {
  return detail::parse_templates(detail::read_text(path), path);
}

CLIPX_INLINE std::vector<std::string> model_templates(const checkpoint& model) {
  const char* file = "templates.txt";
  if (!model.files() || !model.files()->has(file)) return {};
  return detail::parse_templates(detail::without_mark(model.files()->text(file)), model.files()->path(file));
}

CLIPX_INLINE std::vector<std::string> choose_templates(const std::string& file, const checkpoint& model) {
  if (!file.empty()) return read_templates(file);
  if (auto own = model_templates(model); !own.empty()) return own;
  return {default_templates().begin(), default_templates().end()};
}

}  // namespace clipx
