// What the stages of matching and balancing store for each part: a sequence of numbers and texts.
#pragma once
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/error.hpp"
#include "../io/file.hpp"
#include "../text/unicode.hpp"
#include "captions_source.hpp"

namespace clipx::detail {

inline void put_record(const file_writer& put, std::string_view text) { put(std::as_bytes(std::span(text.data(), text.size()))); }
inline std::string_view record_of(const mapped_file& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// Appends to a record.
class record_writer {
 public:
  explicit record_writer(std::string& to) : to_(to) {}
  void number(std::uint64_t n) {
    for (int shift = 0; shift < 64; shift += 8) to_ += static_cast<char>(static_cast<unsigned char>(n >> shift));
  }
  void text(std::string_view s) {
    number(s.size());
    to_ += s;
  }
  void report(const caption_report& r) {
    for (const auto n : {r.samples, r.captions, r.empty, r.uncaptioned, r.unreadable, r.broken_shards}) number(n);
    left_out(r.skipped);
  }
  void left_out(const clipx::left_out& skipped) {
    for (const auto n : {skipped.count, skipped.unreadable, skipped.other_files}) number(n);
    number(skipped.first.size());
    for (auto& why : skipped.first) text(why);
  }
  /// Nonzero counts, with their indices.
  void counts(std::span<const std::uint64_t> all) {
    std::uint64_t n = 0;
    for (const auto c : all) n += c > 0 ? 1 : 0;
    number(n);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i] == 0) continue;
      number(i);
      number(all[i]);
    }
  }

 private:
  std::string& to_;
};

/// Reads values in the order in which they were written. Errors: a record that is too short.
class record_reader {
 public:
  record_reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  bool at_end() const { return bytes_.empty(); }
  std::uint64_t number() {
    const auto s = take(8);
    std::uint64_t n = 0;
    for (std::size_t i = 8; i-- > 0;) n = n << 8 | static_cast<unsigned char>(s[i]);
    return n;
  }
  std::string_view text() { return take(number()); }
  caption_report report() {
    caption_report r;
    for (auto* n : {&r.samples, &r.captions, &r.empty, &r.uncaptioned, &r.unreadable, &r.broken_shards}) *n = number();
    r.skipped = left_out();
    return r;
  }
  clipx::left_out left_out() {
    clipx::left_out out;
    for (auto* n : {&out.count, &out.unreadable, &out.other_files}) *n = number();
    for (auto n = number(); n > 0; --n) out.first.emplace_back(text());
    return out;
  }
  void add_counts(std::span<std::uint64_t> to) {
    for (auto n = number(); n > 0; --n) {
      const auto place = number();
      expect(place < to.size(), error_kind::damaged, [&] { return cat(name_, ": not a result of this version; remove it"); });
      to[static_cast<std::size_t>(place)] += number();
    }
  }

 private:
  std::string_view take(std::uint64_t n) {
    expect(n <= bytes_.size(), error_kind::damaged, [&] { return cat(name_, ": not a complete result; remove it"); });
    const auto out = bytes_.substr(0, static_cast<std::size_t>(n));
    bytes_.remove_prefix(static_cast<std::size_t>(n));
    return out;
  }
  std::string_view bytes_;
  const std::string& name_;
};

/// A text as a JSON string, in quotes. Invalid UTF-8 becomes U+FFFD.
CLIPX_INLINE std::string json_quoted(std::string_view text) {
  if (!valid_utf8(text)) return json_quoted(encode_utf8(decode_utf8(text)));
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      const auto hex = [](int digit) { return "0123456789abcdef"[digit]; };
      out += "\\u00";
      out += hex(c >> 4);
      out += hex(c & 15);
    } else {
      out += c;
    }
  }
  return out + '"';
}

/// Writes a text so that record_reader::text() can read it.
CLIPX_INLINE void put_text_record(const file_writer& put, const std::string& text) {
  std::string size;
  record_writer(size).number(text.size());
  put_record(put, size);
  put_record(put, text);
}

/// The end of a line of JSON: ,"entries":[..]}.
CLIPX_INLINE void append_entries(std::string& line, std::span<const std::uint32_t> ids, const std::vector<std::string>& quoted) {
  line += ",\"entries\":[";
  for (const auto id : ids) {
    if (id != ids.front()) line += ',';
    line += quoted[id];
  }
  line += "]}\n";
}

}  // namespace clipx::detail
