#pragma once
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include "../core/error.hpp"
#include "../io/lfs.hpp"
#include "shards.hpp"
#include "tar-inl.hpp"

namespace clipx {

namespace detail {

inline constexpr std::size_t max_paths = 1'000'000;
inline constexpr std::size_t max_path_bytes = std::size_t(256) << 20;
inline constexpr std::size_t max_sample_members = 10'000;

CLIPX_INLINE std::string lower_ascii(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

// ---- patterns

/// "0000..0012": the numbers, padded; nothing if the text is not a range.
CLIPX_INLINE std::optional<std::vector<std::string>> expand_range(std::string_view text, const std::string& pattern) {
  const auto dots = text.find("..");
  if (dots == std::string_view::npos) return {};
  const std::string_view left = text.substr(0, dots), right = text.substr(dots + 2);
  const auto digits = [](std::string_view s) { return !s.empty() && s.find_first_not_of("0123456789") == std::string_view::npos; };
  if (!digits(left) || !digits(right)) return {};
  std::uint64_t a = 0, b = 0;
  const bool fits = std::from_chars(left.data(), left.data() + left.size(), a).ec == std::errc{} &&
                    std::from_chars(right.data(), right.data() + right.size(), b).ec == std::errc{};
  expect(fits && left.size() <= 32 && right.size() <= 32 && (a < b ? b - a : a - b) < max_paths,
         [&] { return cat(pattern, ": {", text, "}: expected at most ", max_paths, " numbers"); });
  const bool padded = (left.size() > 1 && left[0] == '0') || (right.size() > 1 && right[0] == '0');
  const std::size_t width = padded ? std::max(left.size(), right.size()) : 0;
  std::vector<std::string> out;
  for (std::uint64_t i = a;; i = a < b ? i + 1 : i - 1) {
    std::string number = std::to_string(i);
    if (number.size() < width) number.insert(0, width - number.size(), '0');
    out.push_back(std::move(number));
    if (i == b) return out;
  }
}

/// Replaces `out` by every combination of an element of `out` followed by one of `ends`.
CLIPX_INLINE void follow(std::vector<std::string>& out, const std::vector<std::string>& ends, const std::string& pattern) {
  expect(out.size() <= max_paths / std::max<std::size_t>(ends.size(), 1),
         [&] { return cat(pattern, ": expected at most ", max_paths, " paths, got ", out.size(), " x ", ends.size()); });
  std::vector<std::string> next;
  std::size_t bytes = 0;
  for (auto& e : ends) bytes += e.size();
  bytes *= out.size();
  for (auto& o : out) bytes += o.size() * ends.size();
  expect(bytes <= max_path_bytes, [&] { return cat(pattern, ": expected paths of at most ", max_path_bytes, " bytes in all"); });
  next.reserve(out.size() * ends.size());
  for (auto& o : out)
    for (auto& e : ends) next.push_back(o + e);
  out = std::move(next);
}

CLIPX_INLINE std::vector<std::string> expand_one(std::string_view text, const std::string& pattern, int depth) {
  expect(depth <= 16, [&] { return cat(pattern, ": braces nested deeper than 16"); });
  std::vector<std::string> out{""};
  while (!text.empty()) {
    const auto open = std::min(text.find('{'), text.size());
    if (open) follow(out, {std::string(text.substr(0, open))}, pattern);
    text.remove_prefix(open);
    if (text.empty()) break;
    int level = 0;
    std::size_t close = 0;
    std::vector<std::size_t> cuts{0};  // positions of the brace and its commas
    for (; close < text.size(); ++close) {
      if (text[close] == '{') ++level;
      else if (text[close] == ',' && level == 1) cuts.push_back(close);
      else if (text[close] == '}' && --level == 0) break;
    }
    expect(close < text.size(), [&] { return cat(pattern, ": a brace is not closed: ", text); });
    const auto inside = text.substr(1, close - 1);
    cuts.push_back(close);
    if (auto range = expand_range(inside, pattern)) {
      follow(out, *range, pattern);
    } else if (cuts.size() > 2) {
      std::vector<std::string> ends;
      for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
        auto some = expand_one(text.substr(cuts[i] + 1, cuts[i + 1] - cuts[i] - 1), pattern, depth + 1);
        expect(ends.size() + some.size() <= max_paths, [&] { return cat(pattern, ": expected at most ", max_paths, " paths"); });
        std::move(some.begin(), some.end(), std::back_inserter(ends));
      }
      follow(out, ends, pattern);
    } else {
      auto same = expand_one(inside, pattern, depth + 1);
      for (auto& s : same) s = "{" + s + "}";
      follow(out, same, pattern);
    }
    text.remove_prefix(close + 1);
  }
  return out;
}

/// Splits a path into key and suffix; returns false if the file belongs to no sample.
CLIPX_INLINE bool split_key(std::string_view path, std::string_view& key, std::string_view& suffix) {
  const auto first = path.substr(0, std::min(path.find('/'), path.size()));
  if (first.size() >= 4 && first.starts_with("__") && first.ends_with("__")) return false;
  const auto slash = path.rfind('/');
  const std::size_t base = slash == std::string_view::npos ? 0 : slash + 1;
  const auto dot = path.find('.', base);
  if (dot == std::string_view::npos || dot == base) return false;
  key = path.substr(0, dot);
  suffix = path.substr(dot + 1);
  return true;
}

/// The first member with that suffix; null if there is none.
template <class Members>
const auto* find_member(const Members& members, std::string_view suffix) {
  const auto found = std::find_if(members.begin(), members.end(), [&](auto& m) { return m.first == suffix; });
  return found == members.end() ? nullptr : &found->second;
}
/// The first of jpg, png, jpeg, webp that exists; null if there is none.
template <class Members>
const auto* find_image(const Members& members) {
  auto found = find_member(members, "jpg");
  for (const char* suffix : {"png", "jpeg", "webp"})
    if (!found) found = find_member(members, suffix);
  return found;
}

/// A sample as it lies in its shard.
struct stored_sample {
  std::string key;
  std::vector<std::pair<std::string, byte_range>> members;  // suffix in lower case, place
};

/// The samples of an archive, one after another.
class sample_reader {
 public:
  /// `skipped` gets links, and files that belong to no sample.
  sample_reader(const shard_file& tar, const std::string& name, left_out* skipped = nullptr)
      : name_(name), skipped_(skipped), reader_(tar, name, skipped) {
    expect(tar.size() > 0, error_kind::damaged, [&] { return cat(name, ": expected a tar file, got an empty one"); });
    std::vector<std::byte> buffer;
    expect_no_lfs_pointer(tar.read({0, std::min<std::size_t>(tar.size(), 64)}, buffer), name);
  }
  /// Returns false at the end.
  bool next(stored_sample& out) {
    std::swap(out, ahead_);
    ahead_.members.clear();
    byte_range data;
    while (reader_.next(path_, data)) {
      std::string_view key, rest;
      if (!split_key(path_, key, rest)) {
        if (skipped_ && !hidden(path_)) skipped_->add_other_file(cat(name_, ": ", path_), "expected a name of the form KEY.ending");
        continue;
      }
      std::string suffix = lower_ascii(rest);
      const bool another = !out.members.empty() && (out.key != key || find_member(out.members, suffix));
      stored_sample& to = another ? ahead_ : out;
      expect(to.members.size() < max_sample_members, error_kind::unsupported, [&] {
        return cat(name_, ": byte ", data.at, ": expected at most ", max_sample_members, " members with the key \"", key, "\"");
      });
      to.key = key;
      to.members.emplace_back(std::move(suffix), data);
      if (another) return true;
    }
    return !out.members.empty();
  }

