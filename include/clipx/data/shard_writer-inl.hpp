// Definitions of shard_writer.hpp.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "../io/file.hpp"
#include "shard_writer.hpp"
#include "shards-inl.hpp"

namespace clipx {
namespace detail {

inline constexpr std::size_t tar_buffer = std::size_t(1) << 20;
inline constexpr std::uint64_t most_ustar_size = std::uint64_t(1) << 33;  // 11 octal digits

using tar_header = std::array<char, tar_block>;

inline void put_octal(tar_header& h, std::size_t at, std::size_t width, std::uint64_t n) {
  for (std::size_t i = width; i-- > 0; n /= 8) h[at + i] = static_cast<char>('0' + n % 8);
}
inline void put_text(tar_header& h, std::size_t at, std::string_view text) { std::copy(text.begin(), text.end(), h.data() + at); }

/// Where a name is split into ustar's prefix (155) and name (100): at a slash;
/// 0 if no split is needed, npos if none is possible.
inline std::size_t ustar_cut(std::string_view name) {
  if (name.size() <= 100) return 0;
  const auto slash = name.find('/', name.size() - std::min<std::size_t>(name.size(), 101));
  return slash != std::string_view::npos && slash > 0 && slash <= 155 && slash + 1 < name.size() ? slash : std::string_view::npos;
}

/// A record of a pax header; its length includes its own digits.
inline std::string pax_record(std::string_view key, std::string_view value) {
  const auto rest = key.size() + value.size() + 3;  // " key=value\n"
  std::size_t n = rest + 1;
  while (std::to_string(n).size() + rest != n) ++n;
  return cat(n, " ", key, "=", value, "\n");
}

/// Checks that a sample's members will be read back as the same sample.
CLIPX_INLINE void check_names(const sample& s, const std::string& path) {
  expect(!s.members.empty(), [&] { return cat(path, ": ", s.key, ": expected a sample with members, got none"); });
  for (auto at = s.members.begin(); at != s.members.end(); ++at) {
    const std::string name = cat(s.key, ".", at->first);
    std::string_view key, suffix;
    const bool same = split_key(name, key, suffix) && key == s.key && suffix == at->first && !suffix.empty() &&
                      lower_ascii(suffix) == suffix && suffix.find('/') == std::string_view::npos;
    expect(same && name.find('\0') == std::string::npos && name.size() <= max_tar_name, [&] {
      return cat(path, ": expected a key without a dot in its base name and a suffix in lower case, of at most ", max_tar_name,
                 " bytes, got \"", name.substr(0, 200), "\"");
    });
    expect(std::none_of(s.members.begin(), at, [&](auto& before) { return before.first == at->first; }),
           [&] { return cat(path, ": ", s.key, ": expected each suffix once, got \"", at->first, "\" twice"); });
  }
}

}  // namespace detail

CLIPX_INLINE tar_writer::tar_writer(const std::string& path) : path_(path), file_(path) {
  waiting_.reserve(detail::tar_buffer + detail::tar_block);
}

CLIPX_INLINE void tar_writer::add(const sample& s) {
  detail::check_names(s, path_);
  expect(samples_ == 0 || s.key != last_key_, [&] {
    return cat(path_, ": expected samples of different keys, got \"", s.key,
               "\" twice in a row, which readers take for one sample: give the samples new keys");
  });
  for (auto& [suffix, bytes] : s.members) put_member(cat(s.key, ".", suffix), bytes);
  last_key_ = s.key;
  ++samples_;
}

CLIPX_INLINE void tar_writer::commit() {
  expect(samples_ > 0, [&] { return cat(path_, ": expected a shard of at least one sample, got none"); });
  put(std::vector<std::byte>(2 * detail::tar_block));
  flush();
  file_.commit();
}

CLIPX_INLINE void tar_writer::put(std::span<const std::byte> bytes) {
  if (waiting_.size() + bytes.size() > detail::tar_buffer) flush();
  if (bytes.size() >= detail::tar_buffer) file_.write(bytes);
  else waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
}

CLIPX_INLINE void tar_writer::flush() {
  file_.write(waiting_);
  waiting_.clear();
}

CLIPX_INLINE void tar_writer::pad(std::uint64_t size) {
  static constexpr std::array<std::byte, detail::tar_block> zeros{};
  put(std::span(zeros).first((detail::tar_block - size % detail::tar_block) % detail::tar_block));
}

CLIPX_INLINE void tar_writer::put_member(const std::string& name, std::span<const std::byte> data) {
  std::string more;
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!plain || detail::ustar_cut(name) == std::string::npos) more += detail::pax_record("path", name);
  if (data.size() >= detail::most_ustar_size) more += detail::pax_record("size", std::to_string(data.size()));
  if (!more.empty()) {
    put_header("pax", more.size(), 'x');
    put(std::as_bytes(std::span(more)));
    pad(more.size());
  }
  put_header(name, data.size(), '0');
  put(data);
  pad(data.size());
}

