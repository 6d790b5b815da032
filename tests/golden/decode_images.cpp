// Decodes the images that standard input names, one path a line, for check_images.py: for each a line of JSON on standard output,
// and behind it the bytes that the line counts: of the image in its own mode, of its palette, and of RGB images.
//   decode [orientation]
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <cstdio>
#include <iostream>
#include <string>

namespace {
using namespace clipx;

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}
void write(const std::vector<std::uint8_t>& bytes) { std::fwrite(bytes.data(), 1, bytes.size(), stdout); }

void one(const std::string& path, const decode_options& options) {
  constexpr const char* names[] = {"1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16", "I", "F"};
  image img;
  std::vector<std::uint8_t> small[2];
  try {
    img = read_image(path, options);
    for (auto order : {pipeline::open_clip, pipeline::hf}) {
      preprocess_config config;
      config.size = 32;
      config.order = order;
      small[order == pipeline::hf] = to_pixels(img, config).data;
    }
  } catch (const error& e) {
    std::printf("{\"error\": %s}\n", quoted(e.what()).c_str());
    return;
  }
  const auto rgb = to_rgb(img);
  std::printf(
      "{\"mode\": \"%s\", \"transparency\": %d, \"width\": %lld, \"height\": %lld, \"bands\": %zu, \"rgb\": %zu, \"small\": %zu}\n",
      names[static_cast<int>(img.mode)], img.transparency, static_cast<long long>(img.width), static_cast<long long>(img.height),
      img.data.size(), rgb.data.size(), small[0].size());
  write(img.data);
  write(rgb.data);
  write(small[0]);
  write(small[1]);
}
}  // namespace

int main(int argc, char** argv) {
  clipx::decode_options options;
  options.exif_orientation = argc > 1 && std::string(argv[1]) == "orientation";
  for (std::string path; std::getline(std::cin, path);) one(path, options);
}
