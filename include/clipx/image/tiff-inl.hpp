// Decodes TIFF by libtiff to Pillow's mode for it: the first image of the file, turned by its orientation, as Pillow does.
#pragma once
#include <string>
#ifdef CLIPX_HAS_TIFF
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"
#include "orientation-inl.hpp"
#include "tiff_layout-inl.hpp"

namespace clipx::detail {

inline std::string tiff_version() {
  const std::string text = TIFFGetVersion();  // "LIBTIFF, Version 4.5.0\nCopyright .."
  const auto at = text.find("Version ");
  return "libtiff " + (at == std::string::npos ? text.substr(0, text.find('\n')) : text.substr(at + 8, text.find('\n') - at - 8));
}

class tiff {
 public:
  tiff(std::span<const std::byte> bytes, const std::string& file_name) : file_(bytes), name_(file_name) {}

  image decode(dim most_pixels, image memory) {
    const tiff_directory tags(file_);
    if (!tags.there()) bad("its first directory is not in the file");
    const dim w = side(tags.number(256, 0)), h = side(tags.number(257, 0));
    expect_pixels(w, h, most_pixels, name_);
    layout_ = tiff_layout_reader(tags, name_).read();
    open();
    std::uint32_t width = 0, height = 0;
    TIFFGetField(handle_.get(), TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(handle_.get(), TIFFTAG_IMAGELENGTH, &height);
    if (w != width || h != height) bad(cat("its size is ", w, " x ", h, " or ", width, " x ", height));
    const auto compression = static_cast<std::uint16_t>(tags.number(259, 1));
    if (!TIFFIsCODECConfigured(compression))
      fail(error_kind::unsupported, cat(name_, ": unsupported TIFF: this libtiff lacks compression ", compression));
    std::uint16_t planes = PLANARCONFIG_CONTIG;
    TIFFGetFieldDefaulted(handle_.get(), TIFFTAG_PLANARCONFIG, &planes);
    planar_ = planes == PLANARCONFIG_SEPARATE && layout_.kept > 1;
    if (layout_.by_library && compression == COMPRESSION_JPEG && !planar_) {
      TIFFSetField(handle_.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      layout_.by_library = false;
      if (layout_.samples == 1) bad("a YCbCr JPEG of one component");
    }
    expect(!planar_ || layout_.bytes(), error_kind::unsupported,
           [&] { return cat(name_, ": unsupported TIFF: planes of ", layout_.bits, " bits"); });
    image out = make_image(layout_.mode, w, h, std::move(memory));
    if (layout_.mode == pixel_mode::palette) out.palette = palette_of(tags.numbers(320));
    if (layout_.by_library) read_rgba(out);
    else read_blocks(out, most_pixels);
    return oriented(std::move(out), static_cast<int>(std::min<std::uint64_t>(tags.number(274, 1), 9)));
  }

 private:
  struct close {
    void operator()(TIFF* t) const { TIFFClose(t); }
  };

  [[noreturn]] void bad(const std::string& what) const { fail(error_kind::damaged, cat(name_, ": damaged TIFF: ", what)); }
  [[noreturn]] void bad() const { bad(message_[0] ? message_ : "its data cannot be decoded"); }
  static dim side(std::uint64_t n) { return n < (std::uint64_t{1} << 31) ? static_cast<dim>(n) : 0; }

  static tmsize_t read(thandle_t self, void* to, tmsize_t n) {
    auto& t = *static_cast<tiff*>(self);
    const std::size_t left = t.at_ < t.file_.size() ? t.file_.size() - t.at_ : 0;
    const std::size_t got = std::min(left, static_cast<std::size_t>(std::max<tmsize_t>(n, 0)));
    if (got > 0) std::memcpy(to, t.file_.data() + t.at_, got);
    t.at_ += got;
    return static_cast<tmsize_t>(got);
  }
  static toff_t seek(thandle_t self, toff_t to, int from) {
    auto& t = *static_cast<tiff*>(self);
    const toff_t start = from == SEEK_CUR ? t.at_ : from == SEEK_END ? t.file_.size() : 0;
    t.at_ = static_cast<std::size_t>(start + to);
    return t.at_;
  }
  static int keep_message(TIFF*, void* self, const char*, const char* format, va_list values) {
    auto& t = *static_cast<tiff*>(self);
    if (!t.message_[0]) std::vsnprintf(t.message_, sizeof t.message_, format, values);  // the first says why
    return 1;
  }

  void open() {
    const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
    if (!options) throw std::bad_alloc();
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_message, this);
    TIFFOpenOptionsSetWarningHandlerExtR(
        options.get(), [](TIFF*, void*, const char*, const char*, va_list) { return 1; }, nullptr);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{1} << 31);
    handle_.reset(TIFFClientOpenExt(
        "", "rCm", this, read, [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; }, seek, [](thandle_t) { return 0; },
        [](thandle_t self) -> toff_t { return static_cast<tiff*>(self)->file_.size(); }, nullptr, nullptr, options.get()));
    if (!handle_) bad();
  }

