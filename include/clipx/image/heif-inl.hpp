// Decodes HEIC and AVIF by libheif: the primary image as RGB or RGBA, with the file's own rotation, mirroring and cropping (irot,
// imir, clap) applied.
#pragma once
#include <string>
#ifdef CLIPX_HAS_HEIF
#include <libheif/heif.h>

#include <algorithm>
#include <memory>
#include <new>
#include <span>

#include "../core/error.hpp"
#include "expect_pixels.hpp"
#include "image.hpp"

namespace clipx::detail {

inline std::string heif_version() { return cat("libheif ", heif_get_version()); }

class heif {
 public:
  heif(std::span<const std::byte> bytes, const std::string& file_name) : file_(bytes), name_(file_name) {}

  image decode(dim most_pixels, image memory) const {
    const std::unique_ptr<heif_context, void (*)(heif_context*)> context(heif_context_alloc(), heif_context_free);
    if (!context) throw std::bad_alloc();
    heif_context_set_max_decoding_threads(context.get(), 0);  // the caller's threads decode
    check(heif_context_read_from_memory_without_copy(context.get(), file_.data(), file_.size(), nullptr));
    heif_image_handle* primary = nullptr;
    check(heif_context_get_primary_image_handle(context.get(), &primary));
    const std::unique_ptr<const heif_image_handle, void (*)(const heif_image_handle*)> handle(primary, heif_image_handle_release);
    expect_pixels(heif_image_handle_get_width(primary), heif_image_handle_get_height(primary), most_pixels, name_);
    const bool alpha = heif_image_handle_has_alpha_channel(primary);
    heif_image* decoded = nullptr;
    check(heif_decode_image(primary, &decoded, heif_colorspace_RGB,
                            alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, nullptr));
    const std::unique_ptr<const heif_image, void (*)(const heif_image*)> release(decoded, heif_image_release);
    const dim w = heif_image_get_width(decoded, heif_channel_interleaved),
              h = heif_image_get_height(decoded, heif_channel_interleaved);
    expect_pixels(w, h, most_pixels, name_);
    int stride = 0;
    const auto* rows = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
    image out = make_image(alpha ? pixel_mode::rgba : pixel_mode::rgb, w, h, std::move(memory));
    if (!rows || stride < w * out.bands()) fail(error_kind::damaged, cat(name_, ": damaged HEIF: libheif gives no pixels"));
    for (dim y = 0; y < h; ++y) std::copy_n(rows + y * stride, w * out.bands(), out.row(y));
    return out;
  }

 private:
  void check(const heif_error& e) const {
    if (e.code == heif_error_Ok) return;
    const std::string why = e.message ? e.message : "unknown";
    if (e.code == heif_error_Memory_allocation_error && e.subcode != heif_suberror_Security_limit_exceeded) throw std::bad_alloc();
    const bool limit = e.code == heif_error_Unsupported_filetype || e.code == heif_error_Unsupported_feature ||
                       e.subcode == heif_suberror_Security_limit_exceeded;
    if (limit) fail(error_kind::unsupported, cat(name_, ": unsupported HEIF: ", why));
    fail(error_kind::damaged, cat(name_, ": damaged HEIF: ", why));
  }

  std::span<const std::byte> file_;
  const std::string& name_;
};

}  // namespace clipx::detail
#else
namespace clipx::detail {
inline std::string heif_version() { return {}; }
}  // namespace clipx::detail
#endif
