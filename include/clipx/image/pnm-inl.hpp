// Decodes PGM and PPM (P5, P6) with Pillow's pixels: levels scaled to 0..255, comments allowed in the header.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

inline bool pnm_space(std::byte b) { return b == std::byte{' '} || (b >= std::byte{'\t'} && b <= std::byte{'\r'}); }
inline bool is_pnm(std::span<const std::byte> file) {
  return file.size() >= 3 && file[0] == std::byte{'P'} && (file[1] == std::byte{'5'} || file[1] == std::byte{'6'}) &&
         pnm_space(file[2]);
}

inline image decode_pnm(std::span<const std::byte> file, const std::string& name, dim most_pixels) {
  const auto bad = [&](const std::string& what) { fail(error_kind::damaged, cat(name, ": damaged PNM: ", what)); };
  std::size_t at = 2;
  // A number and the single whitespace character after it.
  const auto number = [&] {
    dim value = 0, digits = 0;
    for (; at < file.size(); ++at) {
      const char c = static_cast<char>(file[at]);
      if (c >= '0' && c <= '9') {
        if (++digits > 9) bad("a number of ten digits in its header");
        value = value * 10 + (c - '0');
      } else if (c == '#') {
        while (at + 1 < file.size() && file[at] != std::byte{'\n'} && file[at] != std::byte{'\r'}) ++at;
      } else if (pnm_space(file[at])) {
        if (digits > 0) break;
      } else {
        bad(cat("expected a number in its header, got byte ", static_cast<int>(file[at])));
      }
    }
    if (at++ >= file.size()) bad("its header is cut short");
    return value;
  };
  const dim w = number(), h = number(), most = number();
  expect_pixels(w, h, most_pixels, name);
  const bool of_two_bytes = most >= 256 && most < 65536;
  expect(most > 0 && most < 256, of_two_bytes ? error_kind::unsupported : error_kind::damaged,
         [&] { return cat(name, ": PNM with levels to ", most, "; expected 1 to 255"); });
  const auto mode = file[1] == std::byte{'5'} ? pixel_mode::gray : pixel_mode::rgb;
  const std::size_t size = static_cast<std::size_t>(w * h) * (mode == pixel_mode::gray ? 1 : 3);
  if (file.size() - at < size) bad(cat(file.size() - at, " bytes of pixels; expected ", size));
  image out = make_image(mode, w, h);
  std::transform(file.begin() + static_cast<std::ptrdiff_t>(at), file.begin() + static_cast<std::ptrdiff_t>(at + size),
                 out.data.begin(), [&](std::byte b) {
                   const double level = std::nearbyint(static_cast<double>(b) / static_cast<double>(most) * 255);
                   return static_cast<std::uint8_t>(std::min(level, 255.0));
                 });
  return out;
}

}  // namespace clipx::detail
