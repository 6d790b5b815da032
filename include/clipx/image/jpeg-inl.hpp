// Decodes JPEG with libjpeg-turbo, configured as Pillow does: accurate integer DCT, smooth chroma upsampling,
// CMYK in Adobe's inverted form.
#pragma once
#ifdef CLIPX_HAS_JPEG
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <span>
// jpeglib.h needs the standard headers above
#include <jpeglib.h>
// jerror.h needs jpeglib.h
#include <jerror.h>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

/// libjpeg's state and what its callbacks record. Destroyed in one place, outside the frames that longjmp skips.
struct jpeg_reader {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf failed;
  char message[JMSG_LENGTH_MAX] = "";
  int code = 0;  // of jerror.h; 0: none

  explicit jpeg_reader(std::span<const std::byte> file) : bytes(file) {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr c) {
      auto* self = static_cast<jpeg_reader*>(c->client_data);
      self->errors.format_message(c, self->message);
      self->code = c->err->msg_code;
      std::longjmp(self->failed, 1);
    };
    errors.emit_message = [](j_common_ptr c, int level) {  // a truncated file is an error, other warnings are not (as in Pillow)
      if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF) c->err->error_exit(c);
    };
    errors.output_message = [](j_common_ptr) {};
  }
  ~jpeg_reader() { jpeg_destroy_decompress(&info); }
  jpeg_reader(const jpeg_reader&) = delete;
  jpeg_reader& operator=(const jpeg_reader&) = delete;

  bool start() {
    if (setjmp(failed)) return false;
    jpeg_create_decompress(&info);
    progress.progress_monitor = [](j_common_ptr c) {  // a few bytes of a scan can request a pass over the whole image
      if (reinterpret_cast<j_decompress_ptr>(c)->input_scan_number <= 100) return;
      auto* self = static_cast<jpeg_reader*>(c->client_data);
      std::strcpy(self->message, "more than 100 scans");
      std::longjmp(self->failed, 1);
    };
    info.progress = &progress;
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info, TRUE);
    info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : info.num_components == 4 ? JCS_CMYK : JCS_RGB;
    return true;
  }
  bool read(std::uint8_t* out, std::size_t stride) {
    if (setjmp(failed)) return false;
    jpeg_start_decompress(&info);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = out + info.output_scanline * stride;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    return true;
  }

 private:
  std::span<const std::byte> bytes;
};

/// Whether libjpeg's error is about a valid file.
inline bool is_jpeg_limit(int code) {
  for (int limit : {JERR_ARITH_NOTIMPL, JERR_BAD_PRECISION, JERR_CCIR601_NOTIMPL, JERR_COMPONENT_COUNT, JERR_CONVERSION_NOTIMPL,
                    JERR_FRACT_SAMPLE_NOTIMPL, JERR_IMAGE_TOO_BIG, JERR_NOTIMPL, JERR_NOT_COMPILED, JERR_SOF_UNSUPPORTED})
    if (code == limit) return true;
  return code == 0;  // more than 100 scans
}

inline image decode_jpeg(std::span<const std::byte> file, const std::string& name, dim most_pixels, image memory) {
  jpeg_reader reader(file);
  const auto bad = [&] {
    if (reader.code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
    if (is_jpeg_limit(reader.code)) fail(error_kind::unsupported, cat(name, ": unsupported JPEG: ", reader.message));
    fail(error_kind::damaged, cat(name, ": damaged JPEG: ", reader.message));
  };
  if (!reader.start()) bad();
  const dim w = reader.info.image_width, h = reader.info.image_height;
  expect_pixels(w, h, most_pixels, name);
  // Every 8 x 8 block takes at least one bit; arithmetic coding can do better and is allowed twice as much.
  expect(w * h <= static_cast<dim>(file.size()) * 1024 + 65536, error_kind::damaged,
         [&] { return cat(name, ": damaged JPEG: ", file.size(), " bytes cannot hold ", w, " x ", h, " pixels"); });
  const auto space = reader.info.out_color_space;
  const auto mode = space == JCS_GRAYSCALE ? pixel_mode::gray : space == JCS_CMYK ? pixel_mode::cmyk : pixel_mode::rgb;
  image out = make_image(mode, w, h, std::move(memory));
  if (!reader.read(out.data.data(), static_cast<std::size_t>(w * out.bands()))) bad();
  if (out.mode == pixel_mode::cmyk)
    for (auto& v : out.data) v = static_cast<std::uint8_t>(255 - v);
  return out;
}

}  // namespace clipx::detail
#endif
