// The EXIF orientation of files, and images turned by it.
#pragma once
#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "image-inl.hpp"
#include "tiff_directory-inl.hpp"

namespace clipx::detail {

/// The orientation in EXIF data, which are a TIFF file without an image; 1 where there is none.
inline int exif_orientation(std::span<const std::byte> exif) {
  if (exif.size() >= 6 && std::memcmp(exif.data(), "Exif\0\0", 6) == 0) exif = exif.subspan(6);
  const tiff_directory first(exif);
  const auto value = first.number(274, 1);
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

inline std::size_t big_endian_of(std::span<const std::byte> file, std::size_t at, std::size_t n) {
  std::size_t v = 0;
  for (std::size_t i = 0; i < n; ++i) v = v << 8 | static_cast<std::size_t>(file[at + i]);
  return v;
}

/// Of the first APP1 segment with EXIF before the scan.
inline int jpeg_orientation(std::span<const std::byte> file) {
  for (std::size_t at = 2; at + 4 <= file.size();) {
    if (file[at] != std::byte{0xff}) {  // bytes between segments are skipped, as by Pillow
      ++at;
      continue;
    }
    const auto marker = static_cast<unsigned>(file[at + 1]);
    if (marker == 0xff) {
      ++at;
      continue;
    }
    if (marker == 0xda || marker == 0xd9) return 1;
    if (marker == 0 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
      continue;
    }
    const std::size_t length = big_endian_of(file, at + 2, 2);
    if (length < 2 || length > file.size() - at - 2) return 1;
    const auto body = file.subspan(at + 4, length - 2);
    if (marker == 0xe1 && body.size() >= 6 && std::memcmp(body.data(), "Exif\0\0", 6) == 0) return exif_orientation(body);
    at += 2 + length;
  }
  return 1;
}

inline int png_orientation(std::span<const std::byte> file) {
  for (std::size_t at = 8; at + 12 <= file.size();) {
    const std::size_t length = big_endian_of(file, at, 4);
    if (length > file.size() - at - 12) return 1;
    if (std::memcmp(file.data() + at + 4, "eXIf", 4) == 0) return exif_orientation(file.subspan(at + 8, length));
    at += 12 + length;
  }
  return 1;
}

inline int webp_orientation(std::span<const std::byte> file) {
  for (std::size_t at = 12; at + 8 <= file.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length |= static_cast<std::size_t>(file[at + 4 + i]) << (8 * i);
    if (length > file.size() - at - 8) return 1;
    if (std::memcmp(file.data() + at, "EXIF", 4) == 0) return exif_orientation(file.subspan(at + 8, length));
    at += 8 + length + length % 2;
  }
  return 1;
}

/// The image that is meant by one stored with this orientation (EXIF 2.32, tag 274).
inline image oriented(image p, int orientation) {
  if (orientation < 2 || orientation > 8) return p;
  const bool across = orientation >= 5;                                                              // rows become columns
  const bool mirror = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;  // from right to left
  const bool flip = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;    // from the bottom up
  image out = make_image(p.mode, across ? p.height : p.width, across ? p.width : p.height);
  out.palette = p.palette;
  out.transparency = p.transparency;
  out.key = p.key;
  const dim bands = p.bands();
  for (dim y = 0; y < out.height; ++y)
    for (dim x = 0; x < out.width; ++x) {
      const dim column = mirror ? out.width - 1 - x : x, line = flip ? out.height - 1 - y : y;
      std::copy_n(p.row(across ? column : line) + (across ? line : column) * bands, bands, out.row(y) + x * bands);
    }
  return out;
}

}  // namespace clipx::detail
