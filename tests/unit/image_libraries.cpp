// WebP, TIFF, HEIC, AVIF, JPEG XL and PNM against what Pillow makes of the same files (tests/golden/formats.py), EXIF orientations,
// damaged files of these formats, and what a build without their libraries says.
#include <algorithm>
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <random>

#include "catch.hpp"
#include "golden_images.hpp"

namespace test_image_libraries {

using namespace clipx;
using golden_images::golden_image;
using golden_images::pixels;

namespace {

const image_format& format(std::string_view name) {
  const auto all = image_formats();
  const auto found = std::find_if(all.begin(), all.end(), [&](const image_format& f) { return f.name == name; });
  REQUIRE(found != all.end());
  return *found;
}
/// The format of a file of formats.safetensors, by its name there.
const image_format& format_of(const std::string& name) {
  for (auto& [prefix, of] : {std::pair<const char*, const char*>{"webp", "WebP"},
                             {"turned_webp", "WebP"},
                             {"tiff", "TIFF"},
                             {"heif", "HEIC"},
                             {"avif", "AVIF"},
                             {"jxl", "JPEG XL"},
                             {"turned_jpeg", "JPEG"},
                             {"pnm", "PNM"}})
    if (name.starts_with(prefix)) return format(of);
  return format("PNG");
}
bool unread(const std::string& name) {
  const auto& f = format_of(name);
  return f.decoder.empty() || f.decoder == "stb_image";
}
bool by_library(const std::string& name) {
  return name.starts_with("heif") || name.starts_with("avif") || name.starts_with("turned");
}

std::string message(std::span<const std::byte> file, const decode_options& options = {}) {
  try {
    decode_image(file, "some.file", {}, options);
  } catch (const error& e) {
    REQUIRE_THAT(e.what(), Contains("some.file"));
    return e.what();
  }
  return "";
}
/// Greatest difference of two images of the same kind.
int apart(const pixels& a, const pixels& b) {
  REQUIRE(a.size() == b.size());
  int most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}
/// Calls f with the bytes of every file of the golden file that this build reads.
template <class F>
void each_file(F&& f) {
  const auto all = golden_images::open("formats");
  golden_images::each(all, [&](const golden_image& g) {
    CAPTURE(g.name);
    auto file = *g.tensor("file");
    f(g, file);
  });
}

}  // namespace

TEST_CASE("image: PNM files of every kind equal Pillow's", "[image]") {
  const auto count = golden_images::check("formats", [](const std::string& name) { return !name.starts_with("pnm"); });
  CHECK(count.read == 28);
  CHECK(count.refused == 10);
}
TEST_CASE("image: WebP files equal Pillow's", "[image]") {
  if (format("WebP").decoder.empty()) return;
  const auto count = golden_images::check("formats", [](const std::string& name) { return !name.starts_with("webp"); });
  CHECK(count.read >= 8);
  CHECK(count.refused == 3);
}
TEST_CASE("image: TIFF files of every kind equal Pillow's", "[image]") {
  if (format("TIFF").decoder.empty()) return;
  const auto count = golden_images::check("formats", [](const std::string& name) { return !name.starts_with("tiff"); });
  CHECK(count.read > 100);
  CHECK(count.refused > 15);
}
TEST_CASE("image: JPEG XL files without loss equal Pillow's", "[image]") {
  if (format("JPEG XL").decoder.empty()) return;
  const auto count = golden_images::check("formats", [](const std::string& name) { return !name.starts_with("jxl"); });
  CHECK(count.read == 4);
  CHECK(count.refused == 1);
}

TEST_CASE("image: HEIC and AVIF files", "[image]") {
  each_file([](const golden_image& g, const pixels& file) {
    if (!(g.name.starts_with("heif") || g.name.starts_with("avif")) || unread(g.name)) return;
    CAPTURE(g.name);
    const auto one = golden_images::decode(std::as_bytes(std::span(file)), 0x55);
    if (const auto said = one ? std::string() : message(std::as_bytes(std::span(file)));
        said.find("unsupported HEIF") != said.npos) {
      WARN("skipped: " << said);  // this libheif has no decoder for it
      return;
    }
    REQUIRE(one);
    CHECK(golden_images::mode_of(*one) == g.mode);
    // YCbCr becomes RGB in another way in every version of libheif, and in libavif: rounding, and nothing but that, for 4:4:4.
    CHECK(apart(one->data, *g.tensor("bands")) <= (g.name.ends_with("lossless") ? 0 : 2));
  });
}

TEST_CASE("image: EXIF orientation", "[image]") {
  int turned = 0;
  each_file([&](const golden_image& g, const pixels& file) {
    if (!g.name.starts_with("turned") || unread(g.name)) return;
    CAPTURE(g.name);
    const auto bytes = std::as_bytes(std::span(file));
    const auto stored = golden_images::decode(bytes, 0x55), seen = golden_images::decode(bytes, 0x55, {.exif_orientation = true});
    REQUIRE(stored);
    REQUIRE(seen);
    CHECK(stored->data == *g.tensor("bands"));
    CHECK(seen->palette == stored->palette);
    auto want = *g.tensor("turned");
    if (seen->mode == pixel_mode::bit) {  // which Pillow packs
      pixels bits;
      const auto row = static_cast<std::size_t>((seen->width + 7) / 8);
      for (dim y = 0; y < seen->height; ++y)
        for (dim x = 0; x < seen->width; ++x)
          bits.push_back(want[static_cast<std::size_t>(y) * row + static_cast<std::size_t>(x / 8)] >> (7 - x % 8) & 1 ? 255 : 0);
      want = bits;
    }
    CHECK(seen->data == want);
    turned += seen->data != stored->data;
  });
  CHECK(turned > 15);
}

TEST_CASE("image: orientation is an option of preprocessing", "[image]") {
  each_file([&](const golden_image& g, const pixels& file) {
    if (g.name != "turned_png_RGBA_6") return;
    preprocess_config c;
    c.size = 4;
    const auto stored = read_pixels(std::as_bytes(std::span(file)), "x", c);
    c.decode.exif_orientation = true;
    const auto seen = read_pixels(std::as_bytes(std::span(file)), "x", c);
    CHECK(seen != stored);
    CHECK(seen == to_pixels(decode_image(std::as_bytes(std::span(file)), "x", {}, c.decode), c).data);
  });
}

TEST_CASE("image: damaged EXIF data say nothing", "[image]") {
  each_file([&](const golden_image& g, pixels& file) {
    if (g.name != "turned_jpeg6") return;
    const auto exif = std::search(file.begin(), file.end(), std::begin("Exif"), std::begin("Exif") + 4);
    REQUIRE(exif != file.end());
    std::mt19937 draw(3);
    for (int i = 0; i < 400; ++i) {
      auto changed = file;
      changed[static_cast<std::size_t>(exif - file.begin()) + 6 + draw() % 26] = static_cast<std::uint8_t>(draw());
      CHECK(message(std::as_bytes(std::span(changed)), {.exif_orientation = true}) == "");
    }
  });
}

TEST_CASE("image: a limit of pixels", "[image]") {
  each_file([&](const golden_image& g, const pixels& file) {
    if (g.mode == "refused" || unread(g.name)) return;
    CAPTURE(g.name);
    const auto said = message(std::as_bytes(std::span(file)), {.most_pixels = 4});
    CHECK_THAT(said, Contains("pixels; expected 1 to 4") && Contains("decode_options::most_pixels"));
  });
}

TEST_CASE("image: what a build does not decode is named", "[image]") {
  for (auto& [name, file] : {std::pair<const char*, std::string>{"WebP", std::string("RIFF\x10\0\0\0WEBPVP8 ", 16)},
                             {"TIFF", std::string("II*\0\x08\0\0\0", 8)},
                             {"HEIC", std::string("\0\0\0\x14"
                                                  "ftypheic\0\0\0\0mif1",
                                                  20)},
                             {"AVIF", std::string("\0\0\0\x14"
                                                  "ftypavif\0\0\0\0mif1",
                                                  20)},
                             {"JPEG XL", std::string("\0\0\0\x0cJXL \r\n\x87\n", 12)},
                             {"GIF", "GIF89a"}}) {
    CAPTURE(name);
    const auto& f = format(name);
    const auto said = message(std::as_bytes(std::span(file)));
    if (f.decoder.empty()) CHECK_THAT(said, Contains(cat("this build of clipx cannot decode ", name, ": build with ", f.package)));
    else CHECK_THAT(said, Contains("damaged"));
  }
  CHECK_THAT(message(std::as_bytes(std::span(std::string_view("\0\0\0\x14"
                                                              "ftypisom",
                                                              12)))),
             Contains("not an image"));
}

TEST_CASE("image: files of these formats cut short, and with flipped bits", "[image]") {
  std::mt19937 draw(11);
  int images = 0, errors = 0;
  each_file([&](const golden_image& g, const pixels& file) {
    if (unread(g.name) || g.name.starts_with("turned") || file.size() > 3000) return;
    CAPTURE(g.name);
    const auto try_one = [&](const pixels& changed) {
      const auto bytes = std::as_bytes(std::span(changed));
      try {
        const auto img = decode_image(bytes, "some.file", {}, {.most_pixels = 1 << 16});
        REQUIRE(img.data.size() == static_cast<std::size_t>(img.width * img.height * img.bands()));
        ++images;
      } catch (const error& e) {
        REQUIRE_THAT(e.what(), Contains("some.file"));
        ++errors;
      }
    };
    for (int i = 0; i < (by_library(g.name) ? 12 : 6); ++i) {
      try_one({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(draw() % file.size())});
      auto changed = file;
      for (int k = 0; k < 3; ++k) changed[draw() % changed.size()] ^= static_cast<std::uint8_t>(1 << draw() % 8);
      try_one(changed);
    }
  });
  CHECK(images > 30);  // of PNM alone, where there is no library
  CHECK(errors > 100);
}

}  // namespace test_image_libraries
