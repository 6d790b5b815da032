// Images that are not square: configurations, preprocessing, augmentation and position tables, against open_clip
// (tests/golden/oblong.py).
#include <clipx/checkpoint/checkpoint.hpp>
#include <clipx/image/augment.hpp>
#include <clipx/image/decode.hpp>
#include <clipx/image/preprocess.hpp>
#include <clipx/io/safetensors.hpp>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_oblong {

using namespace clipx;
using nlohmann::json;

namespace {
const std::string golden = CLIPX_SOURCE_DIR "/tests/golden/";
const safetensors& file() {
  static const auto all = safetensors::open(golden + "oblong.safetensors");
  return all;
}
const tensor_info& find(const std::string& name) {
  INFO(name);
  const auto* t = file().find(name);
  REQUIRE(t);
  return *t;
}
std::vector<std::uint8_t> bytes_of(const tensor_info& t) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(t.data);
  return {at, at + t.bytes};
}
std::vector<double> numbers_of(const tensor_info& t) {
  std::vector<double> out(static_cast<std::size_t>(t.count()));
  std::memcpy(out.data(), t.data, t.bytes);
  return out;
}
image decoded(const std::string& name) {
  const auto& t = find(name + "/file");
  return decode_image({t.data, t.bytes}, name);
}
/// "longest.fill200" and the like.
preprocess_config config_of(const std::string& kind, const extent& size) {
  preprocess_config c;
  c.size = size;
  if (kind.find("squash") != kind.npos) c.resize = resize_mode::squash;
  if (kind.find("longest") != kind.npos) c.resize = resize_mode::longest;
  if (kind.find("bilinear") != kind.npos) c.interpolation = filter::bilinear;
  if (kind.find("fill200") != kind.npos) c.fill = 200;
  return c;
}

json config_file(const std::string& name) { return json::parse(contents(golden + "models/" + name + "/open_clip_config.json")); }
void check_table(const std::vector<float>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double top = 0, worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    top = std::max(top, std::abs(want[i]));
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want[i]));
  }
  CHECK(worst <= 0x1.001p-24 * top);  // rounded once, to float
}
std::string refused(json config) {
  return message([&] { read_open_clip_config(config.dump(), "x"); });
}
}  // namespace

TEST_CASE("oblong: a size is a number or two") {
  CHECK(extent(7) == extent(7, 7));
  CHECK(extent(7).square());
  CHECK(extent(7, 9).area() == 63);
  CHECK((extent(7, 9).shorter() == 7 && extent(9, 7).longer() == 9));
  CHECK(extent(13, 21) / extent(4, 5) == extent(3, 4));
  CHECK((extent(1, 9).within(1, 9) && !extent(0, 9).within(1, 9) && !extent(1, 10).within(1, 9)));
  CHECK((text_of(extent(7)) == "7" && text_of(extent(7, 9)) == "7 x 9" && sides_of(extent(7)) == "7 x 7"));
}

TEST_CASE("oblong: preprocessed images equal open_clip's") {
  int compared = 0;
  for (auto& t : file().tensors()) {
    const auto slash = t.name.find('/'), dot = t.name.rfind('.');
    if (slash == t.name.npos || dot == t.name.npos) continue;
    CAPTURE(t.name);
    const auto img = decoded(t.name.substr(0, slash));
    const image got = to_pixels(img, config_of(t.name.substr(slash + 1, dot - slash - 1), {t.shape[0], t.shape[1]}));
    CHECK((got.height == t.shape[0] && got.width == t.shape[1]));
    CHECK(got.data == bytes_of(t));
    ++compared;
  }
  CHECK(compared == 84);
}

