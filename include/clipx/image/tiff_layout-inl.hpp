// What the tags of a TIFF file say about its pixels, and which of Pillow's modes that is (the table OPEN_INFO of its
// TiffImagePlugin).
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "../core/error.hpp"
#include "image-inl.hpp"
#include "tiff_directory-inl.hpp"

namespace clipx::detail {

struct tiff_layout {
  enum photometrics { white_is_zero, black_is_zero, rgb, palette, cmyk = 5, ycbcr, lab = 8 };
  pixel_mode mode = pixel_mode::rgb;
  dim bits = 1, samples = 1;   // of a sample, of a pixel
  bool inverted = false;       // 0 is white
  bool premultiplied = false;  // alpha
  bool by_library = false;     // libtiff makes RGB of it
  dim kept = 1;                // samples of a pixel that the mode has

  /// Whether rows may be unpacked sample by sample into bytes of the mode.
  bool bytes() const { return bits == 8 || (bits == 16 && kept > 1); }
};

/// Finds the layout by the file's own tags.
class tiff_layout_reader {
 public:
  tiff_layout_reader(const tiff_directory& tags, const std::string& name) : name_(name), little_(!tags.is_big_endian()) {
    const bool old_jpeg = tags.number(259, 1) == 6, planar = tags.number(284, 1) == 2;
    photometric_ = old_jpeg ? std::uint64_t{tiff_layout::ycbcr} : tags.number(262, 0);
    reversed_ = tags.number(266, 1) == 2;
    samples_ = tags.number(277, old_jpeg ? 3 : 1);
    extra_ = tags.numbers(338);
    auto bits = tags.numbers(258), formats = tags.numbers(339);
    if (planar && !extra_.empty() && *std::max_element(extra_.begin(), extra_.end()) == 0 && samples_ > extra_.size()) {
      samples_ -= extra_.size();  // planes behind the others that mean nothing
      if (bits.size() > extra_.size()) bits.resize(bits.size() - extra_.size());
      extra_.clear();
    }
    if (bits.size() > samples_) bits.resize(static_cast<std::size_t>(samples_));  // more than there are samples
    bits_ = bits.empty() ? 1 : bits[0];
    format_ = formats.empty() ? 1 : formats[0];
    const auto all = [](const std::vector<std::uint64_t>& values, std::uint64_t one) {
      return std::all_of(values.begin(), values.end(), [&](std::uint64_t v) { return v == one; });
    };
    if (samples_ < 1 || samples_ > 6 || bits_ > 32 || !all(bits, bits_) || !all(formats, format_)) refuse();
  }

  /// Error: a combination that Pillow does not read either.
  tiff_layout read() const {
    tiff_layout out;
    out.bits = static_cast<dim>(bits_);
    out.samples = static_cast<dim>(samples_);
    switch (photometric_) {
      case tiff_layout::white_is_zero:
      case tiff_layout::black_is_zero:
        return extra_.empty() ? gray(out) : gray_with_more(out);
      case tiff_layout::rgb:
      case tiff_layout::cmyk:
        return colors(out);
      case tiff_layout::palette: {
        expect_extra(1);
        const bool padded = !extra_.empty();
        if (!plain() || !small() || (padded && (samples_ != 2 || bits_ != 8 || extra_[0] != 0))) refuse();
        out.mode = pixel_mode::palette;
        return out;
      }
      case tiff_layout::ycbcr:
        if (!plain() || bits_ != 8 || (samples_ != 3 && samples_ != 1) || !extra_.empty()) refuse();
        out.kept = 3;
        out.by_library = true;
        return out;
      default:
        refuse();
    }
  }

 private:
  [[noreturn]] void refuse() const {
    std::string extra;
    for (auto e : extra_) extra += cat(" ", e);
    fail(error_kind::unsupported, cat(name_, ": unsupported TIFF: photometric ", photometric_, ", ", samples_, " samples of ",
                                      bits_, " bits, format ", format_, ", extra samples", extra.empty() ? " none" : extra));
  }
  bool plain() const { return format_ == 1; }  // unsigned
  bool small() const { return bits_ == 1 || bits_ == 2 || bits_ == 4 || bits_ == 8; }
  /// Behind the colors: none, or one of some kind and then such as mean nothing.
  void expect_extra(std::size_t colors) const {
    if (samples_ != colors + extra_.size()) refuse();
    for (std::size_t i = 1; i < extra_.size(); ++i)
      if (extra_[i] != 0) refuse();
  }