  /// 16-bit reds, greens and blues of which the upper bytes count.
  std::array<std::uint8_t, 1024> palette_of(const std::vector<std::uint64_t>& colors) const {
    const std::size_t n = colors.size() / 3;
    if (n == 0 || n > 256) bad(cat("a palette of ", n, " colors"));
    std::array<std::uint8_t, 1024> out{};
    for (std::size_t i = 0; i < 256; ++i)
      for (std::size_t band = 0; band < 4; ++band)
        out[4 * i + band] = band == 3 ? std::uint8_t{255}
                            : i < n   ? static_cast<std::uint8_t>(colors[band * n + i] >> 8)
                                      : std::uint8_t{0};
    return out;
  }

  /// YCbCr with its subsampling, and what else libtiff converts to RGB.
  void read_rgba(image& out) {
    char why[1024] = "";
    TIFFRGBAImage rgba;
    if (!TIFFRGBAImageOK(handle_.get(), why) || !TIFFRGBAImageBegin(&rgba, handle_.get(), 1, why)) bad(why);
    const std::unique_ptr<TIFFRGBAImage, void (*)(TIFFRGBAImage*)> end(&rgba, TIFFRGBAImageEnd);
    rgba.orientation = rgba.req_orientation = ORIENTATION_TOPLEFT;
    std::vector<std::uint32_t> pixels(static_cast<std::size_t>(out.width * out.height));
    if (!TIFFRGBAImageGet(&rgba, pixels.data(), static_cast<std::uint32_t>(out.width), static_cast<std::uint32_t>(out.height)))
      bad();
    auto* to = out.data.data();
    for (auto v : pixels) {
      *to++ = static_cast<std::uint8_t>(TIFFGetR(v));
      *to++ = static_cast<std::uint8_t>(TIFFGetG(v));
      *to++ = static_cast<std::uint8_t>(TIFFGetB(v));
    }
  }

  /// Strips or tiles of samples. What a codec leaves out of a block is 0.
  void read_blocks(image& out, dim most_pixels) {
    TIFF* t = handle_.get();
    const bool tiled = TIFFIsTiled(t);
    std::uint32_t across = static_cast<std::uint32_t>(out.width), down = static_cast<std::uint32_t>(out.height);
    if (tiled) {
      TIFFGetField(t, TIFFTAG_TILEWIDTH, &across);
      TIFFGetField(t, TIFFTAG_TILELENGTH, &down);
    } else if (std::uint32_t rows = 0; TIFFGetField(t, TIFFTAG_ROWSPERSTRIP, &rows) && rows > 0) {
      down = std::min(down, rows);
    }
    const dim wide = across, high = down;
    expect_pixels(wide, high, most_pixels, name_);
    const dim samples = planar_ ? 1 : layout_.samples, row = (wide * samples * layout_.bits + 7) / 8;
    const tmsize_t size = tiled ? TIFFTileSize(t) : TIFFStripSize(t), stride = tiled ? TIFFTileRowSize(t) : TIFFScanlineSize(t);
    if (size < 1 || stride < row || size != stride * high) bad(cat("blocks of ", size, " bytes; expected ", row * high));
    std::vector<std::uint8_t> block(static_cast<std::size_t>(size));
    const tiff_unpacker unpack(layout_);
    for (dim plane = 0; plane < (planar_ ? layout_.kept : 1); ++plane)
      for (dim y = 0; y < out.height; y += high)
        for (dim x = 0; x < out.width; x += wide) {
          const auto px = static_cast<std::uint32_t>(x), py = static_cast<std::uint32_t>(y);
          const auto p = static_cast<std::uint16_t>(plane);
          const tmsize_t got = tiled ? TIFFReadTile(t, block.data(), px, py, 0, p)
                                     : TIFFReadEncodedStrip(t, TIFFComputeStrip(t, py, p), block.data(), size);
          if (got == -1) bad();
          const dim n = std::min(wide, out.width - x);
          for (dim i = 0; i < std::min(high, out.height - y); ++i) {
            auto* to = out.row(y + i) + x * out.bands();
            if (planar_) unpack.plane(block.data() + i * stride, n, plane, to);
            else unpack(block.data() + i * stride, n, to);
          }
        }
    for (dim y = 0; planar_ && layout_.premultiplied && y < out.height; ++y) unpack.divide(out.width, out.row(y));
  }

  std::span<const std::byte> file_;
  const std::string& name_;
  std::size_t at_ = 0;
  char message_[256] = "";
  tiff_layout layout_;
  bool planar_ = false;
  std::unique_ptr<TIFF, close> handle_;  // the last member: closing it uses the others
};

}  // namespace clipx::detail
#else
namespace clipx::detail {
inline std::string tiff_version() { return {}; }
}  // namespace clipx::detail
#endif
