#pragma once
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>

#include "../core/error.hpp"
#include "../io/file.hpp"
#include "../io/lfs.hpp"
#include "../text/gunzip.hpp"
#include "shards.hpp"

namespace clipx {

namespace detail {

inline constexpr std::size_t max_paths = 1'000'000;
inline constexpr std::size_t max_path_bytes = std::size_t(256) << 20;
inline constexpr std::size_t max_tar_name = 65'536;
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

// ---- tar

inline constexpr std::size_t tar_block = 512;

/// One archive from its first header to its end: the first block of zeros, as Python's tarfile and so WebDataset have it (tar
/// writes two).
class tar_reader {
 public:
  tar_reader(std::span<const std::byte> bytes, const std::string& name, left_out* skipped = nullptr)
      : bytes_(bytes), name_(name), skipped_(skipped) {}

  /// Reads the next regular file; false at the end.
  bool next(std::string& path, std::span<const std::byte>& data) {
    std::optional<std::string> long_path;  // from GNU 'L' or pax; applies to the next header
    std::optional<std::uint64_t> long_size;
    for (bool promised = false;;) {  // whether a header came before that describes the next one
      need(at_ == bytes_.size() || bytes_.size() - at_ >= tar_block,
           [&] { return cat(at_ ? "" : "not a tar file: ", "expected a header of 512 bytes, got ", bytes_.size() - at_); });
      if (at_ == bytes_.size() || zero_block(at_)) {
        need(!promised, [] { return "expected a member behind its pax header or long name, got the archive's end"; });
        return false;
      }
      check_sum();
      const char type = text(156, 1)[0];
      const bool has_data = type < '1' || type > '6';  // links, devices, directories and pipes have no data, whatever their size
      const bool meta = type == 'L' || type == 'K' || type == 'x' || type == 'g';
      const std::uint64_t size = !has_data ? 0 : long_size && !meta ? *long_size : number(124, 12, "size");
      const std::size_t room = bytes_.size() - at_ - tar_block;
      need(size <= room, [&] { return cat("expected ", size, " bytes of member, got ", room); });
      need(type != 'S', error_kind::unsupported, [] { return "a sparse file, which is not read"; });
      const auto body = bytes_.subspan(at_ + tar_block, static_cast<std::size_t>(size));
      if (type == 'L') {
        need(size <= max_tar_name, error_kind::unsupported,
             [&] { return cat("expected a name of at most ", max_tar_name, " bytes, got ", size); });
        long_path = until_zero({reinterpret_cast<const char*>(body.data()), body.size()});
      } else if (type == 'x') {
        need(size <= 16 * max_tar_name, error_kind::unsupported,
             [&] { return cat("expected a pax header of at most ", 16 * max_tar_name, " bytes, got ", size); });
        read_pax({reinterpret_cast<const char*>(body.data()), body.size()}, long_path, long_size);
      }
      if (!meta) path = long_path ? *long_path : header_path();
      data = body;
      at_ += tar_block + std::min(room, (body.size() + tar_block - 1) / tar_block * tar_block);
      promised = meta;
      if (meta) continue;
      if ((type == '0' || type == '\0' || type == '7') && !path.ends_with('/')) return true;
      if (skipped_ && (type == '1' || type == '2')) skipped_->add(cat(name_, ": ", path), "a link, which is not followed");
      long_path.reset();
      long_size.reset();
    }
  }