TEST_CASE("oblong: frames, tensors and sizes that do not fit") {
  const auto img = decoded("rgb_40x30");
  preprocess_config c;
  c.size = {11, 17};
  for (auto mode : {resize_mode::shortest, resize_mode::squash, resize_mode::longest}) {
    c.resize = mode;
    const frame f{.format = frame_format::rgb, .width = 40, .height = 30, .data = img.data.data(), .stride = 120};
    CHECK(to_pixels(f, c).data == to_pixels(img, c).data);
  }
  const auto pixels = to_pixels(img, c).data;
  std::vector<float> chw(pixels.size());
  to_tensor(pixels, c, chw.data());
  CHECK(chw[11 * 17 + 1] == (static_cast<float>(pixels[4]) / 255.0f - c.mean[1]) / c.std[1]);
  CHECK_THAT(message([&] { to_tensor(std::span(pixels).first(3), c, chw.data()); }),
             Contains("expected 3 x 11 x 17 values, got 3"));
  c.size = {0, 17};
  CHECK_THAT(message([&] { to_pixels(img, c); }), Contains("got 0 x 17"));
  c.size = {11, 17};
  c.resize = resize_mode::longest;
  CHECK_THAT(message([&] { to_pixels(make_image(pixel_mode::rgb, 1, 900), c); }),
             Contains("1 x 900 pixels (width x height) has none left in one of 17 x 11"));
}

TEST_CASE("oblong: augmented images equal torchvision's") {
  resize_scratch scratch;
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    const auto v = numbers_of(find(cat("plan.", i)));
    const auto whole = [&](std::size_t k) { return static_cast<dim>(v[k]); };
    augment_plan plan;
    plan.crop = {whole(1), whole(2), whole(3), whole(4)};
    plan.flip = v[7] != 0;
    const auto want = bytes_of(find(cat("crop.", i)));
    std::vector<std::uint8_t> got(want.size());
    augment(decoded(v[0] == 0 ? "rgb_40x30" : "rgb_13x37"), plan, {whole(5), whole(6)}, filter::bicubic, got.data(), scratch);
    CHECK(got == want);
  }
  augment_plan coarse;  // resized twice, each side in proportion
  coarse.crop = {0, 0, 40, 30};
  coarse.side = 0.5;
  const auto img = decoded("rgb_40x30");
  std::vector<std::uint8_t> small(6 * 10 * 3), want(12 * 20 * 3), got(want.size());
  resize({img.data.data(), 40, 30, 3, 120}, 10, 6, filter::bicubic, {0, 0, 10, 6}, small.data(), scratch);
  resize({small.data(), 10, 6, 3, 30}, 20, 12, filter::bicubic, {0, 0, 20, 12}, want.data(), scratch);
  augment(img, coarse, {12, 20}, filter::bicubic, got.data(), scratch);
  CHECK(got == want);
}

TEST_CASE("oblong: position tables resized as open_clip does") {
  const temporary_folder dir;
  for (const extent grid : {extent(3, 5), extent(6, 2), extent(1, 9), extent(2, 8)}) {
    const auto name = cat(grid.height, "x", grid.width);
    CAPTURE(name);
    const auto folder = dir / name;
    std::filesystem::copy(golden + "models/vit_quick_gelu", folder);
    auto config = config_file("vit_quick_gelu");
    config["model_cfg"]["vision_cfg"]["image_size"] = {8 * grid.height, 8 * grid.width};
    write_file(folder + "/open_clip_config.json", config.dump());
    const auto got = tiny::read(checkpoint::open(folder)).at("visual.positional_embedding");
    check_table(got, numbers_of(find("grid." + name)));
  }
}

TEST_CASE("oblong: position tables of timm's towers resized as timm does") {
  const temporary_folder dir;
  for (auto* name : {"siglip", "plain_timm_clip"})
    for (const extent grid : {extent(2, 4), extent(5, 5)}) {
      const auto key = cat(name, ".", grid.height, "x", grid.width);
      CAPTURE(key);
      std::filesystem::copy(golden + "models/" + name, dir / key);
      auto config = config_file(name);
      auto& vision = config["model_cfg"]["vision_cfg"];
      vision["image_size"] = vision["timm_model_kwargs"]["img_size"] = {4 * grid.height, 4 * grid.width};
      write_file(dir / key + "/open_clip_config.json", config.dump());
      const auto all = tiny::read(checkpoint::open(dir / key));
      const auto got = all.at("visual." + std::string(name == std::string("siglip") ? "" : "trunk.") + "positional_embedding");
      check_table(got, numbers_of(find(key)));
    }
  // Of another grid that is not square, a file does not say how it was.
  std::filesystem::copy(golden + "models/oblong_siglip", dir / "m");
  auto config = config_file("oblong_siglip");
  auto& vision = config["model_cfg"]["vision_cfg"];
  vision["image_size"] = vision["timm_model_kwargs"]["img_size"] = {20, 20};
  write_file(dir / "m/open_clip_config.json", config.dump());
  CHECK_THAT(message([&] { checkpoint::open(dir / "m"); }), Contains("pos_embed: expected [1, 25, 12], got [1, 8, 12]"));
}

