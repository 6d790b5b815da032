// BMP and GIF against what Pillow makes of the same files (tests/golden/images.py): mode, bytes, palette, transparency, a resize in
// the file's own mode, and what it refuses.
#include <clipx/core/error.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/resize.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "golden_images.hpp"

namespace test_image_formats {

using namespace clipx;
using golden_images::hex_of;
using golden_images::mode_of;
using golden_images::small_of;

namespace {

using pixels = std::vector<std::uint8_t>;

bool unread(const std::string& name) { return name.starts_with("gif") && gif_decoder() == "none"; }

// Files made by hand.
void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> 8 * i & 255);
}
std::string bmp_file(int bits, int height, const std::string& palette, const std::string& gap, const std::string& data,
                     std::uint32_t colors = 0) {
  std::string out = "BM";
  const auto offset = static_cast<std::uint32_t>(54 + palette.size() + gap.size());
  put(out, offset + static_cast<std::uint32_t>(data.size()), 4);
  put(out, 0, 4);
  put(out, offset, 4);
  put(out, 40, 4);
  put(out, 4, 4);
  put(out, static_cast<std::uint32_t>(height), 4);
  put(out, 1, 2);
  put(out, static_cast<std::uint32_t>(bits), 2);
  put(out, 0, 8);
  put(out, 0, 8);
  put(out, colors, 4);
  put(out, 0, 4);
  return out + palette + gap + data;
}
image read(const std::string& file) { return decode_image(std::as_bytes(std::span(file)), "made"); }
std::string refusal(const std::string& file) {
  try {
    read(file);
  } catch (const error& e) { return e.what(); }
  return "";
}
std::string counted(int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += static_cast<char>(i);
  return out;
}
const std::string red_blue("\0\0\xff\0\xff\0\0\0", 8);
const std::string stripes("\0\1\0\1\0\1\0\1\0\1\0\1\0\1\0\1", 16);

}  // namespace

TEST_CASE("image: BMP and GIF files of every kind equal Pillow's", "[image]") {
  const auto count = golden_images::check("images", unread);
  CHECK(count.read > 60);
  CHECK(count.refused > 15);
}

TEST_CASE("image: entries that a BMP's palette lacks are black", "[image]") {
  const auto p = read(bmp_file(8, 4, std::string("\1\2\3\0\4\5\6\0\7\x08\x09\0", 12), "", stripes, 3));
  CHECK(p.mode == pixel_mode::palette);
  CHECK(std::vector<std::uint8_t>(p.palette.begin(), p.palette.begin() + 16) ==
        pixels{3, 2, 1, 255, 6, 5, 4, 255, 9, 8, 7, 255, 0, 0, 0, 255});
  CHECK(to_rgb(read(bmp_file(8, 4, red_blue, "", std::string(16, '\7'), 2))).data == pixels(48, 0));
  // One black entry alone makes a 1-bit image of the same bytes, as in Pillow.
  const auto bit = read(bmp_file(8, 4, std::string(4, '\0'), "", std::string(16, '\0'), 1));
  CHECK(bit.mode == pixel_mode::bit);
  CHECK(bit.data == pixels(16, 0));
  // An OS/2 header, whose entries have three bytes: 0 to 255 of them is gray.
  std::string file = "BM", grays;
  put(file, 0, 8);
  put(file, 26 + 768, 4);
  put(file, 12, 4);
  put(file, 4, 2);
  put(file, 4, 2);
  put(file, 1, 2);
  put(file, 8, 2);
  for (int i = 0; i < 256; ++i) grays += std::string(3, static_cast<char>(i));
  const auto gray = read(file + grays + "\xfc\xfd\xfe\xff\xfc\xfd\xfe\xff\xfc\xfd\xfe\xff\xfc\xfd\xfe\xff");
  CHECK(gray.mode == pixel_mode::gray);
  CHECK(hex_of(gray.data) == "fcfdfefffcfdfefffcfdfefffcfdfeff");
  CHECK(hex_of(small_of(gray)) == "fcfcfcfefefefffffffcfcfcfefefefffffffcfcfcfefefeffffff");
}

TEST_CASE("image: palettes are resized by the nearest index", "[image]") {
  const std::string small = "ff0000ff00000000ffff0000ff00000000ffff0000ff00000000ff";
  const auto bmp = read(bmp_file(8, 4, red_blue + std::string(1016, '\0'), "", stripes));
  CHECK(bmp.mode == pixel_mode::palette);
  CHECK(hex_of(small_of(bmp)) == small);
  if (gif_decoder() == "none") return;
  const std::string colors("\xff\0\0\0\0\xff", 6);
  const std::string head("GIF89a\4\0\4\0\x80\0\0", 13), frame(",\0\0\0\0\4\0\4\0\0", 10);
  // Each index after a clear code: 4 0 4 1 .. 5 in codes of 3 bits.
  std::string packed;
  std::uint64_t bits = 0;
  int held = 0;
  const auto code = [&](unsigned c) {
    bits |= static_cast<std::uint64_t>(c) << held;
    for (held += 3; held >= 8; held -= 8, bits >>= 8) packed += static_cast<char>(bits & 255);
  };
  for (char index : stripes) {
    code(4);
    code(static_cast<unsigned>(index));
  }
  code(5);
  packed += static_cast<char>(bits & 255);
  const std::string data = "\2" + std::string(1, static_cast<char>(packed.size())) + packed + std::string("\0;", 2);
  const auto gif = read(head + colors + frame + data);
  CHECK(gif.mode == pixel_mode::palette);
  CHECK(!gif.transparency);
  CHECK(hex_of(gif.data) == "00010001000100010001000100010001");
  CHECK(hex_of(small_of(gif)) == small);
  const auto clear = read(head + colors + std::string("!\xf9\4\1\0\0\1\0", 8) + frame + data);
  CHECK(clear.transparency);
  CHECK(clear.palette[7] == 0);
  CHECK(hex_of(to_rgb(clear).data).substr(0, 12) == "ff00000000ff");
  CHECK(hex_of(to_rgb_over_white(clear).data).substr(0, 12) == "ff0000ffffff");
}