  tiff_layout gray(tiff_layout out) const {
    const bool white = photometric_ == tiff_layout::white_is_zero, is_signed = format_ == 2, is_float = format_ == 3;
    expect_extra(1);
    out.inverted = white && bits_ <= 8;
    if (small() && (plain() || (is_signed && bits_ == 8 && !white && !reversed_))) {
      out.mode = bits_ == 1 ? pixel_mode::bit : pixel_mode::gray;
    } else if ((bits_ == 12 && plain() && !white && !reversed_) ||
               (bits_ == 16 && plain() && !(white && reversed_) && (little_ || !(white || reversed_)))) {
      out.mode = pixel_mode::gray16;
    } else if (bits_ == 16 && is_signed && !white && !reversed_) {
      out.mode = pixel_mode::int32;
    } else if (bits_ == 32 && !reversed_ && (is_float || (!white && (is_signed || (plain() && little_))))) {
      out.mode = is_float ? pixel_mode::float32 : pixel_mode::int32;
    } else {
      refuse();
    }
    return out;
  }
  tiff_layout gray_with_more(tiff_layout out) const {
    expect_extra(1);
    const bool alpha = extra_[0] == 2;
    if (photometric_ != tiff_layout::black_is_zero || !plain() || bits_ != 8 || samples_ != 2 || (extra_[0] != 0 && !alpha))
      refuse();
    out.mode = alpha ? pixel_mode::gray_alpha : pixel_mode::gray;
    out.kept = alpha ? 2 : 1;
    return out;
  }
  tiff_layout colors(tiff_layout out) const {
    const bool inks = photometric_ == tiff_layout::cmyk, more = !extra_.empty(), unnamed_alpha = !inks && !more && samples_ == 4;
    if (!plain() || (bits_ != 8 && bits_ != 16) || (bits_ == 16 && samples_ > 4)) refuse();
    if (reversed_ && (inks || bits_ != 8 || samples_ != 3)) refuse();
    out.kept = inks ? 4 : 3;
    out.mode = inks ? pixel_mode::cmyk : pixel_mode::rgb;
    if (!unnamed_alpha) expect_extra(inks ? 4 : 3);
    if (inks && more && extra_[0] != 0) refuse();
    if (unnamed_alpha || (!inks && more && extra_[0] != 0)) {
      const bool odd = more && extra_[0] == 999 && samples_ == 4 && bits_ == 8;  // of Corel Draw 10
      if (more && extra_[0] != 1 && extra_[0] != 2 && !odd) refuse();
      out.mode = pixel_mode::rgba;
      out.kept = 4;
      out.premultiplied = more && extra_[0] == 1;
    }
    return out;
  }

  const std::string& name_;
  bool little_, reversed_ = false;  // reversed: the bits of a byte
  std::uint64_t photometric_ = 0, samples_ = 1, bits_ = 1, format_ = 1;
  std::vector<std::uint64_t> extra_;
};

/// A row of n pixels of a strip or tile, in the machine's byte order as libtiff leaves it, to pixels of the mode.
class tiff_unpacker {
 public:
  explicit tiff_unpacker(const tiff_layout& l) : l_(l) {}

  void operator()(const std::uint8_t* in, dim n, std::uint8_t* out) const {
    if (l_.bytes()) return bytes(in, n, out);
    if (l_.bits < 8) return packed(in, n, out);
    for (dim x = 0; x < n; ++x) {
      if (l_.bits == 12) {
        const auto* at = in + x / 2 * 3;
        const unsigned v = x % 2 ? (at[1] & 15u) << 8 | at[2] : static_cast<unsigned>(at[0]) << 4 | at[1] >> 4;
        put16(v, out + 2 * x);
      } else if (l_.bits == 16 && l_.mode == pixel_mode::gray16) {
        put16(value_at<std::uint16_t>(in + 2 * x), out + 2 * x);
      } else if (l_.bits == 16) {
        const std::int32_t v = value_at<std::int16_t>(in + 2 * x);
        std::memcpy(out + 4 * x, &v, 4);
      } else {
        std::memcpy(out + 4 * x, in + 4 * x, 4);
      }
    }
  }
  /// One band of the mode from a plane of its own.
  void plane(const std::uint8_t* in, dim n, dim band, std::uint8_t* out) const {
    const dim bands = l_.kept;
    for (dim x = 0; x < n; ++x) out[x * bands + band] = sample(in, x);
  }
  /// Divides alpha out again.
  void divide(dim n, std::uint8_t* out) const {
    for (dim x = 0; x < n; ++x, out += 4) {
      const unsigned a = out[3];
      for (dim b = 0; b < 3; ++b)
        if (a != 255) out[b] = a ? static_cast<std::uint8_t>(std::min(255u, out[b] * 255u / a)) : std::uint8_t{0};
    }
  }

 private:
  static void put16(unsigned v, std::uint8_t* to) {
    to[0] = static_cast<std::uint8_t>(v & 255);
    to[1] = static_cast<std::uint8_t>(v >> 8);
  }
  /// Of 16 bits the upper ones.
  std::uint8_t sample(const std::uint8_t* in, dim i) const {
    return l_.bits == 16 ? static_cast<std::uint8_t>(value_at<std::uint16_t>(in + 2 * i) >> 8) : in[i];
  }
  void bytes(const std::uint8_t* in, dim n, std::uint8_t* out) const {
    for (dim x = 0; x < n; ++x)
      for (dim b = 0; b < l_.kept; ++b) {
        const auto v = sample(in, x * l_.samples + b);
        out[x * l_.kept + b] = l_.inverted ? static_cast<std::uint8_t>(255 - v) : v;
      }
    if (l_.premultiplied) divide(n, out);
  }
  void packed(const std::uint8_t* in, dim n, std::uint8_t* out) const {
    const int top = (1 << l_.bits) - 1, scale = l_.mode == pixel_mode::palette ? 1 : 255 / top;
    for (dim x = 0; x < n; ++x) {
      const int v = in[x * l_.bits / 8] >> (8 - l_.bits - x * l_.bits % 8) & top;
      out[x] = static_cast<std::uint8_t>((l_.inverted ? top - v : v) * scale);
    }
  }

  tiff_layout l_;
};

}  // namespace clipx::detail
