// A user of the image readers alone: an image decoded and preprocessed.
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <cstdio>

int main(int, char** arguments) {
  try {
    const auto image = clipx::to_pixels(clipx::read_image(arguments[1]), {.size = 32});
    long sum = 0;
    for (const auto byte : image.data) sum += byte;
    std::printf("%td x %td, mean %.2f, JPEG by %s\n", image.width, image.height,
                static_cast<double>(sum) / static_cast<double>(image.data.size()), std::string(clipx::jpeg_decoder()).c_str());
    if (image.data.size() != 3 * 32 * 32) return 1;
  } catch (const clipx::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  try {
    clipx::read_image("none.png");
  } catch (const clipx::error& e) {
    std::printf("%s: %s\n", e.at().file, e.what());
    return 0;
  }
  return 1;
}
