// Decodes images: PNG and BMP in every mode, PGM and PPM, JPEG (by libjpeg-turbo if found, else by stb_image), and the first
// frame of a GIF (by giflib, if found).
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "image.hpp"

namespace clipx {

/// Decodes the bytes of an image file, in the file's own mode. Errors, with `name`: not an image, an unsupported format,
/// damaged or truncated data, a GIF without giflib, more than 178,956,970 pixels (Pillow's own limit). `memory`: an image that
/// is no longer needed, whose memory may be reused. Thread-safe.
image decode_image(std::span<const std::byte> file, const std::string& name, image memory = {});

/// The same from a path. Errors: no such file, a folder, and those of decode_image.
image read_image(const std::string& path);

/// "libjpeg-turbo x.y.z" (the same pixels as Pillow's) or "stb_image" (up to 3 levels away).
std::string_view jpeg_decoder();

/// "giflib x.y.z", or "none" if GIF files are refused.
std::string_view gif_decoder();

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "decode-inl.hpp"
#endif
