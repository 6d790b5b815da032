// Decodes BMP to Pillow's mode for it: everything that its BmpImagePlugin reads, with or without the file header. Gray palettes
// make bit or gray images, other palettes remain palettes; entries that the file lacks are black.
#pragma once
#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

class bmp {
 public:
  bmp(std::span<const std::byte> bytes, const std::string& file_name) : file_(bytes), name_(file_name) {}

  static bool is_header_size(std::size_t size) {
    constexpr std::size_t known[] = {12, 40, 52, 56, 64, 108, 124};
    return std::find(std::begin(known), std::end(known), size) != std::end(known);
  }
  static bool is_bmp(std::span<const std::byte> file) {
    if (file.size() >= 2 && file[0] == std::byte{'B'} && file[1] == std::byte{'M'}) return true;
    return file.size() >= 4 && is_header_size(little_endian(file, 0, 4));  // a DIB: no file header
  }

  image decode(dim most_pixels, image memory) {
    const bool dib = file_[0] != std::byte{'B'} || file_[1] != std::byte{'M'};
    read_header(dib ? 0 : 14);
    pixels_at_ = dib ? 0 : u32(10);
    const std::size_t colors = colors_ ? colors_ : std::size_t{1} << std::min(bits_, 16u);
    if (pixels_at_ == 14 + header_size_ && bits_ <= 8) pixels_at_ += entry_ * colors;  // the file does not count its palette
    choose_format();
    if (bits_ <= 8) read_palette(colors);
    if (pixels_at_ == 0) pixels_at_ = palette_at_ + (bits_ <= 8 ? std::min(entry_ * colors, left(palette_at_)) : 0);
    expect_pixels(width_, height_, most_pixels, name_);
    return run_length() ? decode_runs(std::move(memory)) : decode_rows(std::move(memory));
  }

 private:
  static std::size_t little_endian(std::span<const std::byte> bytes, std::size_t at, std::size_t n) {
    std::size_t v = 0;
    for (std::size_t i = 0; i < n; ++i) v |= static_cast<std::size_t>(bytes[at + i]) << (8 * i);
    return v;
  }
  [[noreturn]] void bad(const std::string& what) const { fail(error_kind::damaged, cat(name_, ": damaged BMP: ", what)); }
  [[noreturn]] void unsupported(const std::string& what) const {
    fail(error_kind::unsupported, cat(name_, ": unsupported BMP: ", what));
  }
  std::size_t left(std::size_t at) const { return at < file_.size() ? file_.size() - at : 0; }
  std::size_t number(std::size_t at, std::size_t n) const {
    if (left(at) < n) bad(cat("its header is cut short: ", file_.size(), " bytes"));
    return little_endian(file_, at, n);
  }
  std::size_t u16(std::size_t at) const { return number(at, 2); }
  std::size_t u32(std::size_t at) const { return number(at, 4); }
  bool run_length() const { return compression_ == 1 || compression_ == 2; }

  void read_header(std::size_t at) {
    header_size_ = u32(at);
    if (!is_header_size(header_size_)) bad(cat("a header of ", header_size_, " bytes; expected 12, 40, 52, 56, 64, 108 or 124"));
    if (left(at) < header_size_) bad(cat("its header is cut short: ", file_.size(), " bytes"));
    palette_at_ = at + header_size_;
    if (header_size_ == 12) {  // OS/2 version 1
      width_ = static_cast<dim>(u16(at + 4));
      height_ = static_cast<dim>(u16(at + 6));
      bits_ = static_cast<unsigned>(u16(at + 10));
      entry_ = 3;
      return;
    }
    width_ = static_cast<dim>(u32(at + 4));
    height_ = static_cast<dim>(u32(at + 8));
    top_down_ = file_[at + 11] == std::byte{0xff};
    if (top_down_) height_ = (dim{1} << 32) - height_;
    bits_ = static_cast<unsigned>(u16(at + 14));
    compression_ = u32(at + 16);
    colors_ = u32(at + 32);
    if (compression_ != 3) return;
    // A 40-byte header is followed by the masks.
    for (std::size_t i = 0; i < (header_size_ >= 56 ? 4 : 3); ++i) masks_[i] = u32(at + 40 + 4 * i);
    if (header_size_ == 40) palette_at_ += 12;
  }

