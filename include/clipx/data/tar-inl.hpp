// Shards as archives: a file that is read by position, and the members of a tar file in it.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/error.hpp"
#include "../io/descriptor-inl.hpp"
#include "../io/file.hpp"
#include "../text/gunzip.hpp"
#include "left_out.hpp"

namespace clipx::detail {

inline constexpr std::size_t max_tar_name = 65'536;
inline constexpr std::size_t most_unpacked = std::size_t(4) << 30;

/// Where something lies in a shard.
struct byte_range {
  std::size_t at = 0, size = 0;
};

/// A shard while it is read: a file, which is read by position and not mapped, since a mapped file that becomes shorter ends the
/// process; where it is a gzip file, its decompressed bytes; or memory. Thread-safe.
class shard_file {
 public:
  /// Errors: those of mapped_file::open() and gunzip().
  explicit shard_file(const std::string& path) : path_(path) {
    auto file = std::make_shared<const regular_file>(path);
    size_ = file->size;
    std::array<std::byte, 2> first{};
    if (size_ >= first.size()) read_exactly(file->fd, 0, first, path);
    if (first == std::array{std::byte{0x1f}, std::byte{0x8b}}) {
      unpack();
    } else {
      device_ = file->device;
      number_ = file->number;
      file_ = std::move(file);
      ++open_files();
    }
  }
  /// Bytes in memory, which are borrowed; `name` is for messages.
  shard_file(std::span<const std::byte> bytes, const std::string& name)
      : path_(name), memory_(bytes), in_memory_(true), size_(bytes.size()) {}
  ~shard_file() { close(); }
  shard_file(const shard_file&) = delete;

  std::size_t size() const { return size_; }
  /// The bytes there: in memory, or read into `buffer`. Errors: the file has become shorter, or another has taken its place.
  std::span<const std::byte> read(const byte_range& e, std::vector<std::byte>& buffer) const {
    if (in_memory_) return memory_.subspan(e.at, e.size);
    buffer.resize(e.size);
    read_exactly(opened()->fd, e.at, buffer, path_);
    return buffer;
  }
  /// No more than a few hundred files stay open: beyond them, one of which little is still to be read is opened anew for each read.
  void close_if_many() {
    if (open_files() > 256) close();
  }

 private:
  static std::atomic<int>& open_files() {
    static std::atomic<int> count{0};
    return count;
  }
  void unpack() {
    const auto packed = mapped_file::open(path_);
    unpacked_ = gunzip({reinterpret_cast<const char*>(packed.bytes().data()), packed.bytes().size()}, path_, most_unpacked);
    packed.expect_whole();
    memory_ = std::as_bytes(std::span(unpacked_.data(), unpacked_.size()));
    size_ = memory_.size();
    in_memory_ = true;
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (file_) --open_files();
    file_.reset();
  }
  std::shared_ptr<const regular_file> opened() const {
    {
      const std::lock_guard lock(mutex_);
      if (file_) return file_;
    }
    auto again = std::make_shared<const regular_file>(path_);
    expect(again->device == device_ && again->number == number_, error_kind::damaged,
           [&] { return cat(path_, ": expected the file that was opened, another has taken its place"); });
    return again;
  }

  std::string path_;
  std::string unpacked_;
  std::span<const std::byte> memory_;
  bool in_memory_ = false;
  std::size_t size_ = 0;
  dev_t device_ = 0;  // these two: which file it is
  ino_t number_ = 0;
  mutable std::mutex mutex_;
  std::shared_ptr<const regular_file> file_;
};

inline constexpr std::size_t tar_block = 512;

/// One archive from its first header to its end: the first block of zeros, as Python's tarfile and so WebDataset have it (tar
/// writes two).
class tar_reader {
 public:
  tar_reader(const shard_file& file, const std::string& name, left_out* skipped = nullptr)
      : file_(file), name_(name), skipped_(skipped) {}

  /// Finds the next regular file; false at the end.
  bool next(std::string& path, byte_range& data) {
    std::optional<std::string> long_path;  // from GNU 'L' or pax; applies to the next header
    std::optional<std::uint64_t> long_size;
    for (bool promised = false;;) {  // whether a header came before that describes the next one
      const std::size_t rest = file_.size() - at_;
      need(rest == 0 || rest >= tar_block,
           [&] { return cat(at_ ? "" : "not a tar file: ", "expected a header of 512 bytes, got ", rest); });
      if (rest == 0 || !read_header()) {
        need(!promised, [] { return "expected a member behind its pax header or long name, got the archive's end"; });
        return false;
      }
      check_sum();
      const char type = text(156, 1)[0];
      const bool has_data = type < '1' || type > '6';  // links, devices, directories and pipes have no data, whatever their size
      const bool meta = type == 'L' || type == 'K' || type == 'x' || type == 'g';
      const std::uint64_t size = !has_data ? 0 : long_size && !meta ? *long_size : number(124, 12, "size");
      const std::size_t room = rest - tar_block;
      need(size <= room, [&] { return cat("expected ", size, " bytes of member, got ", room); });
      need(type != 'S', error_kind::unsupported, [] { return "a sparse file, which is not read"; });
      const byte_range body{at_ + tar_block, static_cast<std::size_t>(size)};
      if (type == 'L') {
        need(size <= max_tar_name, error_kind::unsupported,
             [&] { return cat("expected a name of at most ", max_tar_name, " bytes, got ", size); });
        long_path = until_zero(body_text(body));
      } else if (type == 'x') {
        need(size <= 16 * max_tar_name, error_kind::unsupported,
             [&] { return cat("expected a pax header of at most ", 16 * max_tar_name, " bytes, got ", size); });
        read_pax(body_text(body), long_path, long_size);
      }
      if (!meta) path = long_path ? *long_path : header_path();
      data = body;
      at_ += tar_block + std::min(room, (body.size + tar_block - 1) / tar_block * tar_block);
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
  /// Reads the header at at_; false if all of it is zero. A window of the file is read at once: small members follow closely.
  bool read_header() {
    constexpr std::size_t window = 8192;
    if (at_ < window_.at || at_ + tar_block > window_.at + window_.size) {
      window_ = {at_, std::min(window, file_.size() - at_)};
      seen_ = file_.read(window_, buffer_);
    }
    header_ = seen_.subspan(at_ - window_.at, tar_block);
    return !std::all_of(header_.begin(), header_.end(), [](std::byte b) { return b == std::byte{0}; });
  }
  std::string_view body_text(const byte_range& body) {
    const auto bytes = file_.read(body, body_);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// n bytes of the header.
  std::string_view text(std::size_t from, std::size_t n) const { return {reinterpret_cast<const char*>(header_.data()) + from, n}; }
  static std::string_view until_zero(std::string_view s) { return s.substr(0, std::min(s.find('\0'), s.size())); }
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

  const shard_file& file_;
  const std::string& name_;
  left_out* skipped_;
  std::size_t at_ = 0;
  byte_range window_;                         // of the file, in seen_
  std::span<const std::byte> seen_, header_;  // header_: a part of it
  std::vector<std::byte> buffer_, body_;      // of files that are not in memory
};

}  // namespace clipx::detail