TEST_CASE("image: a BMP from the top down, and one with a gap before its pixels", "[image]") {
  CHECK(hex_of(read(bmp_file(24, -4, "", "", counted(48))).data).starts_with("0201000504030807060b0a09"));
  CHECK(hex_of(read(bmp_file(24, 4, "", "a gap", counted(48))).data).starts_with("2625242928272c2b2a2f2e2d"));
}

TEST_CASE("image: a BMP of run lengths that skips most of its pixels", "[image]") {
  constexpr std::size_t side = 8192, step = 255 * side + 255;
  const std::string move("\0\2\xff\xff", 4);  // 255 to the right, 255 up
  std::string runs("\2\1", 2);                // two pixels of index 1
  for (int i = 0; i < 10; ++i) runs += move;
  runs += "\1\1";
  for (int i = 0; i < 40; ++i) runs += move;  // ends at the last pixel
  auto file = bmp_file(8, 4, red_blue, "", runs, 2);
  for (const std::size_t at : {18, 22}) file.replace(at, 4, std::string("\0\x20\0\0", 4));
  for (const bool top_down : {false, true}) {
    if (top_down) file.replace(22, 4, std::string("\0\xe0\xff\xff", 4));
    image used = make_image(pixel_mode::palette, side, side);
    std::fill(used.data.begin(), used.data.end(), std::uint8_t{7});
    const auto p = decode_image(std::as_bytes(std::span(file.replace(30, 1, "\1"))), "made", std::move(used));
    REQUIRE(p.width == side);
    const auto at = [&](std::size_t i) {
      const auto y = static_cast<dim>(i / side);
      return p.row(top_down ? y : static_cast<dim>(side) - 1 - y)[i % side];
    };
    CHECK(at(0) == 1);
    CHECK(at(1) == 1);
    CHECK(at(2 + 10 * step) == 1);
    CHECK(static_cast<std::size_t>(std::count(p.data.begin(), p.data.end(), std::uint8_t{0})) == side * side - 3);
  }
}

TEST_CASE("image: BMP files that are refused", "[image]") {
  const auto whole = bmp_file(8, 4, red_blue, "", stripes, 2);
  CHECK(refusal(whole) == "");
  CHECK_THAT(refusal(whole.substr(0, whole.size() - 1)), Contains("15 bytes of pixels; expected 16"));
  CHECK_THAT(refusal(whole.substr(0, 30)), Contains("cut short"));
  const auto with = [&](std::size_t at, const std::string& bytes) {
    return refusal(std::string(whole).replace(at, bytes.size(), bytes));
  };
  CHECK_THAT(with(14, "\x29"), Contains("a header of 41 bytes"));
  CHECK_THAT(with(28, "\2"), Contains("2 bits a pixel"));
  CHECK_THAT(with(30, "\5"), Contains("compression 5"));
  CHECK_THAT(with(46, std::string("\1\0\1", 3)), Contains("65537 colors"));
  CHECK_THAT(with(18, std::string(4, '\0')), Contains("0 x 4"));
  CHECK_THAT(with(18, "\xff\xff\xff\x7f"), Contains("expected 1 to 178956970"));
  CHECK_THAT(with(30, "\1"), Contains("run lengths give"));
  CHECK_THAT(refusal(bmp_file(32, 4, "", "", counted(64)).replace(30, 1, "\3")), Contains("bit fields"));
}

TEST_CASE("image: GIF files without giflib", "[image]") {
  const std::string file("GIF89a\4\0\4\0\0\0\0;", 14);
  CHECK_THAT(refusal(file), Contains(gif_decoder() == "none" ? "giflib" : "no frame"));
}

TEST_CASE("image: the files of shared/cases", "[image]") {
  namespace fs = std::filesystem;
  const char* shared = std::getenv("CLIPX_SHARED");
  const fs::path folder = fs::path(shared ? shared : std::string(CLIPX_SOURCE_DIR) + "/../shared") / "cases/images";
  if (!fs::exists(folder)) {
    WARN("skipped: no shared data");
    return;
  }
  const auto expected = nlohmann::json::parse(std::ifstream(folder / "expected.json"));
  for (auto& [name, want] : expected.items()) {
    if (name.ends_with(".gif") && unread("gif")) continue;
    CAPTURE(name);
    const auto p = read_image((folder / name).string());
    CHECK(mode_of(p) == want.at("mode").get<std::string>() + (want.contains("transparency") ? " transparency" : ""));
    CHECK(std::vector<dim>{p.width, p.height} == want.at("size").get<std::vector<dim>>());
    CHECK(hex_of(to_rgb(p).data) == want.at("rgb").get<std::string>());
    if (want.contains("indices")) CHECK(hex_of(p.data) == want.at("indices").get<std::string>());
    if (want.contains("transparency")) CHECK(p.palette[4 * want.at("transparency").get<std::size_t>() + 3] == 0);
    CHECK(hex_of(small_of(p)) == want.at("resized_3x3_then_rgb").get<std::string>());
  }
}

}  // namespace test_image_formats
