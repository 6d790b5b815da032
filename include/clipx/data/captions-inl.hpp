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
#include "../io/lfs.hpp"
#include "captions.hpp"
#include "folders-inl.hpp"
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
           [&] { return cat(name, ": \"", field, "\": expected a string or a list of strings"); });
    f(one.get_ref<const std::string&>());
  };
  expect(value.is_object() && found != value.end(), error_kind::not_found,
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
    if (first) expect_no_lfs_pointer(text, path);
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

namespace detail {

/// for_each_caption() with a place for what is left out, or, where that is null, with errors.
class caption_reader {
 public:
  caption_reader(const std::string& file, const caption_config& c, left_out* skipped, function_ref<void(std::string_view)> f)
      : file_(file), config_(c), skipped_(skipped), f_(f) {}

  void read() {
    const auto ending = lower_ascii(std::filesystem::path(file_).extension().string());
    try {
      if (ending == ".csv" || ending == ".tsv") read_table(ending == ".csv" ? ',' : '\t');
      else if (is_shard_name(file_))
        read_samples(
            file_, [&](const sample& s) { read_sample(s); }, skipped_, member_bytes::texts);
      else for_each_line(file_, [&](std::string_view line) { give(line); });
    } catch (const error& e) {
      if (calling_ || !skipped_ || e.kind() == error_kind::mismatch) throw;  // mismatch: a table without the column
      skipped_->add_unreadable(cat(e.what(), given_ ? "; the rest of the file is left out" : ""));
    }
  }

 private:
  void give(std::string_view text) {
    const auto caption = caption_of(text);
    if (caption.empty()) return;
    calling_ = true;  // what f throws is no fault of the file
    f_(caption);
    calling_ = false;
    given_ = true;
  }
  void read_table(char separator) {
    const table rows(
        file_,
        {config_.separator ? config_.separator : separator, config_.column, config_.column, "caption_config", "column", "column"},
        skipped_);
    std::vector<std::string> fields;
    std::string same, caption;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows.row(i, fields, same, caption);
      give(caption);
    }
  }
  void read_sample(const sample& s) {
    const char* suffix = config_.field.empty() ? "txt" : "json";
    const auto name = cat(file_, ": ", s.key);
    const auto bytes = s.find(suffix);
    if (!bytes) {
      if (skipped_) skipped_->add(name, cat("expected a caption (", suffix, "), got none"));
      return;
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    if (config_.field.empty()) return give(text);
    captions_.clear();
    try {
      json_captions(text, name, config_.field, captions_);
    } catch (const error& e) {
      if (!skipped_) throw;
      return skipped_->add_problem(e.what(), e.kind() != error_kind::not_found);
    }
    for (auto& caption : captions_) give(caption);
  }

  const std::string& file_;
  const caption_config& config_;
  left_out* skipped_;
  function_ref<void(std::string_view)> f_;
  bool calling_ = false, given_ = false;
  std::vector<std::string> captions_;
};

}  // namespace detail

CLIPX_INLINE void for_each_caption(const std::string& file, const caption_config& c, function_ref<void(std::string_view)> f) {
  detail::caption_reader(file, c, nullptr, f).read();
}
CLIPX_INLINE void for_each_caption(const std::string& file, const caption_config& c, left_out& skipped,
                                   function_ref<void(std::string_view)> f) {
  detail::caption_reader(file, c, &skipped, f).read();
}

}  // namespace clipx