CLIPX_INLINE void tar_writer::put_header(const std::string& name, std::uint64_t size, char type) {
  detail::tar_header h{};
  const auto cut = detail::ustar_cut(name);
  if (cut == std::string::npos) {
    detail::put_text(h, 0, std::string_view(name).substr(0, 100));  // the pax header has all of it
  } else if (cut > 0) {
    detail::put_text(h, 0, std::string_view(name).substr(cut + 1));
    detail::put_text(h, 345, std::string_view(name).substr(0, cut));
  } else {
    detail::put_text(h, 0, name);
  }
  detail::put_text(h, 100, "0000644");
  detail::put_text(h, 108, "0000000");
  detail::put_text(h, 116, "0000000");
  detail::put_octal(h, 124, 11, size < detail::most_ustar_size ? size : 0);
  detail::put_octal(h, 136, 11, 0);
  detail::put_text(h, 148, "        ");
  h[156] = type;
  detail::put_text(h, 257, "ustar");
  detail::put_text(h, 263, "00");
  std::uint64_t sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  detail::put_octal(h, 148, 6, sum);
  h[154] = '\0';
  put(std::as_bytes(std::span(h)));
}

CLIPX_INLINE std::string shard_name(std::uint64_t number) {
  const auto digits = std::to_string(number);
  return cat(std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0'), digits, ".tar");
}

CLIPX_INLINE void write_sizes(const std::string& folder, std::span<const std::pair<std::string, std::uint64_t>> sizes) {
  detail::json object = detail::json::object();
  for (auto& [name, samples] : sizes) object[name] = samples;
  write_file(folder + "/sizes.json", object.dump(1) + "\n");
}

CLIPX_INLINE shard_writer::shard_writer(std::string folder, std::uint64_t samples_per_shard)
    : folder_(std::move(folder)), samples_per_shard_(samples_per_shard) {
  expect(samples_per_shard > 0, [&] { return cat(folder_, ": expected at least 1 sample per shard, got 0"); });
  std::error_code problem;
  std::filesystem::create_directories(folder_, problem);
  std::error_code none;
  expect(!problem && std::filesystem::is_directory(folder_, none), error_kind::io,
         [&] { return cat(folder_, ": cannot be made: ", problem ? problem.message() : "a file has that name"); });
}

CLIPX_INLINE void shard_writer::add(const sample& s) {
  if (!shard_) shard_ = std::make_unique<tar_writer>(folder_ + "/" + shard_name(sizes_.size()));
  try {
    shard_->add(s);
  } catch (...) {
    shard_.reset();
    throw;
  }
  if (shard_->samples() == samples_per_shard_) close();
}

CLIPX_INLINE void shard_writer::close() {
  const auto shard = std::move(shard_);
  shard->commit();
  sizes_.emplace_back(shard_name(sizes_.size()), shard->samples());
}

CLIPX_INLINE void shard_writer::finish() {
  if (shard_) close();
  write_sizes(folder_, sizes_);
}

}  // namespace clipx