  /// Mode and byte order of images without a palette; errors for what Pillow does not read.
  void choose_format() {
    if (compression_ > 3) unsupported(cat("compression ", compression_));
    if (bits_ == 1 || bits_ == 4 || bits_ == 8) {
      mode_ = pixel_mode::palette;
      if (compression_ == 3) unsupported(cat("bit fields of ", bits_, " bits"));
      return;
    }
    if (bits_ != 16 && bits_ != 24 && bits_ != 32) unsupported(cat(bits_, " bits a pixel"));
    if (run_length()) unsupported(cat("run lengths of ", bits_, " bits"));
    struct layout {
      unsigned bits;
      std::array<std::size_t, 4> masks;
      std::array<int, 4> order;  // byte of red, green, blue and alpha; at 16 bits, the number of green bits
    };
    constexpr layout layouts[] = {{32, {0xff0000, 0xff00, 0xff, 0}, {2, 1, 0, -1}},
                                  {32, {0xff000000, 0xff0000, 0xff00, 0}, {3, 2, 1, -1}},
                                  {32, {0xff000000, 0xff00, 0xff, 0}, {3, 1, 0, -1}},
                                  {32, {0xff000000, 0xff0000, 0xff00, 0xff}, {3, 2, 1, 0}},
                                  {32, {0xff, 0xff00, 0xff0000, 0xff000000}, {0, 1, 2, 3}},
                                  {32, {0xff0000, 0xff00, 0xff, 0xff000000}, {2, 1, 0, 3}},
                                  {32, {0xff000000, 0xff00, 0xff, 0xff0000}, {3, 1, 0, 2}},
                                  {32, {0, 0, 0, 0}, {2, 1, 0, 3}},
                                  {24, {0xff0000, 0xff00, 0xff, 0}, {2, 1, 0, -1}},
                                  {16, {0xf800, 0x7e0, 0x1f, 0}, {6, 0, 0, 0}},
                                  {16, {0x7c00, 0x3e0, 0x1f, 0}, {5, 0, 0, 0}}};
    mode_ = pixel_mode::rgb;
    order_ = {2, 1, 0, -1};
    if (bits_ == 16) order_[0] = 5;
    if (compression_ == 0) return;
    if (bits_ != 32) masks_[3] = 0;
    const auto found =
        std::find_if(std::begin(layouts), std::end(layouts), [&](const layout& l) { return l.bits == bits_ && l.masks == masks_; });
    if (found == std::end(layouts))
      unsupported(cat("bit fields ", masks_[0], ", ", masks_[1], ", ", masks_[2], ", ", masks_[3], " of ", bits_, " bits"));
    order_ = found->order;
    if (bits_ == 32 && order_[3] >= 0) mode_ = pixel_mode::rgba;
  }

  /// Sets palette and mode: a palette that consists of the gray levels 0, 1, 2 .. (or of black and white) is dropped.
  void read_palette(std::size_t colors) {
    if (colors > 65536) bad(cat("a palette of ", colors, " colors"));
    const std::size_t there = std::min(entry_ * colors, left(palette_at_)) / entry_;
    const auto at = [&](std::size_t i, std::size_t band) {
      return static_cast<std::uint8_t>(file_[palette_at_ + entry_ * i + band]);
    };
    // The last entry of a truncated file may lack its padding.
    bool gray = left(palette_at_) >= entry_ * (colors - 1) + 3;
    for (std::size_t i = 0; gray && i < colors; ++i) {
      const std::size_t level = colors == 2 ? 255 * i : i & 255;
      gray = at(i, 0) == level && at(i, 1) == level && at(i, 2) == level;
    }
    if (gray) {
      mode_ = colors <= 2 ? pixel_mode::bit : pixel_mode::gray;
      return;
    }
    if (there > 256) bad(cat("a palette of ", there, " colors"));
    for (std::size_t i = 0; i < 256; ++i)
      for (std::size_t band = 0; band < 4; ++band)
        palette_[4 * i + band] = band == 3 ? std::uint8_t{255} : i < there ? at(i, 2 - band) : std::uint8_t{0};
  }

  void unpack_row(const std::byte* in, std::uint8_t* out) const {
    const auto byte = [&](dim i) { return static_cast<unsigned>(in[i]); };
    if (mode_ != pixel_mode::rgb && mode_ != pixel_mode::rgba) {
      const dim depth = sample_bits(), top = (1 << depth) - 1;
      for (dim x = 0; x < width_; ++x) {
        const dim value = byte(x * depth / 8) >> (8 - depth - x * depth % 8) & top;
        out[x] = static_cast<std::uint8_t>(mode_ == pixel_mode::bit ? 255 * value : value);
      }
      return;
    }
    if (bits_ == 16) {
      const unsigned green = order_[0] == 6 ? 63 : 31, red_at = order_[0] == 6 ? 11 : 10;
      for (dim x = 0; x < width_; ++x, out += 3) {
        const unsigned v = byte(2 * x) | byte(2 * x + 1) << 8;
        out[0] = static_cast<std::uint8_t>((v >> red_at & 31) * 255 / 31);
        out[1] = static_cast<std::uint8_t>((v >> 5 & green) * 255 / green);
        out[2] = static_cast<std::uint8_t>((v & 31) * 255 / 31);
      }
      return;
    }
    const dim size = bits_ / 8, bands = mode_ == pixel_mode::rgba ? 4 : 3;
    for (dim x = 0; x < width_; ++x)
      for (dim b = 0; b < bands; ++b) *out++ = static_cast<std::uint8_t>(in[x * size + order_[static_cast<std::size_t>(b)]]);
  }

