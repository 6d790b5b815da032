// ConvNeXt: configurations that are read and refused, written and read again, a bare file, a model that was trained.
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_convnext {

using namespace clipx;
using nlohmann::json;

namespace {
const std::string golden = CLIPX_SOURCE_DIR "/tests/golden/models/";
json read_json(const std::string& path) {
  const auto file = mapped_file::open(path);
  return json::parse(std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
}
bool same_model(clip_config a, clip_config b) {
  a.text.eos_id = b.text.eos_id = 0;  // not read where the largest id is pooled, nor written
  return a.vision == b.vision && a.text == b.text && a.act == b.act && a.norm_eps == b.norm_eps && a.embed_dim == b.embed_dim &&
         loss_of(a).name() == loss_of(b).name();  // none is the contrastive one
}
checkpoint_config tiny_convnext() {
  auto c = tiny::vit().model;
  c.act = activation::gelu;
  c.vision = convnext_config{32, {1, 1, 2, 1}, {8, 8, 12, 16}};
  return default_config(c);
}
std::vector<std::uint8_t> some_pixels(dim n) {
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(2 * n * n * 3));
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  return rgb;
}
}  // namespace

TEST_CASE("convnext: open_clip's configuration") {
  const auto config = read_json(golden + "convnext/open_clip_config.json");
  const auto read = [&](const char* part, const json& change) {
    auto now = config;
    auto& at = *part ? now["model_cfg"][part] : now["model_cfg"];
    at.update(change);
    return read_open_clip_config(now.dump(), "x");
  };
  const auto refused = [&](const json& change) { return message([&] { read("vision_cfg", change); }); };
  const auto c = read("", json::object()).model;
  CHECK(c.vision == convnext_config{44, {1, 2, 1, 1}, {5, 8, 9, 17}});
  CHECK((c.act == activation::gelu && c.norm_eps == 1e-5 && c.text_norm_eps() == 1e-5 && c.text_act() == activation::gelu));
  const auto tower = [&](const json& change) { return read("vision_cfg", change).model.vision.as<convnext_config>(); };
  CHECK(tower({{"timm_proj", "mlp"}, {"timm_pool", "avg"}}).mlp_head);
  CHECK(tower({{"timm_model_name", "convnext_xxlarge"}, {"timm_model_kwargs", nullptr}}) ==
        convnext_config{.image_size = 44, .depths = {3, 4, 30, 3}, .widths = {384, 768, 1536, 3072}, .norm_eps = 1e-5});
  CHECK(tower({{"timm_model_kwargs", {{"act_layer", "gelu_tanh"}, {"norm_eps", 1e-5}}}}).act == activation::gelu_tanh);
  const auto quick = read("", {{"quick_gelu", true}}).model;  // the text tower's alone
  CHECK((quick.text_act() == activation::quick_gelu && quick.vision.as<convnext_config>().act == activation::gelu));
  CHECK_THAT(refused({{"timm_model_name", "convnext_atto"}}),
             Contains("timm_model_name: convnext_atto is not supported, only convnext_tiny"));
  CHECK_THAT(refused({{"timm_model_name", "convnext_large_mlp"}}), Contains("convnext_large_mlp is not supported"));
  CHECK_THAT(refused({{"timm_pool", "rot_attn"}}), Contains("timm_pool: rot_attn is not supported"));
  CHECK_THAT(refused({{"timm_proj", ""}}), Contains("timm_proj: the empty one is not supported, only linear and mlp"));
  CHECK_THAT(refused({{"timm_proj", "none"}}), Contains("timm_proj: none"));
  CHECK_THAT(refused({{"timm_proj_bias", true}}), Contains("timm_proj_bias: true"));
  CHECK_THAT(refused({{"timm_drop_path", 1.5}}), Contains("timm_drop_path") && Contains("1.5"));
  CHECK(read("vision_cfg", {{"timm_drop", 0.5}, {"timm_drop_path", 0.1}}).model.dropout == image_dropout{0, 0.5, 0.1});
  CHECK_THAT(refused({{"image_size", 31}}), Contains("32 to 16384 pixels, got 31"));
  CHECK_THAT(refused({{"timm_model_kwargs", {{"kernel_sizes", 5}}}}), Contains("timm_model_kwargs: kernel_sizes: 5"));
  CHECK_THAT(refused({{"timm_model_kwargs", {{"act_layer", "relu"}}}}), Contains("act_layer: relu"));
  CHECK_THAT(refused({{"rope", true}}), Contains("rope: true is not known"));
}

TEST_CASE("convnext: presets, written as open_clip has them, and read") {
  int count = 0;
  for (auto& c : presets::all()) {
    if (!c.vision.is<convnext_config>()) continue;
    INFO(c.name);
    ++count;
    CHECK((c.act == activation::gelu && c.norm_eps == 1e-5 && c.text.heads == c.text.width / 64));
    const auto written = default_config(c);
    const auto text = open_clip_config_text(written);
    CHECK(text.find("timm_model_kwargs") == std::string::npos);
    const auto read = read_open_clip_config(text, c.name);
    CHECK((same_model(read.model, c) && read.pixels == written.pixels));
    CHECK((written.pixels.mean[0] == 0.48145466f && written.pixels.resize == resize_mode::shortest));
  }
  CHECK(count == 11);
  CHECK(presets::find("convnext_xxlarge").vision.as<convnext_config>().norm_eps == 1e-5);
  CHECK(presets::find("convnext_large_d_320").vision.as<convnext_config>().mlp_head);
  const auto& tiny = presets::find("convnext_tiny");
  const double per_image = tiny.vision.policy().image_flops(tiny);
  CHECK((per_image > 8.9e9 && per_image < 9.0e9));  // 4.5 G multiply-adds in the paper's table 1
}

TEST_CASE("convnext: written and read again") {
  const temporary_folder dir;
  tiny::write_folder(dir / "own", tiny_convnext());
  const auto own = checkpoint::open(dir / "own");
  CHECK(same_model(own.config(), tiny_convnext().model));
  CHECK(tiny::read(own) == tiny::weights(own.config()));
  own.write(dir / "again", layout::open_clip, "f32");
  const auto again = checkpoint::open(dir / "again");
  CHECK(same_model(again.config(), own.config()));
  CHECK(tiny::read(again) == tiny::read(own));
  CHECK_THAT(message([&] { own.write(dir / "hf", layout::hf, "f32"); }), Contains("Hugging Face's layout has no ConvNeXt"));
  CHECK_THAT(own.summary(), Contains("\"architecture\":\"ConvNeXt\"") && Contains("\"vision_widths\":[8,8,12,16]"));
}

TEST_CASE("convnext: a bare file") {
  for (const bool mlp : {false, true}) {
    INFO("mlp " << mlp);
    const temporary_folder dir;
    auto want = tiny_convnext().model;
    auto tower = want.vision.as<convnext_config>();
    tower.mlp_head = mlp;
    want.vision = tower;
    tiny::write_folder(dir / "own", default_config(want));
    const auto bare = checkpoint::open(dir / "own/open_clip_model.safetensors", {"", "gelu", 0, -1}).config();
    tower.image_size = 224;  // shapes do not show it
    want.vision = tower;
    CHECK((bare.vision == want.vision && bare.embed_dim == want.embed_dim && bare.act == activation::gelu));
  }
}

TEST_CASE("convnext: initial values as timm draws them") {
  const auto& c = presets::find("convnext_large_d");
  const auto& a = c.vision.policy();
  const auto rule = [&](const char* name, const shape& s) { return a.initial(cat("visual.", name), s, c); };
  CHECK(rule("trunk.stages.0.blocks.1.gamma", {192}).mean == 1e-6);
  CHECK(rule("trunk.stages.0.blocks.1.norm.weight", {192}).mean == 1);
  CHECK(rule("trunk.stem.1.weight", {192}).mean == 1);
  CHECK(rule("trunk.head.norm.weight", {1536}).mean == 1);
  for (const char* zero : {"trunk.stem.0.bias", "trunk.stem.1.bias", "trunk.stages.1.downsample.1.bias",
                           "trunk.stages.0.blocks.1.conv_dw.bias", "trunk.stages.0.blocks.1.mlp.fc2.bias"})
    CHECK((rule(zero, {192}).mean == 0 && rule(zero, {192}).size == 0));
  const auto conv = rule("trunk.stages.0.blocks.0.conv_dw.weight", {192, 1, 7, 7}), fc = rule("head.mlp.fc1.weight", {1536, 1536}),
             bias = rule("head.mlp.fc1.bias", {1536});
  CHECK((!conv.uniform && conv.size == 0.02));
  CHECK((fc.uniform && fc.size == Approx(1 / std::sqrt(1536)) && bias.uniform && bias.size == fc.size));
}

TEST_CASE("convnext: trained, written and loaded") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", tiny_convnext());
  const auto source = checkpoint::open(dir / "m");
  eigen<float> d;
  trainer_options slow;
  slow.schedule = {.peak = 2e-3, .total = 40};
  const auto rgb = some_pixels(32);
  std::vector<std::vector<std::int32_t>> texts;
  for (auto* text : {"the cat", "a red cat"}) texts.push_back(source.text()(text));
  {
    trainer<convnext, eigen<float>> t(d, source.settings(), slow);
    read_weights(source, t);
    double first = 0;
    for (int i = 0; i < 20; ++i) {
      t.step(rgb, texts);
      if (i == 0) first = t.loss();
    }
    CHECK(t.loss() < first);
    std::filesystem::create_directory(dir / "tuned");
    write_model(dir / "tuned", t, source.text());
    const trained_model now(t, source.text());
    const auto loaded = load<convnext>(d, dir / "tuned");
    CHECK(loaded.encode_pixels(rgb).values == now.encode_pixels(rgb).values);
    CHECK(same_model(loaded.source().config(), source.config()));
  }
  auto dropping = source.settings();
  dropping.model.dropout.paths = 0.1;
  CHECK_THAT(message([&] { trainer<convnext, eigen<float>>(d, dropping, slow); }),
             Contains("timm_drop_path 0.1 (stochastic depth)") && Contains("set it to 0"));
  CHECK(open_clip_config_text(dropping).find("\"timm_drop_path\": 0.1") != std::string::npos);
}

}  // namespace test_convnext
