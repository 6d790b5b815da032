// Decodes WebP by libwebp, as Pillow does: RGB or RGBA, of an animation the first frame on a canvas that is transparent black.
#pragma once
#include <string>
#ifdef CLIPX_HAS_WEBP
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>
#include <span>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

inline std::string webp_version() {
  const int v = WebPGetDecoderVersion();
  return cat("libwebp ", v >> 16, ".", v >> 8 & 255, ".", v & 255);
}

class webp {
 public:
  webp(std::span<const std::byte> bytes, const std::string& file_name) : file_(bytes), name_(file_name) {}

  image decode(dim most_pixels, image memory) const {
    const auto* data = reinterpret_cast<const std::uint8_t*>(file_.data());
    WebPBitstreamFeatures features;
    if (const auto status = WebPGetFeatures(data, file_.size(), &features); status != VP8_STATUS_OK) bad(status);
    const dim w = features.width, h = features.height;
    expect_pixels(w, h, most_pixels, name_);
    const WebPData whole{data, file_.size()};
    const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> parts(WebPDemux(&whole), WebPDemuxDelete);
    if (!parts) bad("its chunks are damaged or cut short");
    WebPIterator frame;
    if (!WebPDemuxGetFrame(parts.get(), 1, &frame)) bad("there is no frame in it");
    const std::unique_ptr<WebPIterator, void (*)(WebPIterator*)> release(&frame, WebPDemuxReleaseIterator);
    const dim x = frame.x_offset, y = frame.y_offset;
    if (frame.width < 1 || frame.height < 1 || x < 0 || y < 0 || x > w - frame.width || y > h - frame.height)
      bad("its first frame leaves the canvas");
    image out = make_image(features.has_alpha ? pixel_mode::rgba : pixel_mode::rgb, w, h, std::move(memory));
    if (frame.width < w || frame.height < h) std::fill(out.data.begin(), out.data.end(), std::uint8_t{0});
    const dim bands = out.bands(), stride = w * bands;
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
      fail(error_kind::unsupported, cat(name_, ": WebP: libwebp is not of the version that clipx was built with"));
    config.output.colorspace = bands == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = out.row(y) + x * bands;
    config.output.u.RGBA.stride = static_cast<int>(stride);
    config.output.u.RGBA.size = static_cast<std::size_t>((frame.height - 1) * stride + frame.width * bands);
    const auto status = WebPDecode(frame.fragment.bytes, frame.fragment.size, &config);
    WebPFreeDecBuffer(&config.output);
    if (status != VP8_STATUS_OK) bad(status);
    return out;
  }

 private:
  [[noreturn]] void bad(const std::string& what) const { fail(error_kind::damaged, cat(name_, ": damaged WebP: ", what)); }
  [[noreturn]] void bad(VP8StatusCode status) const {
    if (status == VP8_STATUS_OUT_OF_MEMORY) bad("its data are broken, or libwebp had not enough memory");  // it says so of both
    if (status == VP8_STATUS_UNSUPPORTED_FEATURE)
      fail(error_kind::unsupported, cat(name_, ": unsupported WebP: a feature that libwebp does not know"));
    bad(status == VP8_STATUS_NOT_ENOUGH_DATA ? "it is cut short" : "its data are broken");
  }

  std::span<const std::byte> file_;
  const std::string& name_;
};

}  // namespace clipx::detail
#else
namespace clipx::detail {
inline std::string webp_version() { return {}; }
}  // namespace clipx::detail
#endif
