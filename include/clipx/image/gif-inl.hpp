// Decodes the first frame of a GIF as Pillow does: giflib reads what stands before its codes. Indices and palette, or gray if the
// palette counts from 0 to 255; a frame smaller than the screen is surrounded by the transparent index, else by index 0.
#pragma once
#ifdef CLIPX_HAS_GIF
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
// gif_lib.h uses size_t and bool
#include <gif_lib.h>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "gif_codes-inl.hpp"
#include "image.hpp"

namespace clipx::detail {

class gif_reader {
 public:
  gif_reader(std::span<const std::byte> bytes, const std::string& file_name) : file_(bytes), name_(file_name) {}

  image decode(dim most_pixels, image memory) {
    int why = 0;
    const std::unique_ptr<GifFileType, void (*)(GifFileType*)> gif(DGifOpen(this, read, &why),
                                                                   [](GifFileType* g) { DGifCloseFile(g, nullptr); });
    if (!gif) bad(why);
    const auto transparent = find_frame(*gif);
    const GifImageDesc& frame = gif->Image;
    if (frame.Width < 1 || frame.Height < 1) bad(cat("a frame of ", frame.Width, " x ", frame.Height, " pixels"));
    const dim w = std::max<dim>(gif->SWidth, frame.Left + frame.Width), h = std::max<dim>(gif->SHeight, frame.Top + frame.Height);
    expect_pixels(w, h, most_pixels, name_);
    // A 12-bit code represents at most 4,094 pixels.
    expect(static_cast<dim>(frame.Width) * frame.Height <= static_cast<dim>(file_.size()) * 2730, error_kind::damaged, [&] {
      return cat(name_, ": damaged GIF: ", file_.size(), " bytes cannot hold ", frame.Width, " x ", frame.Height, " pixels");
    });
    const ColorMapObject* colors = frame.ColorMap ? frame.ColorMap : gif->SColorMap;
    image out = make_image(is_gray(colors) ? pixel_mode::gray : pixel_mode::palette, w, h, std::move(memory));
    if (out.mode == pixel_mode::palette) out.palette = palette_of(*colors);
    if (transparent) {
      out.transparency = true;
      out.key = {*transparent, *transparent, *transparent};
      if (out.mode == pixel_mode::palette) out.palette[4u * *transparent + 3] = 0;
    }
    if (frame.Width < w || frame.Height < h) std::fill(out.data.begin(), out.data.end(), transparent.value_or(std::uint8_t{0}));
    read_frame(*gif, out);
    return out;
  }

 private:
  [[noreturn]] void bad(const std::string& what) const { fail(error_kind::damaged, cat(name_, ": damaged GIF: ", what)); }
  [[noreturn]] void bad(int why) const {
    if (why == D_GIF_ERR_NOT_ENOUGH_MEM) throw std::bad_alloc();
    const char* text = GifErrorString(why);
    bad(text ? std::string(text) : cat("error ", why, " of giflib"));
  }

  /// Zeros after the end of the file: they end a chain of blocks, so an image without its terminator is read, as by Pillow.
  static int read(GifFileType* gif, GifByteType* to, int n) {
    auto& self = *static_cast<gif_reader*>(gif->UserData);
    const auto wanted = static_cast<std::size_t>(n);
    const std::size_t there = std::min(wanted, self.file_.size() - std::min(self.file_.size(), self.at_));
    if (there > 0) std::memcpy(to, self.file_.data() + self.at_, there);
    std::memset(to + there, 0, wanted - there);
    self.at_ += wanted;
    return n;
  }

  /// Skips to the first frame's pixels; returns the transparent index, if one is given before them.
  std::optional<std::uint8_t> find_frame(GifFileType& gif) {
    std::optional<std::uint8_t> transparent;
    GifRecordType record = UNDEFINED_RECORD_TYPE;
    while (record != IMAGE_DESC_RECORD_TYPE) {
      const bool known = DGifGetRecordType(&gif, &record) == GIF_OK;  // unknown bytes between records are skipped, as by Pillow
      if (at_ > file_.size() || (known && record == TERMINATE_RECORD_TYPE)) bad("there is no frame in it");
      if (!known || record != EXTENSION_RECORD_TYPE) continue;
      int kind = 0;
      GifByteType* block = nullptr;
      if (DGifGetExtension(&gif, &kind, &block) != GIF_OK) bad(gif.Error);
      if (kind == GRAPHICS_EXT_FUNC_CODE && block) {
        if (block[0] < 4) bad(cat("a graphic control block of ", int{block[0]}, " bytes"));
        if (block[1] & 1) transparent = block[4];
      }
      while (block)
        if (DGifGetExtensionNext(&gif, &block) != GIF_OK) bad(gif.Error);
    }
    const std::size_t start = at_;
    if (DGifGetImageDesc(&gif) != GIF_OK && !has_long_codes(start)) bad(gif.Error);
    if (at_ > file_.size()) bad(cat("it ends at byte ", file_.size(), " before its first frame"));
    return transparent;
  }

  /// Whether giflib read the frame's header at `start` and refused it for the size of its codes, which Pillow takes up to 12 bits.
  bool has_long_codes(std::size_t start) const {
    if (at_ > file_.size() || at_ < start + 10) return false;
    const auto flags = static_cast<unsigned>(file_[start + 8]), bits = static_cast<unsigned>(file_[at_ - 1]);
    const std::size_t colors = flags & 128 ? std::size_t{3} << ((flags & 7) + 1) : 0;
    return at_ == start + 10 + colors && bits > 8 && bits <= 12;
  }
  static bool is_gray(const ColorMapObject* colors) {
    for (int i = 0; colors && i < colors->ColorCount; ++i) {
      const auto& c = colors->Colors[i];
      if (c.Red != i || c.Green != i || c.Blue != i) return false;
    }
    return true;
  }
  static std::array<std::uint8_t, 1024> palette_of(const ColorMapObject& colors) {
    std::array<std::uint8_t, 1024> out{};
    for (std::size_t i = 0; i < 256; ++i) {
      if (i < static_cast<std::size_t>(colors.ColorCount)) {
        out[4 * i] = colors.Colors[i].Red;
        out[4 * i + 1] = colors.Colors[i].Green;
        out[4 * i + 2] = colors.Colors[i].Blue;
      }
      out[4 * i + 3] = 255;
    }
    return out;
  }

  /// Indices in the order of the file. Every one must be there.
  void read_frame(const GifFileType& gif, image& out) const {
    const GifImageDesc& frame = gif.Image;
    const auto bits = static_cast<unsigned>(file_[at_ - 1]);  // 12 at most
    const dim total = static_cast<dim>(frame.Width) * frame.Height;
    dim x = 0, y = 0, pass = 0;
    constexpr dim starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
    const auto got = gif_codes(file_.subspan(at_), bits).read(total, [&](std::uint8_t index) {
      out.row(frame.Top + y)[frame.Left + x] = index;
      if (++x < frame.Width) return;
      x = 0;
      if (!frame.Interlace) {
        ++y;
        return;
      }
      for (y += steps[pass]; y >= frame.Height && pass < 3;) y = starts[++pass];
    });
    if (got < total) bad(cat(got, " pixels; expected ", total, ": its codes are damaged or cut short"));
  }

  std::span<const std::byte> file_;
  const std::string& name_;
  std::size_t at_ = 0;
};

}  // namespace clipx::detail
#endif
