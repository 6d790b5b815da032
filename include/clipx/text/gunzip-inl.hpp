#pragma once
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

#include "../io/lfs.hpp"
#include "gunzip.hpp"

namespace clipx::detail {

inline constexpr int gzip_window = 15 + 16;  // a window of 32 KiB; 16 asks zlib for gzip's header and checksum

CLIPX_INLINE std::string read_file(const std::string& path, std::size_t limit) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             [](std::FILE* f) { return std::fclose(f); });
  expect(file != nullptr, system_error_kind(errno), [&] { return cat(path, ": cannot be opened: ", std::strerror(errno)); });
  return read_file(file.get(), path, limit);
}

CLIPX_INLINE std::string read_file(std::FILE* file, const std::string& name, std::size_t limit) {
  std::string out;
  for (std::size_t step = std::size_t(1) << 16;;) {
    const std::size_t had = out.size();
    step = std::min(step, limit + 1 - had);
    out.resize(had + step);
    const std::size_t got = std::fread(out.data() + had, 1, step, file);
    out.resize(had + got);
    expect(std::ferror(file) == 0, error_kind::io, [&] { return cat(name, ": cannot be read: ", std::strerror(errno)); });
    expect(out.size() <= limit, error_kind::unsupported, [&] { return cat(name, ": larger than ", limit, " bytes"); });
    if (got < step) break;
    step = out.size();
  }
  expect_no_lfs_pointer(out, name);
  return out;
}

CLIPX_INLINE bool file_exists(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) return system_error_kind(errno) != error_kind::not_found;  // read_file says why it cannot be read
  std::fclose(file);
  return true;
}

/// For zlib's code of having begun.
inline void expect_begun(int code) {
  if (code == Z_MEM_ERROR) throw std::bad_alloc();
  expect(code == Z_OK, error_kind::unsupported, "zlib: another version than clipx was compiled with");
}

CLIPX_INLINE std::string gunzip(std::string_view bytes, const std::string& name, std::size_t limit) {
  if (!bytes.starts_with("\x1F\x8B")) return std::string(bytes);
  const auto bad = [&](std::string_view what, error_kind kind = error_kind::damaged) {
    fail(kind, cat(name, ": not a readable gzip file: ", what));
  };
  struct inflater {
    z_stream z{};
    inflater() { expect_begun(::inflateInit2(&z, gzip_window)); }
    ~inflater() { ::inflateEnd(&z); }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;
  } stream;
  auto& z = stream.z;
  std::string out;
  for (std::string_view rest = bytes;;) {
    const std::size_t had = out.size(), step = std::clamp(had, std::size_t(1) << 16, std::size_t(1) << 26);
    const auto given = static_cast<uInt>(std::min(rest.size(), std::size_t(1) << 30));
    out.resize(had + step);
    z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(rest.data()));  // zlib only reads it
    z.avail_in = given;
    z.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    z.avail_out = static_cast<uInt>(step);
    const int code = ::inflate(&z, Z_NO_FLUSH);
    rest.remove_prefix(given - z.avail_in);
    out.resize(had + step - z.avail_out);
    if (out.size() > limit) bad(cat("holds more than ", limit, " bytes"), error_kind::unsupported);
    if (code == Z_STREAM_END) {  // end of a member: another may follow, or zeros that pad a block
      const auto next = rest.find_first_not_of('\0');
      if (next == std::string_view::npos) return out;
      rest.remove_prefix(next);
      if (!rest.starts_with("\x1F\x8B")) bad("other data after its end");
      ::inflateReset(&z);
    } else if (code == Z_BUF_ERROR || (code == Z_OK && rest.empty() && z.avail_out > 0)) {
      bad("truncated");
    } else if (code == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (code != Z_OK) {
      bad(z.msg ? z.msg : "damaged data");
    }
  }
}

CLIPX_INLINE std::string gzip(std::string_view text) {
  z_stream z{};
  expect_begun(::deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY));
  std::string out(::deflateBound(&z, static_cast<uLong>(text.size())), '\0');
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int code = ::deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  ::deflateEnd(&z);
  expect(code == Z_STREAM_END, "zlib: cannot compress here");
  return out;
}

}  // namespace clipx::detail
