// One image format: the bytes after its signature. What is decoded is as large as it says.
#pragma once
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

inline int decode_after(std::string_view signature, const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  std::string file(signature);
  file.append(reinterpret_cast<const char*>(data), size);
  try {
    const image img = decode_image(std::as_bytes(std::span(file)), "fuzz");
    const dim pixels = img.width * img.height;
    if (pixels < 1 || img.data.size() != static_cast<std::size_t>(pixels * img.bands())) std::abort();
  } catch (const error&) {}
  return 0;
}
