// Images from files: PNG and BMP in every mode, PGM and PPM, JPEG by libjpeg-turbo where it is found and by stb_image elsewhere,
// the first frame of a GIF by giflib where it is found.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "image.hpp"

namespace clipx {

/// An image from the bytes of its file, in the file's own mode. Errors, with `name`: not an image, a format that is not read,
/// damaged or cut short, a GIF without giflib, more than 178,956,970 pixels (Pillow's own limit). `memory`: an image no longer
/// needed, whose memory may be taken. Thread-safe.
image decode_image(std::span<const std::byte> file, const std::string& name, image memory = {});

/// The same from a path. Errors: no such file, a folder, and those of decode_image.
image read_image(const std::string& path);

/// "libjpeg-turbo x.y.z" (the same pixels as Pillow's) or "stb_image" (up to 3 levels away).
std::string_view jpeg_decoder();

/// "giflib x.y.z", or "none": GIF files are refused.
std::string_view gif_decoder();

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "decode-inl.hpp"
#endif
