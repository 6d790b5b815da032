#pragma once
#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>

#include "../data/captions-inl.hpp"
#include "../text/unicode.hpp"
#include "captions_source.hpp"
#include "stage.hpp"

namespace clipx {
namespace detail {

inline constexpr std::size_t named_problems = 8;

inline std::string_view mapped_text(const mapped_file& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}
inline constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

CLIPX_INLINE void list_text_parts(const std::string& path, std::uint64_t part_bytes, std::vector<caption_part>& out) {
  const auto facts = file_facts(path);
  const auto file = mapped_file::open(path);
  const auto text = mapped_text(file);
  std::uint64_t lines = 0;
  for (std::uint64_t begin = text.starts_with(byte_order_mark) ? 3 : 0; begin < text.size();) {
    std::uint64_t end = std::min<std::uint64_t>(text.size(), begin + std::max<std::uint64_t>(part_bytes, 1));
    if (end < text.size()) end = std::min<std::uint64_t>(text.find('\n', end - 1), text.size() - 1) + 1;
    out.push_back({path, true, begin, end, lines, cat(facts, " ", begin, "-", end)});
    const auto part = text.substr(begin, end - begin);
    lines += static_cast<std::uint64_t>(std::count(part.begin(), part.end(), '\n'));
    file.release(part.data(), part.size());
    begin = end;
  }
}

CLIPX_INLINE void list_parts_of(const std::string& path, std::uint64_t part_bytes, std::vector<caption_part>& out) {
  namespace fs = std::filesystem;
  std::error_code problem;
  if (fs::is_directory(path, problem)) {
    std::vector<std::string> tars;
    for (fs::directory_iterator at(path, problem), end; !problem && at != end; at.increment(problem))
      if (is_shard_name(at->path().string())) tars.push_back(at->path().string());
    expect(!problem, system_error_kind(problem.value()), [&] { return cat(path, ": cannot be listed: ", problem.message()); });
    expect(!tars.empty(), error_kind::not_found, [&] { return cat(path, ": expected shards (.tar) in this folder, found none"); });
    std::sort(tars.begin(), tars.end());
    for (auto& tar : tars) list_parts_of(tar, part_bytes, out);
  } else if (is_shard_name(path)) {
    const auto facts = file_facts(path);
    out.push_back({path, false, 0, fs::file_size(path, problem), 0, facts});
  } else {
    list_text_parts(path, part_bytes, out);
  }
}

/// Collects captions, and leaves out those that cannot be read.
class caption_filter {
 public:
  caption_filter(const std::string& path, caption_report& report) : path_(path), report_(report) {}

  void begin(std::string_view key) {
    key_ = key;
    kept_.clear();
    ++report_.samples;
  }
  void add(std::string_view text) {
    if (text.size() > longest_line) return refuse(cat("expected a caption of at most ", longest_line, " bytes, got ", text.size()));
    if (caption_of(text).empty()) {
      ++report_.empty;
    } else if (!valid_utf8(text)) {
      refuse("expected a caption in UTF-8, got other bytes");
    } else {
      kept_.push_back(text);
      ++report_.captions;
    }
  }
  void refuse(const std::string& why) {
    ++report_.unreadable;
    report_.add_problem(cat(path_, ": ", key_, ": ", why));
  }
  std::span<const std::string_view> kept() const { return kept_; }

 private:
  const std::string& path_;
  caption_report& report_;
  std::string_view key_;
  std::vector<std::string_view> kept_;
};

CLIPX_INLINE void captioned_lines(const caption_part& part, std::string_view text, const mapped_file& file, caption_filter& filter,
                                  function_ref<void(const captioned_sample&)> f) {
  constexpr std::size_t held = 4 << 20;  // bytes already read that may stay in memory
  const char* released = text.data();
  char number[24];
  for (std::uint64_t line = part.first_line; !text.empty(); ++line) {
    const auto end = text.find('\n');
    const std::string_view key(number, static_cast<std::size_t>(std::to_chars(number, number + sizeof number, line).ptr - number));
    filter.begin(key);
    filter.add(text.substr(0, end));
    f({key, filter.kept(), nullptr});
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (static_cast<std::size_t>(text.data() - released) < held) continue;
    file.release(released, static_cast<std::size_t>(text.data() - released));
    released = text.data();
  }
}

CLIPX_INLINE void captioned_members(const sample& s, const std::string& field, caption_filter& filter, caption_report& report,
                                    std::vector<std::string>& texts) {
  const auto bytes = s.find(field.empty() ? "txt" : "json");
  if (!bytes) {
    ++report.uncaptioned;
    return;
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  if (field.empty()) return filter.add(text);
  texts.clear();
  try {
    json_texts(text, "its .json", field, [&](const std::string& one) { texts.push_back(one); });
  } catch (const error& e) {
    filter.refuse(e.what());
    return;
  }
  for (auto& one : texts) filter.add(one);
}

}  // namespace detail

CLIPX_INLINE void caption_report::add_problem(const std::string& why) {
  if (first.size() < detail::named_problems) first.push_back(why);
}

CLIPX_INLINE void caption_report::add(const caption_report& next) {
  samples += next.samples;
  captions += next.captions;
  empty += next.empty;
  uncaptioned += next.uncaptioned;
  unreadable += next.unreadable;
  broken_shards += next.broken_shards;
  for (auto& why : next.first) add_problem(why);
}

CLIPX_INLINE std::vector<caption_part> list_caption_parts(std::span<const std::string> data, std::uint64_t part_bytes) {
  expect(!data.empty(), "captions: expected shards, folders of shards or text files, got none");
  std::vector<caption_part> out;
  for (auto& entry : data)
    for (auto& path : expand_braces(entry)) detail::list_parts_of(path, part_bytes, out);
  return out;
}

CLIPX_INLINE void for_each_captioned(const caption_part& part, const std::string& field, caption_report& report,
                                     function_ref<void(const captioned_sample&)> f, member_bytes wanted) {
  detail::caption_filter filter(part.path, report);
  if (part.lines) {
    const auto file = mapped_file::open(part.path);
    const auto text = detail::mapped_text(file);
    expect(part.end <= text.size(), error_kind::mismatch,
           [&] { return cat(part.path, ": expected at least ", part.end, " bytes, as when it was listed, got ", text.size()); });
    detail::captioned_lines(part, text.substr(part.begin, part.end - part.begin), file, filter, f);
    return file.expect_whole();
  }
  std::vector<std::string> texts;
  std::optional<error> broken;
  bool calling = false;  // an error thrown by f is not an error of the shard
  try {
    for_each_sample(
        part.path,
        [&](const sample& s) {
          filter.begin(s.key);
          detail::captioned_members(s, field, filter, report, texts);
          calling = true;
          f({s.key, filter.kept(), &s});
          calling = false;
        },
        wanted);
  } catch (const error& e) {
    if (calling) throw;
    broken = e;
  }
  if (!broken) return;
  ++report.broken_shards;
  report.add_problem(cat(broken->what(), "; the rest of the shard is left out"));
}

}  // namespace clipx
