// Definitions of decode.hpp.
#pragma once
#include <cstring>
#include <memory>

#include "../core/error.hpp"
#include "../io/file.hpp"
#include "decode.hpp"
#include "jpeg-inl.hpp"
#include "png-inl.hpp"
#include "stb-inl.hpp"

namespace clipx {
namespace detail {

/// What stb_image reads; alpha stays where the file has it.
inline image decode_stb(std::span<const std::byte> file, const std::string& name, dim most_pixels) {
  const auto* data = reinterpret_cast<const unsigned char*>(file.data());
  const int size = static_cast<int>(std::min<std::size_t>(file.size(), 0x7fffffff));
  int w = 0, h = 0, bands = 0;
  const auto bad = [&] {
    const char* why = stbi_failure_reason();
    fail(cat(name,
             ": damaged picture, or a format that is not read (read are PNG, JPEG, BMP, GIF, PPM, PGM): ", why ? why : "unknown"));
  };
  if (!stbi_info_from_memory(data, size, &w, &h, &bands)) bad();
  expect(w > 0 && h > 0 && w <= most_pixels / h,
         [&] { return cat(name, ": ", w, " x ", h, " pixels; expected 1 to ", most_pixels); });
  expect(static_cast<dim>(w) * h <= static_cast<dim>(file.size()) * 1024 + 65536,
         [&] { return cat(name, ": damaged picture: ", file.size(), " bytes cannot hold ", w, " x ", h, " pixels"); });
  const std::unique_ptr<unsigned char, void (*)(void*)> pixels(stbi_load_from_memory(data, size, &w, &h, &bands, 0),
                                                               stbi_image_free);
  if (!pixels) bad();
  constexpr pixel_mode modes[] = {pixel_mode::gray, pixel_mode::gray_alpha, pixel_mode::rgb, pixel_mode::rgba};
  image out = make_image(modes[bands - 1], w, h);
  std::copy_n(pixels.get(), out.data.size(), out.data.begin());
  // BMP of 32 bits without masks (compression 0): Pillow takes the fourth byte for padding.
  const bool padded = bands == 4 && size > 34 && data[0] == 'B' && data[1] == 'M' && data[14] >= 40 && data[30] == 0;
  return padded ? to_rgb(out) : out;
}

inline bool starts_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}
}  // namespace detail

CLIPX_INLINE image decode_image(std::span<const std::byte> file, const std::string& name) {
  constexpr dim most_pixels = 178'956'970;
  expect(!file.empty(), [&] { return cat(name, ": expected a picture, got an empty file"); });
  if (detail::starts_with(file, "\x89PNG\r\n\x1a\n")) return detail::png(name).decode(file, most_pixels);
#ifdef CLIPX_HAS_JPEG
  if (detail::starts_with(file, "\xff\xd8")) return detail::decode_jpeg(file, name, most_pixels);
#endif
  if (detail::starts_with(file, "RIFF") && file.size() > 12 && std::memcmp(file.data() + 8, "WEBP", 4) == 0)
    fail(cat(name, ": WebP pictures are not read; convert it to PNG or JPEG"));
  return detail::decode_stb(file, name, most_pixels);
}

CLIPX_INLINE image read_image(const std::string& path) {
  const auto file = mapped_file::open(path);
  return decode_image(file.bytes(), path);
}

CLIPX_INLINE std::string_view jpeg_decoder() {
#if defined(CLIPX_HAS_JPEG) && defined(LIBJPEG_TURBO_VERSION)
#define CLIPX_TEXT_OF(x) #x
#define CLIPX_TEXT(x) CLIPX_TEXT_OF(x)
  return "libjpeg-turbo " CLIPX_TEXT(LIBJPEG_TURBO_VERSION);
#undef CLIPX_TEXT
#undef CLIPX_TEXT_OF
#elif defined(CLIPX_HAS_JPEG)
  return "libjpeg";
#else
  return "stb_image";
#endif
}

}  // namespace clipx
