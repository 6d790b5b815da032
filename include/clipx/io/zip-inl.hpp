// The members of a zip archive in memory (PKWARE's APPNOTE 6.3.10), also of one over 4 GiB (zip64).
#pragma once
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/error.hpp"

namespace clipx::detail {

/// An entry of the archive's directory.
struct zip_member {
  std::string_view name;     // its path in the archive
  std::uint64_t header = 0;  // where its local header begins
  std::uint64_t stored = 0;  // bytes in the archive
  std::uint64_t size = 0;    // bytes of the file
  std::uint16_t method = 0;  // 0: as it is, 8: deflate
  std::uint16_t flags = 0;   // bit 0: encrypted
};

/// Reads the directory; every offset in it is checked before it is used. Views point into the archive's bytes.
class zip_archive {
 public:
  /// `name` is for messages. Errors: no zip archive, one that is cut off, in several parts, or has a name twice.
  zip_archive(std::span<std::byte> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {
    read_directory();
    if (!members_.empty()) root_ = members_.front().name.substr(0, members_.front().name.find('/'));
    std::sort(members_.begin(), members_.end(), [](auto& a, auto& b) { return a.name < b.name; });
    const auto twice = std::adjacent_find(members_.begin(), members_.end(), [](auto& a, auto& b) { return a.name == b.name; });
    if (twice != members_.end()) damaged(cat("two members are named \"", twice->name, "\""));
  }

  /// The folder of the first member, in which PyTorch has all of them.
  std::string_view root() const { return root_; }
  /// Null if there is none.
  const zip_member* find(std::string_view name) const {
    const auto at = std::lower_bound(members_.begin(), members_.end(), name,
                                     [](const zip_member& m, std::string_view n) { return m.name < n; });
    return at != members_.end() && at->name == name ? &*at : nullptr;
  }

  /// The bytes of a member that is stored as it is. Error: a compressed one.
  std::span<std::byte> stored(const zip_member& m) const {
    expect(m.method == 0, error_kind::unsupported, [&] {
      return cat(name_, ": ", m.name,
                 " is compressed, which PyTorch does not do and which cannot be mapped: unpack the archive, and ",
                 "pack it without compression (zip -0 -r)");
    });
    if (m.stored != m.size) damaged(cat(m.name, ": ", m.size, " bytes are stored in ", m.stored));
    return raw(m);
  }

  /// A small member, which may be compressed. Errors: more than `limit` bytes, a damaged one.
  std::string text(const zip_member& m, std::size_t limit) const {
    const auto from = raw(m);
    expect(m.size <= limit && from.size() <= limit, error_kind::unsupported,
           [&] { return cat(name_, ": ", m.name, ": expected at most ", limit, " bytes, got ", std::max(m.size, m.stored)); });
    if (m.method == 0) return {reinterpret_cast<const char*>(from.data()), from.size()};
    if (m.method != 8) damaged(cat(m.name, ": unknown compression ", m.method));
    std::string out(static_cast<std::size_t>(m.size), '\0');
    char none = 0;
    z_stream stream{};
    stream.next_in = reinterpret_cast<Bytef*>(from.data());
    stream.avail_in = static_cast<uInt>(from.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.empty() ? &none : out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
    const int ended = ::inflate(&stream, Z_FINISH);
    ::inflateEnd(&stream);
    if (ended != Z_STREAM_END || stream.avail_out != 0) damaged(cat(m.name, ": damaged compressed data"));
    return out;
  }

 private:
  [[noreturn]] void damaged(const std::string& what, where at = where::here()) const {
    fail(error_kind::damaged, cat(name_, ": damaged zip archive: ", what), at);
  }
  /// A little-endian number. Error: it is not in the file.
  template <class N>
  N number(std::uint64_t at) const {
    if (at > bytes_.size() || bytes_.size() - at < sizeof(N)) damaged(cat("it ends at byte ", bytes_.size(), ", in a header"));
    N out;
    std::memcpy(&out, bytes_.data() + at, sizeof out);
    return out;
  }
  std::string_view view(std::uint64_t at, std::uint64_t n) const {
    if (at > bytes_.size() || n > bytes_.size() - at) damaged(cat("it ends at byte ", bytes_.size(), ", in a header"));
    return {reinterpret_cast<const char*>(bytes_.data()) + at, static_cast<std::size_t>(n)};
  }

  /// Where the end record is: the last 22 bytes, if the archive has no comment.
  std::uint64_t find_end() const {
    constexpr std::uint64_t record = 22, longest_comment = 65535;
    const std::uint64_t size = bytes_.size();
    for (std::uint64_t back = record; back <= size && back <= record + longest_comment; ++back)
      if (number<std::uint32_t>(size - back) == 0x06054b50 && number<std::uint16_t>(size - back + 20) == back - record)
        return size - back;
    damaged(cat("no directory at its end; it has ", size, " bytes, of which the rest may be missing"));
  }

  void read_directory() {
    const auto end = find_end();
    std::uint64_t count = number<std::uint16_t>(end + 10), size = number<std::uint32_t>(end + 12),
                  at = number<std::uint32_t>(end + 16);
    if (number<std::uint16_t>(end + 4) != number<std::uint16_t>(end + 6)) damaged("a part of several");
    if (end >= 20 && number<std::uint32_t>(end - 20) == 0x07064b50) {  // zip64
      const auto wide = number<std::uint64_t>(end - 20 + 8);
      if (number<std::uint32_t>(wide) != 0x06064b50) damaged("its zip64 record is not where it should be");
      count = number<std::uint64_t>(wide + 32);
      size = number<std::uint64_t>(wide + 40);
      at = number<std::uint64_t>(wide + 48);
    }
    const auto directory = view(at, size);
    if (count > directory.size() / 46) damaged(cat("its directory has ", directory.size(), " bytes for ", count, " members"));
    members_.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) at = read_member(at);
  }

  /// Reads the entry at `at`. Returns where the next one begins.
  std::uint64_t read_member(std::uint64_t at) {
    if (number<std::uint32_t>(at) != 0x02014b50) damaged("its directory is not where it should be");
    zip_member m;
    m.flags = number<std::uint16_t>(at + 8);
    m.method = number<std::uint16_t>(at + 10);
    m.stored = number<std::uint32_t>(at + 20);
    m.size = number<std::uint32_t>(at + 24);
    m.header = number<std::uint32_t>(at + 42);
    const std::uint64_t name = number<std::uint16_t>(at + 28), extra = number<std::uint16_t>(at + 30);
    m.name = view(at + 46, name);
    view(at + 46 + name, extra);
    read_wide(m, at + 46 + name, extra);
    members_.push_back(m);
    return at + 46 + name + extra + number<std::uint16_t>(at + 32);
  }

  /// zip64's extra field has, in this order, those numbers that are all ones in the entry.
  void read_wide(zip_member& m, std::uint64_t at, std::uint64_t bytes) const {
    constexpr std::uint32_t ones = 0xffffffff;
    for (const auto end = at + bytes; at + 4 <= end;) {
      const auto id = number<std::uint16_t>(at);
      const std::uint64_t size = number<std::uint16_t>(at + 2);
      if (id == 1)
        for (std::uint64_t from = at + 4; auto* value : {&m.size, &m.stored, &m.header})
          if (*value == ones && from + 8 <= std::min(at + 4 + size, end)) {
            *value = number<std::uint64_t>(from);
            from += 8;
          }
      at += 4 + size;
    }
  }

  /// What is in the archive of a member; its local header may be longer than the directory says.
  std::span<std::byte> raw(const zip_member& m) const {
    if (number<std::uint32_t>(m.header) != 0x04034b50) damaged(cat(m.name, ": not where the directory says"));
    if (m.flags & 1) fail(error_kind::unsupported, cat(name_, ": ", m.name, " is encrypted"));
    const std::uint64_t at = m.header + 30 + number<std::uint16_t>(m.header + 26) + number<std::uint16_t>(m.header + 28);
    if (at > bytes_.size() || m.stored > bytes_.size() - at) damaged(cat(m.name, ": reaches beyond the end of the file"));
    return bytes_.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(m.stored));
  }

  std::span<std::byte> bytes_;
  std::string name_;
  std::string_view root_;
  std::vector<zip_member> members_;  // by name
};

}  // namespace clipx::detail
