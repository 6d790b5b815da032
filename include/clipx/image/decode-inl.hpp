// Definitions of decode.hpp.
#pragma once
#include <array>
#include <cstring>
#include <utility>

#include "../core/error.hpp"
#include "../io/file.hpp"
#include "../io/lfs.hpp"
#include "bmp-inl.hpp"
#include "decode.hpp"
#include "gif-inl.hpp"
#include "heif-inl.hpp"
#include "jpeg-inl.hpp"
#include "jpeg_by_stb-inl.hpp"
#include "jxl-inl.hpp"
#include "orientation-inl.hpp"
#include "png-inl.hpp"
#include "pnm-inl.hpp"
#include "tiff-inl.hpp"
#include "webp-inl.hpp"

namespace clipx {
namespace detail {

inline bool starts_with(std::span<const std::byte> file, std::string_view magic, std::size_t at = 0) {
  return file.size() >= at + magic.size() && std::memcmp(file.data() + at, magic.data(), magic.size()) == 0;
}

/// The index of each format in image_formats().
enum class format { jpeg, png, webp, gif, bmp, pnm, tiff, heic, avif, jxl, none };

/// HEIC and AVIF are told apart by their brands alone; what names both counts as HEIC.
inline format heif_format(std::span<const std::byte> file) {
  if (!starts_with(file, "ftyp", 4)) return format::none;
  const std::size_t size = big_endian(file.data()), end = std::min({file.size(), size, std::size_t{256}});
  bool avif = false;
  for (std::size_t at = 8; at + 4 <= end; at += 4) {
    for (std::string_view brand : {"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"})
      if (starts_with(file, brand, at)) return format::heic;
    avif = avif || starts_with(file, "avif", at) || starts_with(file, "avis", at);
  }
  if (avif) return format::avif;
  for (std::string_view brand : {"mif1", "msf1", "heif", "mif2"})
    if (starts_with(file, brand, 8)) return format::heic;
  return format::none;
}

inline format format_of(std::span<const std::byte> file) {
  if (starts_with(file, "\x89PNG\r\n\x1a\n")) return format::png;
  if (is_pnm(file)) return format::pnm;
  if (starts_with(file, "\xff\xd8")) return format::jpeg;
  if (starts_with(file, "GIF87a") || starts_with(file, "GIF89a")) return format::gif;
  if (bmp::is_bmp(file)) return format::bmp;
  if (starts_with(file, "RIFF") && starts_with(file, "WEBP", 8)) return format::webp;
  for (std::string_view magic :
       {std::string_view("II*\0", 4), std::string_view("MM\0*", 4), std::string_view("II+\0", 4), std::string_view("MM\0+", 4)})
    if (starts_with(file, magic)) return format::tiff;
  if (starts_with(file, "\xff\x0a") || starts_with(file, std::string_view("\0\0\0\x0cJXL \r\n\x87\n", 12))) return format::jxl;
  return heif_format(file);
}

inline image decode_as(format f, std::span<const std::byte> file, const std::string& name, image memory, dim most_pixels) {
  switch (f) {
    case format::jpeg:
#ifdef CLIPX_HAS_JPEG
      return decode_jpeg(file, name, most_pixels, std::move(memory));
#else
      return decode_jpeg_by_stb(file, name, most_pixels, std::move(memory));
#endif
    case format::png:
      return png(name).decode(file, most_pixels, std::move(memory));
    case format::bmp:
      return bmp(file, name).decode(most_pixels, std::move(memory));
    case format::pnm:
      return pnm(file, name).decode(most_pixels, std::move(memory));
#ifdef CLIPX_HAS_GIF
    case format::gif:
      return gif_reader(file, name).decode(most_pixels, std::move(memory));
#endif
#ifdef CLIPX_HAS_WEBP
    case format::webp:
      return webp(file, name).decode(most_pixels, std::move(memory));
#endif
#ifdef CLIPX_HAS_TIFF
    case format::tiff:
      return tiff(file, name).decode(most_pixels, std::move(memory));
#endif
#ifdef CLIPX_HAS_HEIF
    case format::heic:
    case format::avif:
      return heif(file, name).decode(most_pixels, std::move(memory));
#endif
#ifdef CLIPX_HAS_JXL
    case format::jxl:
      return jxl(file, name).decode(most_pixels, std::move(memory));
#endif
    default:
      break;
  }
  const auto& missing = image_formats()[static_cast<std::size_t>(f)];
  fail(error_kind::unsupported, cat(name, ": this build of clipx cannot decode ", missing.name, ": build with ", missing.package));
}

/// The names of all formats but those that this build lacks.
inline std::string read_formats() {
  std::string out;
  for (auto& f : image_formats())
    if (!f.decoder.empty()) out += cat(out.empty() ? "" : ", ", f.name);
  return out;
}
}  // namespace detail

CLIPX_INLINE image decode_image(std::span<const std::byte> file, const std::string& name, image memory, const decode_options& o) {
  expect(!file.empty(), error_kind::damaged, [&] { return cat(name, ": expected an image, got an empty file"); });
  detail::expect_no_lfs_pointer(file, name);
  const auto f = detail::format_of(file);
  expect(f != detail::format::none, error_kind::unsupported,
         [&] { return cat(name, ": not an image, or a format that is not read (supported: ", detail::read_formats(), ")"); });
  image out = detail::decode_as(f, file, name, std::move(memory), o.most_pixels);
  if (o.exif_orientation) {
    int orientation = 1;
    if (f == detail::format::jpeg) orientation = detail::jpeg_orientation(file);
    if (f == detail::format::png) orientation = detail::png_orientation(file);
    if (f == detail::format::webp) orientation = detail::webp_orientation(file);
    out = detail::oriented(std::move(out), orientation);
  }
  return out;
}

CLIPX_INLINE image read_image(const std::string& path, const decode_options& o) {
  const auto file = mapped_file::open(path);
  auto out = decode_image(file.bytes(), path, {}, o);
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

CLIPX_INLINE std::span<const image_format> image_formats() {
  static const std::string webp_version = detail::webp_version(), heif_version = detail::heif_version(),
                           tiff_version = detail::tiff_version(), jxl_version = detail::jxl_version();
  static const std::array<image_format, 10> formats{{
      {"JPEG", jpeg_decoder(), "libjpeg-turbo (Debian libjpeg-dev)", ".jpg .jpeg .jpe .jfif"},
      {"PNG", "clipx", "", ".png .apng"},
      {"WebP", webp_version, "libwebp (Debian libwebp-dev)", ".webp"},
      {"GIF", gif_decoder() == "none" ? std::string_view() : gif_decoder(), "giflib (Debian libgif-dev)", ".gif"},
      {"BMP", "clipx", "", ".bmp .dib"},
      {"PNM", "clipx", "", ".ppm .pgm .pbm .pnm .pfm"},
      {"TIFF", tiff_version, "libtiff 4.5 or later (Debian libtiff-dev)", ".tif .tiff"},
      {"HEIC", heif_version, "libheif (Debian libheif-dev)", ".heic .heif .hif"},
      {"AVIF", heif_version, "libheif (Debian libheif-dev)", ".avif"},
      {"JPEG XL", jxl_version, "libjxl (Debian libjxl-dev)", ".jxl"},
  }};
  return formats;
}
#undef CLIPX_TEXT
#undef CLIPX_TEXT_OF

}  // namespace clipx
