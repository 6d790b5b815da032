#pragma once
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "../image/stb-inl.hpp"
#include "gunzip.hpp"

namespace clipx::detail {

CLIPX_INLINE std::string read_file(const std::string& path, std::size_t limit) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             [](std::FILE* f) { return std::fclose(f); });
  expect(file != nullptr, [&] { return cat(path, ": cannot open: ", std::strerror(errno)); });
  std::string out;
  for (std::size_t step = std::size_t(1) << 16;;) {
    const std::size_t had = out.size();
    out.resize(had + step);
    const std::size_t got = std::fread(out.data() + had, 1, step, file.get());
    out.resize(had + got);
    expect(std::ferror(file.get()) == 0, [&] { return cat(path, ": cannot read: ", std::strerror(errno)); });
    expect(out.size() <= limit, [&] { return cat(path, ": larger than ", limit, " bytes"); });
    if (got < step) return out;
    step = out.size();
  }
}

CLIPX_INLINE bool file_exists(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file) std::fclose(file);
  return file != nullptr;
}

CLIPX_INLINE std::uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::array<std::uint32_t, 256>, 8> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = (c & 1 ? 0xEDB88320U : 0U) ^ c >> 1;
      t[0][i] = c;
    }
    for (std::size_t s = 1; s < 8; ++s)
      for (std::size_t i = 0; i < 256; ++i) t[s][i] = t[s - 1][i] >> 8 ^ t[0][t[s - 1][i] & 0xFF];
    return t;
  }();
  const auto byte = [&](std::size_t i) { return std::uint32_t(static_cast<unsigned char>(bytes[i])); };
  std::uint32_t crc = 0xFFFFFFFFU;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint32_t next = 0;
    for (std::size_t k = 0; k < 8; ++k) next ^= table[7 - k][(byte(i + k) ^ (k < 4 ? crc >> 8 * k : 0)) & 0xFF];
    crc = next;
  }
  for (; i < bytes.size(); ++i) crc = table[0][(crc ^ byte(i)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

CLIPX_INLINE std::string gunzip(std::string_view bytes, const std::string& name, std::size_t limit) {
  const auto byte = [&](std::size_t i) { return std::uint32_t(static_cast<unsigned char>(bytes[i])); };
  const auto word = [&](std::size_t i) { return byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24; };
  if (bytes.size() < 2 || byte(0) != 0x1F || byte(1) != 0x8B) return std::string(bytes);
  const auto bad = [&](std::string_view what) { fail(cat(name, ": not a readable gzip file: ", what)); };
  if (bytes.size() < 18) bad("truncated");
  if (byte(2) != 8) bad("unknown compression method");
  const std::uint32_t flags = byte(3);
  if (flags & 0xE0) bad("reserved flags are set");
  std::size_t at = 10;
  const std::size_t end = bytes.size() - 8;
  if (flags & 4) at += 2 + (byte(at) | byte(at + 1) << 8);  // extra field: at + 1 = 11 is inside, as the size is 18 at least
  for (const std::uint32_t text : {8U, 16U})                // file name, comment: each ends with a zero
    if (flags & text) {
      const auto zero = at < end ? bytes.find('\0', at) : std::string_view::npos;
      if (zero == std::string_view::npos) bad("truncated header");
      at = zero + 1;
    }
  if (flags & 2) at += 2;  // the header's CRC
  if (at >= end) bad("truncated header");
  const std::size_t size = word(end + 4), packed = end - at;
  if (size > limit) bad(cat("holds ", size, " bytes, more than ", limit));
  if (size / 1032 > packed)
    bad(cat("says that it holds ", size, " bytes, which ", packed, " packed bytes cannot"));  // deflate's bound
  std::string out(size + 1, '\0');  // one byte more than said shows a longer text
  const int got =
      stbi_zlib_decode_noheader_buffer(out.data(), static_cast<int>(out.size()), bytes.data() + at, static_cast<int>(packed));
  if (got < 0) bad("damaged data");
  out.resize(static_cast<std::size_t>(got));
  if (out.size() != size) bad(cat("expected ", size, " bytes, got ", out.size(), " (several members are not supported)"));
  if (crc32(out) != word(end)) bad("its checksum does not match");
  return out;
}

CLIPX_INLINE std::string gzip_stored(std::string_view text) {
  std::string out("\x1F\x8B\x08\0\0\0\0\0\0\xFF", 10);  // deflate, no flags, no time, no system
  const auto put = [&](std::size_t n, int bytes) {
    for (; bytes > 0; --bytes, n >>= 8) out += static_cast<char>(static_cast<unsigned char>(n & 0xFF));
  };
  for (std::size_t at = 0, n; at < text.size() || at == 0; at += n) {
    n = std::min<std::size_t>(text.size() - at, 0xFFFF);
    put(at + n == text.size(), 1);
    put(n, 2);
    put(~n, 2);
    out.append(text, at, n);
    if (n == 0) break;
  }
  put(crc32(text), 4);
  put(text.size(), 4);
  return out;
}

}  // namespace clipx::detail
