// Images. The first byte: bit 0 the pipeline, bits 1 and 2 the way of resizing, bit 3 the filter, the rest the size of the
// result; then the file. What is decoded is as large as it says and, unless it is huge, can be resized.
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  if (size == 0) return 0;
  preprocess_config config;
  config.order = *data & 1 ? pipeline::hf : pipeline::open_clip;
  config.resize = static_cast<resize_mode>((*data >> 1 & 3) % 3);
  config.interpolation = *data & 8 ? filter::bilinear : filter::bicubic;
  config.size = 1 + (*data >> 4);
  // A few bytes of WebP or AVIF may stand for as many pixels as the format allows.
  const decode_options options{.exif_orientation = (*data & 16) != 0, .most_pixels = 1 << 22};
  try {
    const image img = decode_image({reinterpret_cast<const std::byte*>(data) + 1, size - 1}, "fuzz", {}, options);
    const dim pixels = img.width * img.height;
    if (pixels < 1 || img.data.size() != static_cast<std::size_t>(pixels * img.bands())) std::abort();
    const image small = to_pixels(img, config);
    if (small.mode != pixel_mode::rgb || small.data.size() != static_cast<std::size_t>(3 * config.size.area())) std::abort();
  } catch (const error&) {}
  return 0;
}
