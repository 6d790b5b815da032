// Decodes PNM with Pillow's pixels: bitmaps, graymaps and pixmaps, as text or bytes (P1 to P6), and gray PFM (Pf). Levels are
// scaled to 0..255; those of a graymap with more than 255 levels to 0..65535, in mode int32.
#pragma once
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

inline bool pnm_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
inline bool is_pnm(std::span<const std::byte> file) {
  const auto at = [&](std::size_t i) { return static_cast<char>(file[i]); };
  return file.size() >= 3 && at(0) == 'P' && ((at(1) >= '1' && at(1) <= '6') || at(1) == 'f') && pnm_space(at(2));
}

class pnm {
 public:
  pnm(std::span<const std::byte> file, const std::string& file_name)
      : text_(reinterpret_cast<const char*>(file.data()), file.size()), name_(file_name) {}

  image decode(dim most_pixels, image memory) {
    kind_ = text_[1];
    at_ = 3;
    const dim w = number(), h = number();
    expect_pixels(w, h, most_pixels, name_);
    if (kind_ == 'f') return floats(w, h);
    const bool bits = kind_ == '1' || kind_ == '4', color = kind_ == '3' || kind_ == '6', text = kind_ <= '3';
    if (!bits) most_ = number();
    if (!bits && (most_ < 1 || most_ > 65535)) bad(cat("levels to ", most_, "; expected 1 to 65535"));
    const bool wide = !bits && !color && most_ > 255;
    const auto mode = bits ? pixel_mode::bit : color ? pixel_mode::rgb : wide ? pixel_mode::int32 : pixel_mode::gray;
    expect_room(kind_ == '4' ? (w + 7) / 8 * h : text ? w * h : w * h * (color ? 3 : 1) * (most_ > 255 ? 2 : 1));
    image out = make_image(mode, w, h, std::move(memory));
    if (kind_ == '4') read_bits(out);
    else if (kind_ == '1') read_digits(out);
    else read_levels(out, text, color ? 3 * w * h : w * h);
    return out;
  }

 private:
  [[noreturn]] void bad(const std::string& what) const { fail(error_kind::damaged, cat(name_, ": damaged PNM: ", what)); }
  std::size_t left() const { return text_.size() - std::min(text_.size(), at_); }
  /// So many bytes at the least hold the pixels.
  void expect_room(dim bytes) const {
    if (left() < static_cast<std::size_t>(bytes)) bad(cat(left(), " bytes of pixels; expected ", bytes));
  }

  /// Up to the end of a comment's line.
  void skip_comment() {
    while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    ++at_;
  }
  /// The next word of at most ten characters, and the whitespace character after it. Comments are as if they were not there.
  std::string word() {
    std::string out;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        skip_comment();
        continue;
      }
      ++at_;
      if (!pnm_space(c)) out += c;
      else if (!out.empty()) break;
      if (out.size() > 10) bad(cat("a number of more than ten digits: ", out, ".."));
    }
    return out;
  }
  /// Whole and not negative.
  dim number() {
    const auto digits = word();
    if (digits.empty()) bad("it is cut short");
    dim value = 0;
    const auto end = std::from_chars(digits.data() + (digits[0] == '+'), digits.data() + digits.size(), value);
    if (end.ec != std::errc{} || end.ptr != digits.data() + digits.size() || value < 0)
      bad(cat("expected a number, got \"", digits, "\""));
    return value;
  }

  /// Level v of `most_`, scaled to 0 .. top.
  std::int32_t scaled(dim v, double top) const {
    const double level = std::nearbyint(static_cast<double>(v) / static_cast<double>(most_) * top);
    return static_cast<std::int32_t>(std::min(level, top));
  }
  void read_levels(image& out, bool text, dim n) {
    const bool wide = out.mode == pixel_mode::int32, two = most_ > 255;
    const double top = wide ? 65535 : 255;
    auto* to = out.data.data();
    const auto byte = [&] { return static_cast<dim>(static_cast<unsigned char>(text_[at_++])); };
    for (dim i = 0; i < n; ++i) {
      const dim high = text ? number() : byte(), v = !text && two ? high * 256 + byte() : high;
      if (text && v > most_) bad(cat("level ", v, "; expected 0 to ", most_));
      const auto level = scaled(v, top);
      if (wide) std::memcpy(to + 4 * i, &level, 4);
      else to[i] = static_cast<std::uint8_t>(level);
    }
  }

  /// A bit for each pixel, 1 is black; rows begin with a byte.
  void read_bits(image& out) {
    for (dim y = 0; y < out.height; ++y, at_ += static_cast<std::size_t>((out.width + 7) / 8))
      for (dim x = 0; x < out.width; ++x) {
        const auto byte = static_cast<unsigned char>(text_[at_ + static_cast<std::size_t>(x / 8)]);
        out.row(y)[x] = byte >> (7 - x % 8) & 1 ? std::uint8_t{0} : std::uint8_t{255};
      }
  }
  /// A digit for each pixel, with or without whitespace between them.
  void read_digits(image& out) {
    for (auto& v : out.data) {
      while (at_ < text_.size() && (pnm_space(text_[at_]) || text_[at_] == '#')) {
        if (text_[at_] == '#') skip_comment();
        else ++at_;
      }
      if (left() == 0) bad("it is cut short");
      const char c = text_[at_++];
      if (c != '0' && c != '1') bad(cat("expected 0 or 1, got byte ", static_cast<int>(static_cast<unsigned char>(c))));
      v = c == '1' ? std::uint8_t{0} : std::uint8_t{255};
    }
  }

  /// PFM: 32-bit floats from the bottom up; a negative scale says that they are little-endian.
  image floats(dim w, dim h) {
    const auto scale_text = word();
    double scale = 0;
    const auto end = std::from_chars(scale_text.data(), scale_text.data() + scale_text.size(), scale);
    if (end.ec != std::errc{} || end.ptr != scale_text.data() + scale_text.size() || scale == 0 || !std::isfinite(scale))
      bad(cat("expected a scale that is not 0, got \"", scale_text, "\""));
    expect_room(4 * w * h);
    image out = make_image(pixel_mode::float32, w, h);
    for (dim y = h - 1; y >= 0; --y)
      for (dim i = 0; i < w; ++i, at_ += 4) {
        std::uint32_t bits = 0;
        for (std::size_t b = 0; b < 4; ++b)
          bits |= static_cast<std::uint32_t>(static_cast<unsigned char>(text_[at_ + b])) << 8 * (scale < 0 ? b : 3 - b);
        std::memcpy(out.row(y) + 4 * i, &bits, 4);
      }
    return out;
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
  char kind_ = 0;
  dim most_ = 1;
};

}  // namespace clipx::detail
