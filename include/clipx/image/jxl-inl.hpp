// Decodes JPEG XL by libjxl, to 8 bits: gray or RGB, with alpha where the file has it; of an animation the first frame. libjxl
// turns the image as its header says.
#pragma once
#include <string>
#ifdef CLIPX_HAS_JXL
#include <jxl/decode.h>

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

inline std::string jxl_version() {
  const auto v = JxlDecoderVersion();
  return cat("libjxl ", v / 1000000, ".", v / 1000 % 1000, ".", v % 1000);
}

class jxl {
 public:
  jxl(std::span<const std::byte> bytes, const std::string& file_name) : file_(bytes), name_(file_name) {}

  image decode(dim most_pixels, image memory) const {
    const std::unique_ptr<JxlDecoder, void (*)(JxlDecoder*)> decoder(JxlDecoderCreate(nullptr), JxlDecoderDestroy);
    JxlDecoder* d = decoder.get();
    if (!d || JxlDecoderSubscribeEvents(d, JXL_DEC_BASIC_INFO | JXL_DEC_FULL_IMAGE) != JXL_DEC_SUCCESS) throw std::bad_alloc();
    JxlDecoderSetInput(d, reinterpret_cast<const std::uint8_t*>(file_.data()), file_.size());
    image out = std::move(memory);
    JxlPixelFormat format{3, JXL_TYPE_UINT8, JXL_NATIVE_ENDIAN, 0};
    for (;;) {
      const auto status = JxlDecoderProcessInput(d);
      if (status == JXL_DEC_BASIC_INFO) {
        JxlBasicInfo info;
        if (JxlDecoderGetBasicInfo(d, &info) != JXL_DEC_SUCCESS) bad("its header");
        expect_pixels(info.xsize, info.ysize, most_pixels, name_);
        const bool alpha = info.alpha_bits > 0, gray = info.num_color_channels == 1;
        const auto mode = gray ? alpha ? pixel_mode::gray_alpha : pixel_mode::gray : alpha ? pixel_mode::rgba : pixel_mode::rgb;
        out = make_image(mode, info.xsize, info.ysize, std::move(out));
        format.num_channels = static_cast<std::uint32_t>(out.bands());
      } else if (status == JXL_DEC_NEED_IMAGE_OUT_BUFFER) {
        if (JxlDecoderSetImageOutBuffer(d, &format, out.data.data(), out.data.size()) != JXL_DEC_SUCCESS) bad("its frame");
      } else if (status == JXL_DEC_FULL_IMAGE) {
        return out;
      } else {
        bad(status == JXL_DEC_NEED_MORE_INPUT ? "it is cut short" : "its data are broken");
      }
    }
  }

 private:
  [[noreturn]] void bad(const std::string& what) const { fail(error_kind::damaged, cat(name_, ": damaged JPEG XL: ", what)); }

  std::span<const std::byte> file_;
  const std::string& name_;
};

}  // namespace clipx::detail
#else
namespace clipx::detail {
inline std::string jxl_version() { return {}; }
}  // namespace clipx::detail
#endif