TEST_CASE("oblong: configurations, written and read again") {
  const temporary_folder dir;
  for (auto* name : {"oblong_vit", "oblong_timm", "oblong_siglip"}) {
    CAPTURE(name);
    const auto own = checkpoint::open(golden + "models/" + name);
    CHECK(!own.pixels().size.square());
    CHECK(own.pixels().size == image_size(own.config()));
    const auto facts = json::parse(own.summary());
    CHECK(facts["image_size"] == config_file(name)["model_cfg"]["vision_cfg"]["image_size"]);
    own.write(dir / name, layout::open_clip, "f32");
    const auto again = checkpoint::open(dir / name);
    CHECK(again.config().vision == own.config().vision);
    CHECK(tiny::read(again) == tiny::read(own));
    CHECK(json::parse(again.summary())["image_size"] == facts["image_size"]);
    CHECK_THAT(message([&] { hf_config_text(own.settings(), "f32", 0, 1, 1); }), Contains("Hugging Face's layout"));
    CHECK_THAT(message([&] { hf_preprocessor_text(own.settings()); }), Contains("only for squares"));
  }
  CHECK(json::parse(checkpoint::open(golden + "models/oblong_vit").summary())["patch_size"] == json::array({4, 5}));
  auto wrong = checkpoint::open(golden + "models/oblong_vit").settings();
  CHECK_THAT(message([&] { hf_config_text(wrong, "f32", 0, 1, 1); }),
             Contains("no place for images of 13 x 21 pixels with patches of 4 x 5"));
  wrong.pixels.size = {21, 13};
  CHECK_THAT(message([&] { check_config(wrong); }), Contains("preprocessed to 21 x 13 pixels, the image tower takes 13 x 21"));
}

TEST_CASE("oblong: sizes that are refused") {
  const auto with = [](const char* name, const char* key, const json& value) {
    auto config = config_file(name);
    config["model_cfg"]["vision_cfg"][key] = value;
    return config;
  };
  CHECK_THAT(refused(with("resnet", "image_size", {64, 96})), Contains("image_size: [64,96] is not supported, only one number"));
  CHECK_THAT(refused(with("convnext", "image_size", {64, 96})), Contains("image_size: [64,96] is not supported, only one number"));
  CHECK_THAT(refused(with("oblong_vit", "image_size", {64, 96, 3})), Contains("expected 2 whole numbers from 1 to 16384"));
  CHECK_THAT(refused(with("oblong_vit", "patch_size", {4, 0})), Contains("expected 2 whole numbers from 1 to 4096"));
  CHECK_THAT(refused(with("oblong_vit", "image_size", {3, 40})), Contains("an image of 3 x 40 pixels holds no patch"));
  CHECK_THAT(refused(with("oblong_vit", "image_size", {16, 16000})),
             Contains("16 x 16000 pixels, 4 x 3200 patches a side; at most"));
  CHECK_THAT(refused(with("oblong_timm", "image_size", 13)), Contains("image_size: 13 is not that of") && Contains("13 x 28"));
  CHECK_THAT(refused(with("oblong_siglip", "image_size", {9, 17})), Contains("image_size: 9 x 17 is not that of"));
}

TEST_CASE("oblong: a file alone") {
  checkpoint_options options;
  options.activation = "gelu";
  options.head_width = 6;
  const auto of = [&](const char* name) { return golden + "models/" + name + "/open_clip_model.safetensors"; };
  CHECK_THAT(message([&] { checkpoint::open(of("oblong_vit"), options); }),
             Contains("visual.positional_embedding: 12 patches make no square") && Contains("open_clip_config.json"));
  CHECK_THAT(message([&] { checkpoint::open(of("oblong_siglip"), options); }), Contains("8 patches make no square"));
}

}  // namespace test_oblong
