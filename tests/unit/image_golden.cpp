// Decoding and preprocessing against the pixels of Pillow, open_clip and transformers (tests/golden/pixels.py).
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <clipx/io/safetensors.hpp>
#include <cmath>
#include <cstring>
#include <optional>

#include "catch.hpp"

namespace test_image_golden {

using namespace clipx;

namespace {

const safetensors& golden() {
  static const auto file = safetensors::open(std::string(CLIPX_SOURCE_DIR) + "/tests/golden/pixels.safetensors");
  return file;
}

/// Names of the images that begin with `prefix`.
std::vector<std::string> images(std::string_view prefix) {
  std::vector<std::string> out;
  for (auto& t : golden().tensors())
    if (t.name.starts_with(prefix) && t.name.ends_with("/file")) out.push_back(t.name.substr(0, t.name.size() - 5));
  return out;
}

std::span<const std::byte> bytes_of(const std::string& name) {
  const auto* t = golden().find(name + "/file");
  REQUIRE(t);
  return {t->data, t->bytes};
}

/// "open_clip.longest.fill200" and the like, for a result of n x n.
preprocess_config config_of(std::string_view kind, dim n) {
  const auto has = [&](std::string_view word) { return kind.find(word) != kind.npos; };
  preprocess_config c;
  c.size = n;
  c.order = kind.starts_with("hf") ? pipeline::hf : pipeline::open_clip;
  c.resize = has("squash") ? resize_mode::squash : has("longest") ? resize_mode::longest : resize_mode::shortest;
  c.interpolation = has("bilinear") ? filter::bilinear : filter::bicubic;
  if (has("fill200")) c.fill = 200;
  return c;
}

struct closeness {
  int worst = 0;       // levels that two pixels may differ by
  double average = 0;  // and on average
};

/// Empty where `got` is close enough to `want` (h, w, 3); else what differs.
std::string difference(const tensor_info& want, const image& got, closeness limit) {
  const dim h = want.shape[0], w = want.shape[1];
  if (got.mode != pixel_mode::rgb || got.width != w || got.height != h)
    return cat("expected RGB of ", w, " x ", h, ", got ", got.width, " x ", got.height);
  if (got.data.size() != want.bytes) return cat("expected ", want.bytes, " bytes, got ", got.data.size());
  int worst = 0;
  dim differing = 0;
  double total = 0;
  std::string first;
  for (std::size_t i = 0; i < want.bytes; ++i) {
    const int a = static_cast<int>(want.data[i]), b = got.data[i], d = std::abs(a - b);
    total += d;
    worst = std::max(worst, d);
    differing += d > 0;
    const auto at = static_cast<dim>(i);
    if (d > limit.worst && first.empty())
      first = cat("first at x ", at / 3 % w, ", y ", at / 3 / w, ", band ", at % 3, ": expected ", a, ", got ", b);
  }
  total /= static_cast<double>(want.bytes);
  if (first.empty() && total <= limit.average) return "";
  return cat(differing, " of ", want.bytes, " values differ, by ", worst, " at most and ", total, " on average; ", first);
}

/// Pillow's name of the mode, and whether there is a transparent color.
std::string mode_of(const image& p) {
  constexpr const char* names[] = {"1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16"};
  return cat(names[static_cast<int>(p.mode)], p.transparency ? " transparency" : "");
}

std::string mode_wanted(const std::string& name) {
  for (auto& [key, value] : golden().metadata())
    if (key == "mode." + name) return value;
  return "";
}

/// `any_mode`: where the file was decoded to another mode than Pillow's, only what does not depend on it is compared, which is
/// opaque RGB and what Hugging Face's order makes of it.
void check(const std::string& name, closeness limit, bool any_mode) {
  CAPTURE(name);
  std::optional<image> img;
  std::string refused;
  try {
    img = decode_image(bytes_of(name), name);
  } catch (const error& e) { refused = e.what(); }
  CHECK(refused == "");
  if (!img) return;
  CHECK(img->data.size() == static_cast<std::size_t>(img->width * img->height * img->bands()));
  const std::string mode = mode_of(*img), wanted = mode_wanted(name);
  if (!any_mode) CHECK(mode == wanted);
  for (auto& want : golden().tensors()) {
    if (!want.name.starts_with(name + "/")) continue;
    const std::string kind = want.name.substr(name.size() + 1);
    if (kind == "file" || want.type != dtype::u8) continue;
    const bool comparable = mode == wanted || kind.starts_with("hf") || (kind == "rgb" && mode == "RGB");
    if (!comparable) continue;
    CAPTURE(kind);
    const image got = kind == "rgb" ? to_rgb(*img) : to_pixels(*img, config_of(kind, want.shape[0]));
    CHECK(difference(want, got, limit) == "");
  }
}

/// A section for each image.
void check_all(std::string_view prefix, closeness limit = {}, bool any_mode = false) {
  const auto names = images(prefix);
  REQUIRE(!names.empty());
  for (auto& name : names) SECTION(name) {
      check(name, limit, any_mode);
    }
}

}  // namespace

TEST_CASE("image: PNG files of every mode equal Pillow's", "[image]") { check_all("png_"); }
TEST_CASE("image: images of every shape equal Pillow's", "[image]") { check_all("size_"); }
TEST_CASE("image: BMP files equal Pillow's", "[image]") { check_all("bmp_"); }
TEST_CASE("image: GIF files equal Pillow's", "[image]") {
  if (gif_decoder() == "none") WARN("skipped: no giflib");
  else check_all("gif_");
}
TEST_CASE("image: PNM files equal Pillow's", "[image]") { check_all("ppm_"); }

TEST_CASE("image: JPEG files equal Pillow's", "[image]") {
  if (jpeg_decoder().starts_with("libjpeg")) {
    check_all("jpeg_");
    return;
  }
  // stb_image gives CMYK as RGB, inverted only where a marker says so, and rounds the last column of 4:2:2 another way.
  for (auto& name : images("jpeg_"))
    if (name != "jpeg_cmyk_no_marker") SECTION(name) {
        check(name, name == "jpeg_422" ? closeness{80, 1} : closeness{4, 1}, true);
      }
}

TEST_CASE("image: the normalized tensor has torchvision's bits", "[image]") {
  const auto* want = golden().find("png_rgb8/open_clip.tensor");
  REQUIRE(want);
  REQUIRE(want->type == dtype::f32);
  preprocess_config c;
  c.size = want->shape[1];
  const auto pixels = read_pixels(bytes_of("png_rgb8"), "png_rgb8", c);
  std::vector<float> got(pixels.size()), expected(pixels.size());
  REQUIRE(want->bytes == got.size() * sizeof(float));
  std::memcpy(expected.data(), want->data, want->bytes);
  to_tensor(pixels, c, got.data());
  CHECK(got == expected);
}

}  // namespace test_image_golden
