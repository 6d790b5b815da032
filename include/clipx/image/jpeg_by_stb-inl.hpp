// Decodes JPEG by stb_image, where libjpeg is missing.
#pragma once
#ifndef CLIPX_HAS_JPEG
#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <string>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"
#include "stb-inl.hpp"

namespace clipx::detail {

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
      fail(error_kind::unsupported, cat(name, ": unsupported JPEG: ", why));
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

}  // namespace clipx::detail
#endif