  /// Bits per pixel in the file. For bit and gray images they follow from the palette, as in Pillow, not from the header.
  dim sample_bits() const { return mode_ == pixel_mode::bit ? 1 : mode_ == pixel_mode::gray ? 8 : bits_; }

  image decode_rows(image memory) const {
    const dim stride = (width_ * bits_ + 31) / 32 * 4, row = (width_ * sample_bits() + 7) / 8;
    if (row > stride) bad(cat("a grayscale palette with ", bits_, " bits a pixel"));
    const std::size_t needed = static_cast<std::size_t>((height_ - 1) * stride + row);
    if (left(pixels_at_) < needed) bad(cat(left(pixels_at_), " bytes of pixels; expected ", needed));
    image out = make_image(mode_, width_, height_, std::move(memory));
    out.palette = palette_;
    for (dim y = 0; y < height_; ++y)
      unpack_row(file_.data() + pixels_at_ + static_cast<std::size_t>(y * stride), out.row(top_down_ ? y : height_ - 1 - y));
    return out;
  }

  image decode_runs(image memory) const {
    const std::size_t total = static_cast<std::size_t>(width_ * height_);
    std::size_t got = 0;
    runs([&](std::uint8_t) { ++got; }, [&](std::size_t n) { got += n; });
    if (got < total) bad(cat("its run lengths give ", got, " pixels; expected ", total));
    image out = make_image(mode_, width_, height_, std::move(memory));
    out.palette = palette_;
    std::fill(out.data.begin(), out.data.end(),
              std::uint8_t{0});  // what is skipped, which costs nothing more: it may be most of it
    dim x = 0, y = 0;
    const auto put = [&](std::uint8_t v) {
      if (y >= height_) return;
      out.row(top_down_ ? y : height_ - 1 - y)[x] = mode_ == pixel_mode::bit && v > 0 ? std::uint8_t{255} : v;
      if (++x < width_) return;
      x = 0;
      ++y;
    };
    runs(put, [&](std::size_t n) {
      x += static_cast<dim>(n);
      y += x / width_;
      x %= width_;
    });
    return out;
  }

  /// RLE8 and RLE4 as Pillow reads them: put(index) for each pixel in file order, skip(n) for n pixels of index 0. There may be
  /// pixels after the last one of the image.
  template <class Put, class Skip>
  void runs(Put&& put_one, Skip&& skip_some) const {
    const auto w = static_cast<std::size_t>(width_), total = w * static_cast<std::size_t>(height_);
    const bool nibbles = compression_ == 2;
    std::size_t at = pixels_at_, done = 0, x = 0;
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(file_[i]); };
    const auto put = [&](std::uint8_t b, bool second) {
      put_one(!nibbles ? b : static_cast<std::uint8_t>(second ? b & 15 : b >> 4));
      ++done;
    };
    const auto skip = [&](std::size_t n) {
      skip_some(n);
      done += n;
    };
    while (done < total && left(at) >= 2) {
      const std::size_t count = byte(at), code = byte(at + 1);
      at += 2;
      if (count > 0) {  // a run, which stays within its row
        const std::size_t fits = std::min(count, w - std::min(w, x));
        for (std::size_t i = 0; i < fits; ++i) put(static_cast<std::uint8_t>(code), i % 2);
        x += fits;
      } else if (code == 0) {  // end of a row
        skip((w - done % w) % w);
        x = 0;
      } else if (code == 1) {  // end of the image
        return;
      } else if (code == 2) {  // a move to the right and up
        if (left(at) < 2) return;
        skip(std::min(total - done, byte(at) + byte(at + 1) * w));
        at += 2;
        x = done % w;
      } else {  // pixels, padded to 16 bits
        const std::size_t n = std::min(total - done, code), bytes = nibbles ? (n + 1) / 2 : n;
        for (std::size_t i = 0; i < n && left(at + (nibbles ? i / 2 : i)) > 0; ++i) put(byte(at + (nibbles ? i / 2 : i)), i % 2);
        if (left(at) < bytes || done == total) return;
        x += code;
        at += bytes;
        at += at % 2;
      }
    }
  }

  std::span<const std::byte> file_;
  const std::string& name_;
  dim width_ = 0, height_ = 0;
  bool top_down_ = false;
  unsigned bits_ = 0;
  std::size_t header_size_ = 0, compression_ = 0, colors_ = 0, entry_ = 4;  // entry: bytes of a palette entry
  std::size_t palette_at_ = 0, pixels_at_ = 0;
  std::array<std::size_t, 4> masks_{};
  pixel_mode mode_ = pixel_mode::rgb;
  std::array<int, 4> order_{};
  std::array<std::uint8_t, 1024> palette_{};
};

}  // namespace clipx::detail
