// Decodes PNG to Pillow's mode for it: depths, palettes, transparency and interlacing as its PngImagePlugin reads them.
#pragma once
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

inline std::uint32_t big_endian(const std::byte* p) {
  return static_cast<std::uint32_t>(p[0]) << 24 | static_cast<std::uint32_t>(p[1]) << 16 | static_cast<std::uint32_t>(p[2]) << 8 |
         static_cast<std::uint32_t>(p[3]);
}

inline std::uint32_t crc_32(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

struct png {
  explicit png(const std::string& file_name) : name(file_name) {}
  const std::string& name;
  dim width = 0, height = 0;
  int depth = 0, color = 0, interlace = 0;
  std::array<std::uint8_t, 1024> palette{};
  std::vector<std::byte> transparency;
  bool has_transparency = false, has_palette = false;
  std::vector<char> packed;  // IDAT

  [[noreturn]] void bad(const std::string& what) const { fail(error_kind::damaged, cat(name, ": damaged PNG: ", what)); }
  int samples() const { return color == 0 || color == 3 ? 1 : color == 2 ? 3 : color == 4 ? 2 : 4; }
  dim row_bytes(dim w) const { return (w * samples() * depth + 7) / 8; }

  void read_header(std::span<const std::byte> body) {
    if (body.size() != 13) bad("IHDR is not 13 bytes");
    width = big_endian(body.data());
    height = big_endian(body.data() + 4);
    depth = static_cast<int>(body[8]);
    color = static_cast<int>(body[9]);
    interlace = static_cast<int>(body[12]);
    if (width < 1 || height < 1) bad(cat("size ", width, " x ", height));
    const bool small = depth == 1 || depth == 2 || depth == 4;
    const bool known = (color == 0 && (small || depth == 8 || depth == 16)) || (color == 3 && (small || depth == 8)) ||
                       ((color == 2 || color == 4 || color == 6) && (depth == 8 || depth == 16));
    if (!known) bad(cat("color type ", color, " with ", depth, " bits"));
    if (static_cast<int>(body[10]) != 0 || static_cast<int>(body[11]) != 0 || interlace > 1)
      bad("unknown compression, filter or interlacing");
  }

  /// The pixels of a chunk that the file's end cuts short.
  void take_cut_chunk(std::span<const std::byte> chunk) {
    if (chunk.size() <= 8 || std::memcmp(chunk.data() + 4, "IDAT", 4) != 0) return;
    const std::size_t n = std::min<std::size_t>(chunk.size() - 8, big_endian(chunk.data()));
    packed.insert(packed.end(), reinterpret_cast<const char*>(chunk.data()) + 8,
                  reinterpret_cast<const char*>(chunk.data()) + 8 + n);
  }

  void read_chunks(std::span<const std::byte> file) {
    std::size_t at = 8;
    for (bool first = true;; first = false) {
      // From the first byte of pixels on, what is missing or wrong besides them is no error for Pillow either.
      if (file.size() - at < 12 && !packed.empty()) {
        take_cut_chunk(file.subspan(at));
        return;
      }
      if (file.size() - at < 12) bad(cat("it ends at byte ", file.size(), " before its IEND chunk"));
      const std::size_t length = big_endian(file.data() + at);
      const std::string_view type(reinterpret_cast<const char*>(file.data()) + at + 4, 4);
      if (length > file.size() - at - 12 && (type == "IDAT" || !packed.empty())) {
        take_cut_chunk(file.subspan(at));
        return;
      }
      if (length > file.size() - at - 12)
        bad(cat("the chunk at byte ", at, " says ", length, " bytes, ", file.size() - at - 12, " are left"));
      const auto body = file.subspan(at + 8, length);
      const bool critical = !(type[0] & 0x20) && type != "IDAT" && packed.empty();
      if (critical && crc_32(file.subspan(at + 4, length + 4)) != big_endian(file.data() + at + 8 + length))
        bad(cat("the checksum of the chunk at byte ", at, " is wrong"));
      if (first != (type == "IHDR")) bad("IHDR is not the first chunk");
      if (type == "IHDR") read_header(body);
      if (type == "PLTE") {
        if (length > 768 || length % 3) bad(cat("a palette of ", length, " bytes"));
        for (std::size_t i = 0; i < 256; ++i) palette[4 * i + 3] = 255;
        for (std::size_t i = 0; i < length; ++i) palette[i / 3 * 4 + i % 3] = static_cast<std::uint8_t>(body[i]);
        has_palette = true;
      }
      if (type == "tRNS") {
        transparency.assign(body.begin(), body.end());
        has_transparency = true;
      }
      if (type == "IDAT")
        packed.insert(packed.end(), reinterpret_cast<const char*>(body.data()),
                      reinterpret_cast<const char*>(body.data()) + length);
      if (type == "IEND") return;
      at += length + 12;
    }
  }

  /// Undoes the row filters of one pass in place: h rows of 1 + row_bytes(w) bytes.
  void unfilter(std::uint8_t* rows, dim w, dim h) const {
    const dim n = row_bytes(w), step = std::max<dim>(1, samples() * depth / 8);
    const std::vector<std::uint8_t> zeros(static_cast<std::size_t>(n));
    const std::uint8_t* above = zeros.data();
    for (dim y = 0; y < h; ++y, rows += n + 1) {
      std::uint8_t* row = rows + 1;
      const int kind = rows[0];
      if (kind > 4) bad(cat("row filter ", kind));
      for (dim x = 0; kind != 0 && x < n; ++x) {
        const int a = x >= step ? row[x - step] : 0, b = above[x], c = x >= step ? above[x - step] : 0;
        int guess = kind == 1 ? a : kind == 2 ? b : (a + b) / 2;
        if (kind == 4) {
          const int p = a + b - c, pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
          guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
        }
        row[x] = static_cast<std::uint8_t>(row[x] + guess);
      }
      above = row;
    }
  }

  pixel_mode mode() const {
    if (color == 0) return depth == 1 ? pixel_mode::bit : depth == 16 ? pixel_mode::gray16 : pixel_mode::gray;
    if (color == 2) return pixel_mode::rgb;
    if (color == 3) return pixel_mode::palette;
    if (color == 4 && depth == 8) return pixel_mode::gray_alpha;
    return pixel_mode::rgba;
  }

  /// Writes the pixels of one pass: its row y is image row y0 + y dy, its column x is x0 + x dx.
  void place(image& out, const std::uint8_t* rows, dim w, dim h, dim x0, dim y0, dim dx, dim dy) const {
    const dim n = row_bytes(w), bands = out.bands();
    for (dim y = 0; y < h; ++y) {
      const std::uint8_t* in = rows + y * (n + 1) + 1;
      for (dim x = 0; x < w; ++x) {
        std::uint8_t* to = out.row(y0 + y * dy) + (x0 + x * dx) * bands;
        if (depth < 8) {
          const int value = in[x * depth / 8] >> (8 - depth - x * depth % 8) & ((1 << depth) - 1);
          to[0] = static_cast<std::uint8_t>(color == 3 ? value : value * (255 / ((1 << depth) - 1)));
        } else if (depth == 8) {
          std::copy_n(in + x * bands, bands, to);
        } else if (color == 0) {  // 16 bits: gray keeps both bytes, the others the high byte
          to[0] = in[2 * x + 1];
          to[1] = in[2 * x];
        } else if (color == 4) {
          to[0] = to[1] = to[2] = in[4 * x];
          to[3] = in[4 * x + 2];
        } else {
          for (dim b = 0; b < bands; ++b) to[b] = in[(x * bands + b) * 2];
        }
      }
    }
  }

  void read_transparency(image& out) const {
    if (!has_transparency || color > 3) return;
    const auto low_byte = [&](std::size_t i) { return static_cast<std::uint8_t>(transparency[2 * i + 1]); };
    out.transparency = true;
    if (color == 3) {
      for (std::size_t i = 0; i < std::min<std::size_t>(256, transparency.size()); ++i)
        out.palette[4 * i + 3] = static_cast<std::uint8_t>(transparency[i]);
      return;
    }
    if (transparency.size() < (color == 2 ? 6u : 2u)) bad("tRNS is cut short");
    const bool set = transparency[0] != std::byte{0} || transparency[1] != std::byte{0};
    for (std::size_t i = 0; i < 3; ++i)
      out.key[i] = color == 2 ? low_byte(i) : depth == 1 ? static_cast<std::uint8_t>(set ? 255 : 0) : low_byte(0);
  }

  /// The rows of all passes, with their filter bytes. As Pillow has it: rows that are missing behind a whole one are 0 (of an image
  /// that is not interlaced, with rows of `row` bytes), and so is no error what follows the last pixel, but for a wrong checksum.
  void inflate(std::vector<std::uint8_t>& raw, dim row) const {
    z_stream z{};
    if (::inflateInit(&z) != Z_OK) throw std::bad_alloc();
    const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&z, ::inflateEnd);
    z.next_out = raw.data();
    z.avail_out = static_cast<uInt>(raw.size());
    std::array<std::uint8_t, 64> beyond;
    int code = Z_OK;
    for (std::size_t at = 0; code == Z_OK && (at < packed.size() || z.avail_in > 0);) {
      if (z.avail_in == 0) {
        z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data())) + at;  // zlib only reads it
        z.avail_in = static_cast<uInt>(std::min<std::size_t>(packed.size() - at, std::size_t{1} << 30));
        at += z.avail_in;
      }
      const bool full = z.total_out >= raw.size();
      if (full && z.avail_out == 0) {
        z.next_out = beyond.data();
        z.avail_out = static_cast<uInt>(beyond.size());
      }
      code = ::inflate(&z, Z_NO_FLUSH);
      if (z.total_out > raw.size()) return;
    }
    if (code == Z_NEED_DICT) bad("its data ask for a dictionary");
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) bad(z.msg ? z.msg : "broken data");
    const auto got = static_cast<dim>(z.total_out);
    if (got == static_cast<dim>(raw.size())) return;
    if (code != Z_STREAM_END || row == 0 || got % row != 0)
      bad(cat("expected ", raw.size(), " bytes of pixels, got ", got, code == Z_STREAM_END ? "" : ": its data are cut short"));
  }

  image decode(std::span<const std::byte> file, dim most_pixels, image memory) {
    read_chunks(file);
    expect_pixels(width, height, most_pixels, name);
    struct pass {
      dim x0, y0, dx, dy;
    };
    constexpr pass adam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}},
                   whole[] = {{0, 0, 1, 1}};
    const std::span<const pass> passes = interlace ? std::span<const pass>(adam7) : std::span<const pass>(whole);
    const auto columns = [&](const pass& p) { return (width - p.x0 + p.dx - 1) / p.dx; };
    const auto lines = [&](const pass& p) { return (height - p.y0 + p.dy - 1) / p.dy; };
    dim total = 0;
    for (auto& p : passes)
      if (columns(p) > 0 && lines(p) > 0) total += lines(p) * (row_bytes(columns(p)) + 1);
    // Deflate compresses by at most 1032 to 1: an impossible size is refused before memory is allocated for it.
    if (total > static_cast<dim>(packed.size()) * 1032 + 1032)
      bad(cat(packed.size(), " bytes of data cannot hold ", width, " x ", height, " pixels"));
    expect(total < (dim{1} << 31), error_kind::unsupported,
           [&] { return cat(name, ": ", total, " bytes of pixels are more than 2 GiB"); });
    std::vector<std::uint8_t> raw(static_cast<std::size_t>(total));
    inflate(raw, interlace ? 0 : row_bytes(width) + 1);
    image out = make_image(mode(), width, height, std::move(memory));
    out.palette = palette;
    if (color == 3 && !has_palette) bad("a palette image without a palette");
    std::uint8_t* at = raw.data();
    for (auto& p : passes) {
      const dim w = columns(p), h = lines(p);
      if (w <= 0 || h <= 0) continue;
      unfilter(at, w, h);
      place(out, at, w, h, p.x0, p.y0, p.dx, p.dy);
      at += h * (row_bytes(w) + 1);
    }
    read_transparency(out);
    return out;
  }
};

}  // namespace clipx::detail
