// Files and what Pillow makes of them, as tests/golden/images.py writes them: mode, bytes, palette, transparency, a resize in the
// file's own mode, and what it refuses.
#pragma once
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/resize.hpp>
#include <clipx/io/safetensors.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"

namespace golden_images {

using namespace clipx;
using pixels = std::vector<std::uint8_t>;

inline std::string mode_of(const image& p) {
  constexpr const char* names[] = {"1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16", "I", "F"};
  return cat(names[static_cast<int>(p.mode)], p.transparency ? " transparency" : "");
}

inline std::string hex_of(const pixels& data) {
  std::string out;
  for (auto v : data)
    for (int digit : {v >> 4, v & 15}) out += "0123456789abcdef"[digit];
  return out;
}

/// Resized as Pillow does it, then RGB.
inline pixels small_of(const image& p) { return to_rgb(resize(p, 3, 3, filter::bicubic, {0, 0, 3, 3})).data; }

/// An image whose memory held `value`: a byte that decoding leaves as it was would show.
inline std::optional<image> decode(std::span<const std::byte> file, std::uint8_t value, const decode_options& options = {}) {
  image used = make_image(pixel_mode::palette, 300, 300);
  std::fill(used.data.begin(), used.data.end(), value);
  used.palette.fill(value);
  used.key.fill(value);
  used.transparency = true;
  try {
    return decode_image(file, "some.file", std::move(used), options);
  } catch (const error& e) {
    CHECK_THAT(e.what(), Contains("some.file"));
    return {};
  }
}

/// One file of tests/golden/NAME.safetensors.
struct golden_image {
  std::string name, mode;  // "refused" or Pillow's
  const safetensors* all;
  std::optional<pixels> tensor(const std::string& what) const {
    const auto* t = all->find(name + "/" + what);
    if (!t) return {};
    const auto* data = reinterpret_cast<const std::uint8_t*>(t->data);
    return pixels(data, data + t->bytes);
  }
};

inline safetensors open(const std::string& name) {
  return safetensors::open(std::string(CLIPX_SOURCE_DIR) + "/tests/golden/" + name + ".safetensors");
}

inline void each(const safetensors& all, const std::function<void(const golden_image&)>& f) {
  for (auto& [key, mode] : all.metadata())
    if (key.starts_with("mode.")) f({key.substr(5), mode, &all});
}

struct counts {
  int read = 0, refused = 0;
};

/// Every image of a golden file but those that are to be left out equals Pillow's.
inline counts check(const std::string& golden, const std::function<bool(const std::string& name)>& leave_out) {
  counts out;
  const auto all = open(golden);
  each(all, [&](const golden_image& g) {
    if (leave_out(g.name)) return;
    CAPTURE(g.name);
    const auto file = *g.tensor("file");
    const auto one = decode(std::as_bytes(std::span(file)), 0x55), two = decode(std::as_bytes(std::span(file)), 0xaa);
    CHECK(one.has_value() == (g.mode != "refused"));
    if (g.mode == "refused") ++out.refused;
    if (!one || !two) return;
    ++out.read;
    CHECK(mode_of(*one) == g.mode);
    CHECK(one->data == *g.tensor("bands"));
    CHECK(to_rgb(*one).data == g.tensor("rgb").value_or(to_rgb(*one).data));
    CHECK(small_of(*one) == *g.tensor("small"));
    CHECK(to_rgb_over_white(*one).data == g.tensor("white").value_or(to_rgb(*one).data));
    CHECK(one->data == two->data);
    if (one->mode == pixel_mode::palette) CHECK(one->palette == two->palette);
  });
  return out;
}

}  // namespace golden_images