 private:
  template <class Message>
  void need(bool ok, Message&& message) const {
    need(ok, error_kind::damaged, message);
  }
  template <class Message>
  void need(bool ok, error_kind kind, Message&& message) const {
    expect(ok, kind, [&] { return cat(name_, ": byte ", at_, ": ", message()); });
  }
  /// n bytes of the header at at_.
  std::string_view text(std::size_t from, std::size_t n) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + at_ + from, n};
  }
  static std::string_view until_zero(std::string_view s) { return s.substr(0, std::min(s.find('\0'), s.size())); }
  bool zero_block(std::size_t at) const {
    const auto block = bytes_.subspan(at, tar_block);
    return std::all_of(block.begin(), block.end(), [](std::byte b) { return b == std::byte{0}; });
  }
  /// Octal between spaces or zeros, or base 256 if the first bit is set.
  std::uint64_t number(std::size_t from, std::size_t n, std::string_view what) const {
    const std::string_view field = text(from, n);
    std::uint64_t out = 0;
    if (static_cast<unsigned char>(field[0]) & 0x80) {
      out = static_cast<unsigned char>(field[0]) & 0x7f;
      for (char c : field.substr(1)) {
        need(out <= std::numeric_limits<std::uint64_t>::max() >> 8, [&] { return cat(what, ": expected at most 64 bits"); });
        out = out << 8 | static_cast<unsigned char>(c);
      }
      return out;
    }
    std::string_view rest = field.substr(std::min(field.find_first_not_of(' '), n));
    const auto end = rest.find_first_not_of("01234567");
    const auto tail = rest.substr(std::min(end, rest.size()));
    need(tail.empty() || tail[0] == ' ' || tail[0] == '\0',
         [&] { return cat(what, ": expected octal digits, got \"", printable(field), "\""); });
    for (char c : rest.substr(0, rest.size() - tail.size()))
      out = out << 3 | static_cast<unsigned char>(c - '0');  // at most 36 bits
    return out;
  }
  static std::string printable(std::string_view s) {
    std::string out;
    for (char c : s) out += c >= ' ' && c <= '~' ? c : '.';
    return out;
  }
  void check_sum() const {
    need(at_ != 0 || text(0, 2) != "\x1f\x8b", error_kind::unsupported,
         [] { return "expected a tar file, got a gzip one: unpack it first"; });
    const std::uint64_t expected = number(148, 8, at_ ? "checksum" : "not a tar file: checksum");
    std::uint64_t sum = 0;
    std::int64_t signed_sum = 0;  // written by some old programs
    const auto header = text(0, tar_block);
    for (std::size_t i = 0; i < tar_block; ++i) {
      const char c = i >= 148 && i < 156 ? ' ' : header[i];
      sum += static_cast<unsigned char>(c);
      signed_sum += static_cast<signed char>(c);
    }
    need(expected == sum || (signed_sum >= 0 && expected == static_cast<std::uint64_t>(signed_sum)),
         [&] { return cat(at_ ? "" : "not a tar file: ", "expected the header's checksum ", expected, ", got ", sum); });
  }
  std::string header_path() const {
    std::string path;
    if (text(257, 6) == std::string_view("ustar\0", 6)) path = until_zero(text(345, 155));
    if (!path.empty()) path += '/';
    return path += until_zero(text(0, 100));
  }
  /// Reads records "LENGTH key=value\n".
  void read_pax(std::string_view body, std::optional<std::string>& path, std::optional<std::uint64_t>& size) const {
    while (!body.empty() && body[0] != '\0') {
      std::size_t length = 0;
      const auto end = std::from_chars(body.data(), body.data() + body.size(), length);
      const auto digits = static_cast<std::size_t>(end.ptr - body.data());
      need(end.ec == std::errc{} && digits < body.size() && body[digits] == ' ' && length <= body.size() && length >= digits + 3 &&
               body[length - 1] == '\n',
           [&] { return cat("expected a pax record \"LENGTH key=value\", got \"", printable(body.substr(0, 40)), "\""); });
      const auto record = body.substr(digits + 1, length - digits - 2);
      body.remove_prefix(length);
      if (record.starts_with("path=")) {
        need(record.size() - 5 <= max_tar_name, error_kind::unsupported,
             [&] { return cat("expected a name of at most ", max_tar_name, " bytes, got ", record.size() - 5); });
        path = record.substr(5);
      } else if (record.starts_with("size=")) {
        std::uint64_t n = 0;
        const auto value = std::from_chars(record.data() + 5, record.data() + record.size(), n);
        need(value.ec == std::errc{} && value.ptr == record.data() + record.size(),
             [&] { return cat("expected pax size= with a number, got \"", printable(record.substr(0, 40)), "\""); });
        size = n;
      } else {
        need(!record.starts_with("GNU.sparse."), error_kind::unsupported, [] { return "a sparse file, which is not read"; });
      }
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  left_out* skipped_;
  std::size_t at_ = 0;
};

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

/// The samples of an archive, one after another.
class sample_reader {
 public:
  /// `skipped` gets links, and files that belong to no sample.
  sample_reader(std::span<const std::byte> tar, const std::string& name, left_out* skipped = nullptr)
      : tar_(tar), name_(name), skipped_(skipped), reader_(tar, name, skipped) {
    expect_no_lfs_pointer(tar, name);
    expect(!tar.empty(), error_kind::damaged, [&] { return cat(name, ": expected a tar file, got an empty one"); });
  }
  /// Returns false at the end.
  bool next(sample& out) {
    std::swap(out, ahead_);
    ahead_.members.clear();
    std::span<const std::byte> data;
    while (reader_.next(path_, data)) {
      std::string_view key, rest;
      if (!split_key(path_, key, rest)) {
        if (skipped_ && !hidden(path_)) skipped_->add_other_file(cat(name_, ": ", path_), "expected a name of the form KEY.ending");
        continue;
      }
      std::string suffix = lower_ascii(rest);
      const bool another = !out.members.empty() && (out.key != key || out.find(suffix));
      sample& to = another ? ahead_ : out;
      expect(to.members.size() < max_sample_members, error_kind::unsupported, [&] {
        return cat(name_, ": byte ", data.data() - tar_.data(), ": expected at most ", max_sample_members,
                   " members with the key \"", key, "\"");
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

  std::span<const std::byte> tar_;
  const std::string& name_;
  left_out* skipped_;
  tar_reader reader_;
  sample ahead_;  // the first member of the next sample
  std::string path_;
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
  for (auto& [s, bytes] : members)
    if (s == suffix) return bytes;
  return {};
}

CLIPX_INLINE std::optional<std::span<const std::byte>> sample::image() const {
  for (const char* suffix : {"jpg", "png", "jpeg", "webp"})
    if (auto found = find(suffix)) return found;
  return {};
}

CLIPX_INLINE void for_each_sample(std::span<const std::byte> tar, const std::string& name, function_ref<void(const sample&)> f) {
  detail::sample_reader reader(tar, name);
  for (sample now; reader.next(now);) f(now);
}

namespace detail {

inline constexpr std::size_t most_unpacked = std::size_t(4) << 30;

/// A shard while it is read: mapped, or, where it is a gzip file, decompressed into memory.
class shard_file {
 public:
  explicit shard_file(const std::string& path) : file_(mapped_file::open(path)) {
    const auto bytes = file_.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!text.starts_with("\x1f\x8b")) return;
    unpacked_ = gunzip(text, path, most_unpacked);
    packed_ = true;
    file_ = {};
  }
  std::span<const std::byte> bytes() const {
    return packed_ ? std::as_bytes(std::span(unpacked_.data(), unpacked_.size())) : std::span<const std::byte>(file_.bytes());
  }
  /// These bytes will not be needed soon.
  void release(const std::byte* begin, std::size_t bytes) const {
    if (!packed_) file_.release(begin, bytes);
  }

 private:
  mapped_file file_;
  std::string unpacked_;
  bool packed_ = false;
};

/// Every sample of a shard. `skipped` gets what the shard holds besides, and, unless it is null, the rest of a shard that is
/// damaged, or all of one that cannot be opened; what f throws goes on to the caller. False where the shard is not whole.
CLIPX_INLINE bool read_samples(const std::string& shard, function_ref<void(const sample&)> f, left_out* skipped) {
  bool began = false, calling = false;
  try {
    const shard_file file(shard);
    const std::byte* kept = file.bytes().data();  // pages before it were given back
    sample_reader reader(file.bytes(), shard, skipped);
    for (sample s; reader.next(s);) {
      const std::byte* here = s.members.front().second.data();
      if (here - kept > (16 << 20)) {
        file.release(kept, static_cast<std::size_t>(here - kept));
        kept = here;
      }
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

CLIPX_INLINE void for_each_sample(const std::string& shard, function_ref<void(const sample&)> f) {
  detail::read_samples(shard, f, nullptr);
}
CLIPX_INLINE void for_each_sample(const std::string& shard, left_out& skipped, function_ref<void(const sample&)> f) {
  detail::read_samples(shard, f, &skipped);
}

}  // namespace clipx
