// Damaged image files: a clipx::error that names the file, or an image; never a crash, never memory for sizes that lie.
#include <zlib.h>

#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <clipx/io/safetensors.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <random>

#include "catch.hpp"

namespace test_image_bad {

using namespace clipx;
namespace fs = std::filesystem;

namespace {

using buffer = std::vector<std::byte>;
const std::string file_name = "some/picture.file";

buffer file_of(const std::string& img) {
  static const auto golden = safetensors::open(std::string(CLIPX_SOURCE_DIR) + "/tests/golden/pixels.safetensors");
  const auto* t = golden.find(img + "/file");
  REQUIRE(t);
  return {t->data, t->data + t->bytes};
}

buffer bytes(std::initializer_list<int> values) {
  buffer out;
  for (int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

buffer bytes(std::string_view text) {
  const auto all = std::as_bytes(std::span(text));
  return {all.begin(), all.end()};
}

/// What decoding said; empty where it gave an image, which must be whole and go through the rest of the pipeline.
std::string outcome(const buffer& file) {
  image img;
  try {
    img = decode_image(file, file_name);
  } catch (const error& e) {
    REQUIRE_THAT(e.what(), Contains(file_name));
    return e.what();
  }
  REQUIRE(img.width > 0);
  REQUIRE(img.height > 0);
  REQUIRE(img.data.size() == static_cast<std::size_t>(img.width * img.height * img.bands()));
  if (img.width * img.height > 1 << 20) return "";
  for (auto order : {pipeline::open_clip, pipeline::hf}) {
    preprocess_config c;
    c.size = 5;
    c.order = order;
    c.resize = resize_mode::squash;
    REQUIRE(to_pixels(img, c).data.size() == 75);
  }
  return "";
}

std::uint32_t crc(const std::byte* p, std::size_t n) {
  std::uint32_t c = ~0u;
  for (std::size_t i = 0; i < n; ++i) {
    c ^= static_cast<std::uint32_t>(p[i]);
    for (int k = 0; k < 8; ++k) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
  }
  return ~c;
}

void put_big(std::byte* p, std::uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<std::byte>(v >> (24 - 8 * i) & 255);
}

std::uint32_t get_big(const std::byte* p) {
  std::uint32_t v = 0;
  for (int i = 0; i < 4; ++i) v = v << 8 | static_cast<std::uint32_t>(p[i]);
  return v;
}

/// Makes the checksums of a PNG right again, so that damage reaches what they guard.
void mend_checksums(buffer& png) {
  std::size_t at = 8;
  while (png.size() - at >= 12) {
    const std::size_t length = get_big(&png[at]);
    if (length > png.size() - at - 12) return;
    put_big(&png[at + 8 + length], crc(&png[at + 4], length + 4));
    at += length + 12;
  }
}

buffer png_of_size(std::uint32_t w, std::uint32_t h, const std::string& from = "png_rgb8") {
  auto out = file_of(from);
  put_big(&out[16], w);
  put_big(&out[20], h);
  mend_checksums(out);
  return out;
}

/// Sets the size in the frame header of a JPEG.
buffer jpeg_of_size(int w, int h) {
  auto out = file_of("jpeg_420");
  for (std::size_t i = 0; i + 9 < out.size(); ++i) {
    if (out[i] != std::byte{0xff} || out[i + 1] != std::byte{0xc0}) continue;
    out[i + 5] = static_cast<std::byte>(h >> 8);
    out[i + 6] = static_cast<std::byte>(h & 255);
    out[i + 7] = static_cast<std::byte>(w >> 8);
    out[i + 8] = static_cast<std::byte>(w & 255);
    return out;
  }
  FAIL("no frame header");
  return out;
}

const char* const samples[] = {"png_gray1", "png_gray16_adam7", "png_palette4_trns", "png_rgb8_trns", "png_rgba8_adam7",
                               "jpeg_420",  "jpeg_progressive", "jpeg_cmyk",         "jpeg_gray",     "bmp_palette",
                               "bmp_rgb",   "gif_palette",      "gif_frames",        "ppm_rgb"};

}  // namespace

TEST_CASE("image: files cut short", "[image]") {
  for (const std::string name : samples) {
    CAPTURE(name);
    if (name.starts_with("gif") && gif_decoder() == "none") continue;  // refused whole: image_formats
    const auto whole = file_of(name);
    CHECK(outcome(whole) == "");
    for (std::size_t n = 0; n < whole.size(); n += 7) {
      CAPTURE(n);
      const std::string said = outcome(buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
      // The last 16 bytes of a PNG are behind its pixels, which Pillow does without.
      if ((name.starts_with("png") && n + 20 < whole.size()) || n < 10) CHECK(said != "");
      if (name.starts_with("jpeg") && jpeg_decoder().starts_with("libjpeg") && n + 40 < whole.size()) CHECK(said != "");
    }
  }
}

TEST_CASE("image: flipped bits", "[image]") {
  std::mt19937 draw(5);
  int images = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string name = samples[static_cast<std::size_t>(i) % std::size(samples)];
    auto file = file_of(name);
    for (unsigned k = 0, flips = 1 + draw() % 4; k < flips; ++k) file[draw() % file.size()] ^= std::byte{1} << draw() % 8;
    if (name.starts_with("png") && i % 2) mend_checksums(file);
    CAPTURE(name, i);
    images += outcome(file).empty();
  }
  CHECK(images > 100);  // or nothing beyond the checks of headers was reached
}

TEST_CASE("image: sizes that lie", "[image]") {
  CHECK_THAT(outcome(png_of_size(0, 5)), Contains("0 x 5"));
  CHECK_THAT(outcome(png_of_size(5, 0)), Contains("5 x 0"));
  CHECK_THAT(outcome(png_of_size(60000, 60000)), Contains("60000 x 60000"));
  CHECK_THAT(outcome(png_of_size(10000, 10000)), Contains("10000 x 10000"));
  CHECK_THAT(outcome(png_of_size(10000, 10000, "png_rgba8_adam7")), Contains("10000 x 10000"));
  for (std::uint32_t big : {0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    CAPTURE(big);
    CHECK(outcome(png_of_size(big, big)) != "");
    CHECK(outcome(png_of_size(big, 1)) != "");
    CHECK(outcome(png_of_size(1, big, "png_gray1")) != "");
  }
  CHECK(outcome(png_of_size(16, 34)) != "");
  CHECK(outcome(png_of_size(17, 35)) == "");  // a row is missing: it is black, as Pillow has it
  CHECK(outcome(jpeg_of_size(0, 8)) != "");
  CHECK(outcome(jpeg_of_size(65500, 65500)) != "");
  CHECK(outcome(jpeg_of_size(13000, 13000)) != "");
  for (const std::string name : {"bmp_rgb", "bmp_palette"}) {
    CAPTURE(name);
    for (int v : {0x00, 0x7f, 0x80, 0xff}) {
      CAPTURE(v);
      auto file = file_of(name);
      for (std::size_t i = 18; i < 26; ++i) file[i] = static_cast<std::byte>(v);
      CHECK(outcome(file) != "");
    }
  }
  auto gif = file_of("gif_palette");
  for (std::size_t i = 6; i < 10; ++i) gif[i] = std::byte{0xff};
  CHECK(outcome(gif) != "");
  CHECK(outcome(bytes("P6 60000 60000 255\nabc")) != "");
  CHECK(outcome(bytes("P6 0 7 255\nabc")) != "");
  CHECK(outcome(bytes("P5 99999999999999999999 1 255\nabc")) != "");
}

TEST_CASE("image: rules of PNM", "[image]") {
  CHECK_THAT(outcome(bytes("P5 3 1 255\nab")), Contains("2 bytes of pixels; expected 3"));
  CHECK_THAT(outcome(bytes("P5 3 1 255")), Contains("0 bytes of pixels; expected 3"));
  CHECK_THAT(outcome(bytes("P5 3 1 # 255\n")), Contains("cut short"));
  CHECK_THAT(outcome(bytes("P5 3 1 0\nabc")), Contains("levels to 0"));
  CHECK_THAT(outcome(bytes("P6 1 1 65536\nabcdef")), Contains("levels to 65536; expected 1 to 65535"));
  CHECK_THAT(outcome(bytes("P6 1 -1 255\nabc")), Contains("expected a number, got \"-1\""));
  CHECK_THAT(outcome(bytes("P2 1 1 255 256")), Contains("level 256"));
  CHECK_THAT(outcome(bytes("P1 2 1 1")), Contains("2"));
  const auto gray = decode_image(bytes("P5 # a comment\r2#and another\n 1\t100\n\x34\x99"), file_name);  // 0x99 is above the top
  CHECK(gray.mode == pixel_mode::gray);
  CHECK(gray.data == std::vector<std::uint8_t>{133, 255});
  const auto rgb = decode_image(bytes("P6 1 1 15\n\x07\x0f\x01 and more"), file_name);
  CHECK(rgb.mode == pixel_mode::rgb);
  CHECK(rgb.data == std::vector<std::uint8_t>{119, 255, 17});
}

TEST_CASE("image: rules of PNG", "[image]") {
  const auto whole = file_of("png_palette8");
  auto file = whole;
  file[29] = std::byte{0xff} ^ file[29];  // the checksum of IHDR
  CHECK_THAT(outcome(file), Contains("checksum"));
  const auto header = [&](std::size_t at, int value) {
    auto changed = whole;
    changed[at] = static_cast<std::byte>(value);
    mend_checksums(changed);
    return outcome(changed);
  };
  CHECK_THAT(header(24, 16), Contains("16 bits"));  // palettes have 8 bits at most
  CHECK_THAT(header(24, 3), Contains("3 bits"));
  CHECK_THAT(header(25, 5), Contains("color type 5"));
  CHECK(header(26, 1) != "");
  CHECK(header(27, 1) != "");
  CHECK(header(28, 2) != "");
  // without PLTE
  const std::size_t palette = 33, length = get_big(&whole[palette]) + 12;
  file = whole;
  file.erase(file.begin() + palette, file.begin() + static_cast<std::ptrdiff_t>(palette + length));
  CHECK_THAT(outcome(file), Contains("palette"));
  // bytes after IEND do not matter
  file = whole;
  for (char c : std::string("more")) file.push_back(static_cast<std::byte>(c));
  CHECK(outcome(file) == "");
  // IEND first
  file.assign(whole.begin(), whole.begin() + 8);
  file.insert(file.end(), whole.end() - 12, whole.end());
  CHECK(outcome(file) != "");
}

TEST_CASE("image: streams of PNG that are too short, too long or damaged, as Pillow 13 takes them", "[image]") {
  std::string rows;  // 4 x 3, filter 0
  for (char y = 0; y < 3; ++y)
    rows += std::string{0, y, static_cast<char>(y + 1), static_cast<char>(y + 2), static_cast<char>(y + 3)};
  const auto packed = [](const std::string& data) {
    std::string out(compressBound(data.size()), 0);
    uLongf n = out.size();
    REQUIRE(compress(reinterpret_cast<Bytef*>(out.data()), &n, reinterpret_cast<const Bytef*>(data.data()), data.size()) == Z_OK);
    out.resize(n);
    return out;
  };
  const auto pixels = [&](const std::string& stream) {
    std::string file = "\x89PNG\r\n\x1a\n";
    const auto number = [](std::size_t n) {
      return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
    };
    for (auto& [type, body] :
         {std::pair<std::string, std::string>{"IHDR", {0, 0, 0, 4, 0, 0, 0, 3, 8, 0, 0, 0, 0}},
          std::pair<std::string, std::string>{"IDAT", stream}, std::pair<std::string, std::string>{"IEND", ""}}) {
      const std::string named = type + body;
      file += number(body.size()) + named + number(crc32_z(0, reinterpret_cast<const Bytef*>(named.data()), named.size()));
    }
    const auto bytes = std::as_bytes(std::span(file));
    try {
      std::string out;
      for (auto v : decode_image(bytes, file_name).data) out += std::to_string(v);
      return out;
    } catch (const error& e) { return std::string(e.what()); }
  };
  const std::string all = packed(rows), right = "012312342345";
  CHECK(pixels(all) == right);
  CHECK(pixels(packed(rows + std::string{0, 9, 9, 9, 9})) == right);
  CHECK(pixels(all + "more") == right);
  CHECK(pixels(all.substr(0, all.size() - 4)) == right);  // no checksum
  CHECK_THAT(pixels(all.substr(0, all.size() - 1) + "x"), Contains("incorrect data check"));
  CHECK_THAT(pixels(all.substr(0, all.size() - 6)), Contains("expected 15 bytes of pixels") && Contains("cut short"));
  CHECK_THAT(pixels(packed(rows.substr(0, 13))), Contains("got 13"));
  CHECK(pixels(packed(rows.substr(0, 10))) == "012312340000");
  CHECK_THAT(pixels("\x78\xbb" + all.substr(2)), Contains("dictionary"));
  CHECK_THAT(pixels("nothing"), Contains("damaged PNG"));
}

TEST_CASE("image: a Huffman table of more than 256 symbols", "[image]") {
  auto file = file_of("jpeg_gray");
  for (std::size_t i = 2; i + 40 < file.size(); ++i) {
    if (file[i] != std::byte{0xff} || file[i + 1] != std::byte{0xc4}) continue;
    for (std::size_t k = 0; k < 16; ++k) file[i + 5 + k] = std::byte{255};
    CHECK(outcome(file) != "");
    file[i + 5] = std::byte{0};
    CHECK(outcome(file) != "");
    return;
  }
  FAIL("no table");
}

#ifdef CLIPX_HAS_JPEG
TEST_CASE("image: a JPEG of hundreds of scans", "[image]") {
  const auto file = file_of("jpeg_progressive");
  auto scan = file.end() - 2;  // the last scan, to the end marker
  while (scan[0] != std::byte{0xff} || scan[1] != std::byte{0xda}) --scan;
  const buffer last(scan, file.end() - 2);
  const auto with = [&](int more) {
    buffer longer(file.begin(), file.end() - 2);
    for (int i = 0; i < more; ++i) longer.insert(longer.end(), last.begin(), last.end());
    longer.insert(longer.end(), file.end() - 2, file.end());
    return longer;
  };
  CHECK(outcome(with(80)).empty());
  CHECK_THAT(outcome(with(400)), Contains("more than 100 scans"));
}
#endif

TEST_CASE("image: what is not an image", "[image]") {
  CHECK_THAT(outcome({}), Contains("empty"));
  CHECK(outcome(bytes("a photo of a cat\n")) != "");
  CHECK(outcome(bytes("{\"a\": 1}")) != "");
  CHECK(outcome(bytes("<svg xmlns=\"http://www.w3.org/2000/svg\"/>")) != "");
  CHECK(outcome(buffer(4096)) != "");
  CHECK(outcome(buffer(4096, std::byte{0xff})) != "");
  CHECK_THAT(outcome(bytes(std::string_view("RIFF\x20\0\0\0WEBPVP8 0123456789", 26))), Contains("WebP"));
  for (auto& magic : {bytes("\x89PNG\r\n\x1a\n"), bytes({0xff, 0xd8}), bytes({0xff, 0xd8, 0xff}), bytes({0xff, 0xd8, 0xff, 0xd9}),
                      bytes("BM"), bytes("GIF89a"), bytes("GIF87a"), bytes("P6"), bytes("P5\n")})
    CHECK(outcome(magic) != "");
}

TEST_CASE("image: paths", "[image]") {
  const auto folder = fs::temp_directory_path() / cat("clipx_image_bad_", std::random_device{}());
  fs::create_directory(folder);
  const auto said = [](const fs::path& path) -> std::string {
    try {
      read_image(path.string());
    } catch (const error& e) { return e.what(); }
    return "";
  };
  CHECK_THAT(said(folder), Contains(folder.string()));
  CHECK_THAT(said(folder / "none.png"), Contains("none.png"));
  std::ofstream(folder / "empty.png").flush();
  CHECK_THAT(said(folder / "empty.png"), Contains("empty.png"));
  std::ofstream(folder / "text.png") << "text\n";
  CHECK_THAT(said(folder / "text.png"), Contains("text.png"));
  const auto png = file_of("png_rgb8");
  std::ofstream(folder / "good.png").write(reinterpret_cast<const char*>(png.data()), static_cast<std::streamsize>(png.size()));
  CHECK(said(folder / "good.png") == "");
  fs::remove_all(folder);
}

TEST_CASE("image: sizes that preprocessing refuses", "[image]") {
  preprocess_config c;
  c.size = 4;
  CHECK_THROWS_AS(to_pixels(image{}, c), error);
  c.size = 0;
  const image dot = make_image(pixel_mode::rgb, 1, 1);
  CHECK_THROWS_AS(to_pixels(dot, c), error);
  c.size = 4;
  c.resize = resize_mode::longest;
  CHECK_THROWS_AS(to_pixels(make_image(pixel_mode::gray, 1, 9), c), error);  // its width would round to 0
  CHECK(to_pixels(make_image(pixel_mode::gray, 1, 7), c).data.size() == 48);
}

}  // namespace test_image_bad
