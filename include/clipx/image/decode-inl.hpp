// Definitions of decode.hpp.
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "../core/error.hpp"
#include "../io/file.hpp"
#include "../io/lfs.hpp"
#include "bmp-inl.hpp"
#include "decode.hpp"
#include "expect_pixels.hpp"
#include "gif-inl.hpp"
#include "jpeg-inl.hpp"
#include "png-inl.hpp"
#include "pnm-inl.hpp"
#ifndef CLIPX_HAS_JPEG
#include "stb-inl.hpp"
#endif

namespace clipx {
namespace detail {

#ifndef CLIPX_HAS_JPEG
/// Whether a Huffman table of a JPEG has more than the 256 possible symbols, which stb_image does not check. Headers are parsed
/// as stb_image does; after the first scan, every table that it might reach is checked.
inline bool long_jpeg_table(std::span<const std::byte> file) {
  const auto byte = [&](std::size_t i) { return i < file.size() ? static_cast<std::size_t>(file[i]) : 0; };
  if (byte(0) != 0xff) return false;
  bool scanned = false;
  for (std::size_t i = 0; i < file.size();) {
    if (byte(i++) != 0xff) continue;
    while (byte(i) == 0xff) ++i;
    const std::size_t marker = byte(i++), length = byte(i) << 8 | byte(i + 1), end = i + length;
    for (std::size_t at = i + 2; marker == 0xc4 && at < end && at < file.size();) {
      if (byte(at) >> 4 > 1 || (byte(at) & 15) > 3) break;  // stb_image rejects it
      std::size_t symbols = 0;
      for (std::size_t k = 1; k <= 16; ++k) symbols += byte(at + k);
      if (symbols > 256) return true;
      at += 17 + symbols;
    }
    scanned = scanned || marker == 0xda;
    const bool bare = marker == 0 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd9);
    if (!scanned && !bare) i = std::max(i, end);
  }
  return false;
}

inline image decode_jpeg_by_stb(std::span<const std::byte> file, const std::string& name, dim most_pixels, image memory) {
  const auto* data = reinterpret_cast<const unsigned char*>(file.data());
  const int size = static_cast<int>(std::min<std::size_t>(file.size(), 0x7fffffff));
  int w = 0, h = 0, bands = 0;
  const auto bad = [&] {
    const std::string why = stbi_failure_reason() ? stbi_failure_reason() : "unknown";
    if (why == "outofmem") throw std::bad_alloc();
    if (why == "only 8-bit" || why == "no header height" || why == "too large")
      fail(error_kind::unsupported, cat(name, ": JPEG that is not read: ", why));
    fail(error_kind::damaged, cat(name, ": damaged JPEG: ", why));
  };
  expect(!long_jpeg_table(file), error_kind::damaged,
         [&] { return cat(name, ": damaged JPEG: a Huffman table of more than 256 symbols"); });
  if (!stbi_info_from_memory(data, size, &w, &h, &bands)) bad();
  expect_pixels(w, h, most_pixels, name);
  expect(static_cast<dim>(w) * h <= static_cast<dim>(file.size()) * 1024 + 65536, error_kind::damaged,
         [&] { return cat(name, ": damaged JPEG: ", file.size(), " bytes cannot hold ", w, " x ", h, " pixels"); });
  const std::unique_ptr<unsigned char, void (*)(void*)> pixels(stbi_load_from_memory(data, size, &w, &h, &bands, 0),
                                                               stbi_image_free);
  if (!pixels) bad();
  image out = make_image(bands == 1 ? pixel_mode::gray : pixel_mode::rgb, w, h, std::move(memory));
  std::copy_n(pixels.get(), out.data.size(), out.data.begin());
  return out;
}
#endif

inline bool starts_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}
}  // namespace detail

CLIPX_INLINE image decode_image(std::span<const std::byte> file, const std::string& name, image memory) {
  constexpr dim most_pixels = 178'956'970;
  expect(!file.empty(), error_kind::damaged, [&] { return cat(name, ": expected an image, got an empty file"); });
  detail::expect_no_lfs_pointer(file, name);
  if (detail::starts_with(file, "\x89PNG\r\n\x1a\n")) return detail::png(name).decode(file, most_pixels, std::move(memory));
  if (detail::is_pnm(file)) return detail::decode_pnm(file, name, most_pixels);
  if (detail::starts_with(file, "\xff\xd8"))
#ifdef CLIPX_HAS_JPEG
    return detail::decode_jpeg(file, name, most_pixels, std::move(memory));
#else
    return detail::decode_jpeg_by_stb(file, name, most_pixels, std::move(memory));
#endif
  if (detail::starts_with(file, "GIF87a") || detail::starts_with(file, "GIF89a"))
#ifdef CLIPX_HAS_GIF
    return detail::gif_reader(file, name).decode(most_pixels, std::move(memory));
#else
    fail(error_kind::unsupported, cat(name, ": GIF images are not read: clipx was built without giflib (Debian: libgif-dev)"));
#endif
  if (detail::bmp::is_bmp(file)) return detail::bmp(file, name).decode(most_pixels, std::move(memory));
  if (detail::starts_with(file, "RIFF") && file.size() > 12 && std::memcmp(file.data() + 8, "WEBP", 4) == 0)
    fail(error_kind::unsupported, cat(name, ": WebP images are not read; convert it to PNG or JPEG"));
  fail(error_kind::unsupported, cat(name, ": not an image, or a format that is not read (read are PNG, JPEG, BMP, GIF, PPM, PGM)"));
}

CLIPX_INLINE image read_image(const std::string& path) {
  const auto file = mapped_file::open(path);
  auto out = decode_image(file.bytes(), path);
  file.expect_whole();
  return out;
}

#define CLIPX_TEXT_OF(x) #x
#define CLIPX_TEXT(x) CLIPX_TEXT_OF(x)
CLIPX_INLINE std::string_view jpeg_decoder() {
#if defined(CLIPX_HAS_JPEG) && defined(LIBJPEG_TURBO_VERSION)
  return "libjpeg-turbo " CLIPX_TEXT(LIBJPEG_TURBO_VERSION);
#elif defined(CLIPX_HAS_JPEG)
  return "libjpeg";
#else
  return "stb_image";
#endif
}

CLIPX_INLINE std::string_view gif_decoder() {
#ifdef CLIPX_HAS_GIF
  return "giflib " CLIPX_TEXT(GIFLIB_MAJOR) "." CLIPX_TEXT(GIFLIB_MINOR) "." CLIPX_TEXT(GIFLIB_RELEASE);
#else
  return "none";
#endif
}
#undef CLIPX_TEXT
#undef CLIPX_TEXT_OF

}  // namespace clipx
