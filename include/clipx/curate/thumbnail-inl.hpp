// Thumbnails as data: URLs, by stb_image_write's JPEG encoder. Functions of stb are static, as in image/stb-inl.hpp.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "../core/error.hpp"
#include "../image/decode.hpp"
#include "../image/resize.hpp"

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace clipx::detail {

CLIPX_INLINE std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t j = 0; j < 3; ++j) three = three << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j) out += i + j <= bytes.size() ? digits[three >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

/// For an image file, with a long side of at most `side` pixels. Errors: those of decode_image; a side that would be 0 is 1.
CLIPX_INLINE std::string thumbnail_url(std::span<const std::byte> file, const std::string& name, dim side = 144) {
  const image rgb = to_rgb(decode_image(file, name));
  const double scale = std::min(1.0, static_cast<double>(side) / static_cast<double>(std::max(rgb.width, rgb.height)));
  const auto scaled = [&](dim n) { return std::max<dim>(1, static_cast<dim>(static_cast<double>(n) * scale)); };
  const dim width = scaled(rgb.width), height = scaled(rgb.height);
  const image small = resize(rgb, width, height, filter::bicubic, {0, 0, width, height});
  std::string jpeg;
  const auto append = [](void* to, void* data, int n) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<std::size_t>(n));
  };
  stbi_write_jpg_to_func(append, &jpeg, static_cast<int>(width), static_cast<int>(height), 3, small.data.data(), 80);
  return "data:image/jpeg;base64," + base64(jpeg);
}

}  // namespace clipx::detail