 private:
  /// webdataset's own files (__x__), and those that begin with a dot.
  static bool hidden(std::string_view path) {
    const auto slash = path.rfind('/');
    return path.starts_with("__") || path.substr(slash == std::string_view::npos ? 0 : slash + 1).starts_with('.');
  }

  const std::string& name_;
  left_out* skipped_;
  tar_reader reader_;
  stored_sample ahead_;  // the first member of the next sample
  std::string path_;
};

/// Reads the members of a sample, all or the texts alone.
class member_reader {
 public:
  member_reader(const shard_file& file, member_bytes wanted) : file_(file), wanted_(wanted) {}
  /// The spans of `out` last until the next call.
  void operator()(const stored_sample& s, sample& out) {
    out.key = s.key;
    out.members.resize(s.members.size());
    buffers_.resize(std::max(buffers_.size(), s.members.size()));
    for (std::size_t i = 0; i < s.members.size(); ++i) {
      auto& [suffix, place] = s.members[i];
      const bool read = wanted_ == member_bytes::all || suffix == "txt" || suffix == "json" || suffix == "cls";
      out.members[i] = {suffix, read ? file_.read(place, buffers_[i]) : std::span<const std::byte>()};
    }
  }

 private:
  const shard_file& file_;
  member_bytes wanted_;
  std::vector<std::vector<std::byte>> buffers_;
};

}  // namespace detail

CLIPX_INLINE std::vector<std::string> expand_braces(const std::string& pattern) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= pattern.size();) {
    const auto end = std::min(pattern.find("::", at), pattern.size());
    expect(end > at, [&] { return cat("\"", pattern, "\": expected a pattern, got an empty one"); });
    auto some = detail::expand_one(std::string_view(pattern).substr(at, end - at), pattern, 0);
    expect(out.size() + some.size() <= detail::max_paths,
           [&] { return cat(pattern, ": expected at most ", detail::max_paths, " paths"); });
    std::move(some.begin(), some.end(), std::back_inserter(out));
    if (end == pattern.size()) break;
    at = end + 2;
  }
  return out;
}

