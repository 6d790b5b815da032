// Decodes images by what a file holds, whatever its name says: PNG, BMP and PNM by clipx; JPEG by libjpeg-turbo if found, else by
// stb_image; GIF, WebP, TIFF, HEIC, AVIF and JPEG XL by the libraries that were found when clipx was built (image_formats()).
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "image.hpp"

namespace clipx {

/// How files are decoded.
struct decode_options {
  /// Images are turned as the EXIF orientation of their JPEG, PNG or WebP file says; off, as for CLIP's reference programs. TIFF
  /// files are always turned by their orientation, as by Pillow; HEIC and AVIF by their own transformations, JPEG XL by its
  /// header, as by their libraries.
  bool exif_orientation = false;
  dim most_pixels = 178'956'970;  // more are an error; the default is Pillow's own limit
  bool operator==(const decode_options&) const = default;
};

/// Decodes the bytes of an image file, in the file's own mode; of an animation the first frame. Errors, with `name`: not an image,
/// a format that this build does not decode, damaged or truncated data, more than options.most_pixels. `memory`: an image that is
/// no longer needed, whose memory may be reused. Thread-safe.
image decode_image(std::span<const std::byte> file, const std::string& name, image memory = {}, const decode_options& options = {});

/// The same from a path. Errors: no such file, a folder, and those of decode_image.
image read_image(const std::string& path, const decode_options& options = {});

/// A format of images, and what decodes it in this build.
struct image_format {
  std::string_view name;     // "WebP"
  std::string_view decoder;  // "libwebp 1.2.4"; "clipx"; empty: files of this format are refused
  std::string_view package;  // what to build with: "libwebp (Debian libwebp-dev)"; empty for clipx's own
  std::string_view endings;  // of file names, as folders are searched for: ".webp"; several are separated by spaces
};
/// All of them.
std::span<const image_format> image_formats();

/// "libjpeg-turbo x.y.z" (the same pixels as Pillow's) or "stb_image" (up to 3 levels away).
std::string_view jpeg_decoder();

/// "giflib x.y.z", or "none" if GIF files are refused.
std::string_view gif_decoder();

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "decode-inl.hpp"
#endif