CLIPX_INLINE std::optional<std::span<const std::byte>> sample::find(std::string_view suffix) const {
  const auto* found = detail::find_member(members, suffix);
  return found ? std::optional(*found) : std::nullopt;
}

CLIPX_INLINE std::optional<std::span<const std::byte>> sample::image() const {
  const auto* found = detail::find_image(members);
  return found ? std::optional(*found) : std::nullopt;
}

CLIPX_INLINE void for_each_sample(std::span<const std::byte> tar, const std::string& name, function_ref<void(const sample&)> f) {
  const detail::shard_file file(tar, name);
  detail::sample_reader reader(file, name);
  detail::member_reader read(file, member_bytes::all);
  sample s;
  for (detail::stored_sample stored; reader.next(stored);) {
    read(stored, s);
    f(s);
  }
}

namespace detail {

/// Every sample of a shard. `skipped` gets what the shard holds besides, and, unless it is null, the rest of a shard that is
/// damaged, or all of one that cannot be opened; what f throws goes on to the caller. False where the shard is not whole.
CLIPX_INLINE bool read_samples(const std::string& shard, function_ref<void(const sample&)> f, left_out* skipped,
                               member_bytes wanted) {
  bool began = false, calling = false;
  try {
    const shard_file file(shard);
    sample_reader reader(file, shard, skipped);
    member_reader read(file, wanted);
    sample s;
    for (stored_sample stored; reader.next(stored);) {
      read(stored, s);
      began = calling = true;
      f(s);
      calling = false;
    }
    return true;
  } catch (const error& e) {
    if (calling || !skipped) throw;
    skipped->add_unreadable(cat(e.what(), began ? "; the rest of the shard is left out" : ""));
    return false;
  }
}

}  // namespace detail

CLIPX_INLINE void for_each_sample(const std::string& shard, function_ref<void(const sample&)> f, member_bytes wanted) {
  detail::read_samples(shard, f, nullptr, wanted);
}
CLIPX_INLINE void for_each_sample(const std::string& shard, left_out& skipped, function_ref<void(const sample&)> f,
                                  member_bytes wanted) {
  detail::read_samples(shard, f, &skipped, wanted);
}

}  // namespace clipx
