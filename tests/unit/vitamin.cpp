// ViTamin: configurations that are read and refused, written and read again, bare files, a model that was trained.
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_vitamin {

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
const vitamin_config& image_of(const clip_config& c) { return c.vision.as<vitamin_config>(); }
checkpoint_config tiny_vitamin() {
  auto c = tiny::vit().model;
  c.act = activation::gelu;
  c.vision = vitamin_config{32, 4, {1, 2}, {5, 6}, 64, 1, 1, 20};
  return default_config(c);
}
}  // namespace

TEST_CASE("vitamin: open_clip's configuration") {
  const auto config = read_json(golden + "vitamin/open_clip_config.json");
  const auto read = [&](const char* part, const json& change) {
    auto now = config;
    auto& at = *part ? now["model_cfg"][part] : now["model_cfg"];
    at.update(change);
    return read_open_clip_config(now.dump(), "x").model;
  };
  const auto refused = [&](const json& change) { return message([&] { read("vision_cfg", change); }); };
  const auto kwargs = [&](const json& more) {
    auto all = config["model_cfg"]["vision_cfg"]["timm_model_kwargs"];
    all.update(more);
    return json{{"timm_model_kwargs", all}};
  };
  const auto c = read("", json::object());
  CHECK(c.vision == vitamin_config{32, 4, {2, 2}, {5, 6}, 10, 2, 2, 15});
  CHECK((c.act == activation::gelu && c.norm_eps == 1e-5 && c.text_norm_eps() == 1e-5 && c.text_act() == activation::gelu));
  const auto other = read("text_cfg", {{"no_causal_mask", true}, {"act_kwargs", {{"approximate", "tanh"}}}});
  CHECK((!other.text.causal && other.text_act() == activation::gelu_tanh && other.vision == c.vision));
  CHECK(read("", {{"quick_gelu", true}}).text_act() == activation::quick_gelu);  // the text tower's alone
  CHECK(read("vision_cfg", {{"timm_drop_path", 0.1}}).dropout.paths == 0.1);
  CHECK(image_of(read("vision_cfg", {{"timm_proj_bias", true}, {"timm_pool", "avg"}})).head_bias);
  const json large{{"timm_model_name", "vitamin_large2_384"}, {"timm_model_kwargs", nullptr}, {"image_size", 384}};
  CHECK(read("vision_cfg", large).vision == vitamin_config{384, 160, {2, 4}, {160, 320}, 1024, 31, 16, 2048});
  // Without a position table images have any size, as in open_clip's ViTamin-XL-384.
  const json xl{{"timm_model_name", "vitamin_xlarge_384"}, {"timm_model_kwargs", nullptr}, {"image_size", 256}};
  CHECK((image_of(read("vision_cfg", xl)).image_size == 256 && !image_of(read("vision_cfg", xl)).position_table));
  CHECK(image_of(read("vision_cfg", kwargs({{"pos_embed", "none"}}))).position_table == false);

  CHECK_THAT(refused({{"timm_model_name", "vitamin_tiny_224"}}),
             Contains("timm_model_name: vitamin_tiny_224 is not supported, only vitamin_small_224"));
  CHECK_THAT(refused({{"image_size", 48}}), Contains("image_size: 48 is not that of timm_model_kwargs (img_size), 32"));
  CHECK_THAT(refused({{"timm_pool", "token"}}), Contains("timm_pool: token is not supported"));
  CHECK_THAT(refused({{"timm_proj", "mlp"}}), Contains("timm_proj: mlp is not supported, only linear"));
  CHECK_THAT(refused({{"timm_proj", ""}}), Contains("timm_proj: the empty one"));
  CHECK_THAT(refused({{"timm_proj", nullptr}}), Contains("timm_proj: null"));
  CHECK_THAT(refused({{"timm_drop_path", 1.5}}), Contains("timm_drop_path") && Contains("1.5"));
  CHECK_THAT(refused({{"rope", true}}), Contains("rope: true is not known"));
  CHECK_THAT(refused(kwargs({{"img_size", 40}})), Contains("40"));
  CHECK_THAT(refused(kwargs({{"num_heads", 3}})), Contains("width 10 does not divide into 3 heads"));
  CHECK_THAT(refused(kwargs({{"pos_embed", "rope"}})), Contains("pos_embed: rope is not supported"));
  CHECK_THAT(refused(kwargs({{"reg_tokens", 4}})), Contains("timm_model_kwargs: reg_tokens: 4"));
  CHECK_THAT(refused(kwargs({{"embed_cfg", {{"embed_dim", {5, 6, 11}}}}})),
             Contains("its last width is 11, that of the tokens is 10"));
  CHECK_THAT(refused(kwargs({{"embed_cfg", {{"head_type", "2d"}}}})), Contains("embed_cfg: head_type: \"2d\""));
}

TEST_CASE("vitamin: presets, written as open_clip has them, and read") {
  int count = 0;
  for (auto& c : presets::all()) {
    if (!c.vision.is<vitamin_config>()) continue;
    INFO(c.name);
    ++count;
    const auto written = default_config(c);
    const auto text = open_clip_config_text(written);
    CHECK(text.find("timm_model_kwargs") == std::string::npos);
    CHECK(text.find("\"custom_text\": true") != std::string::npos);
    const auto read = read_open_clip_config(text, c.name);
    CHECK((same_model(read.model, c) && read.pixels == written.pixels));
  }
  CHECK(count == 15);
  const auto& xl = presets::find("ViTamin-XL-336");
  CHECK((image_of(xl).heads == 16 && xl.text.heads == 16 && xl.text.layers == 27));
  CHECK(open_clip_config_text(default_config(xl)).find("vitamin_xlarge_336") != std::string::npos);
  CHECK(image_of(presets::find("ViTamin-XL-384")).image_size == 256);
  const auto& large = presets::find("ViTamin-L");
  CHECK(large.vision.policy().image_flops(large) == 149'847'982'080.0);  // torch.utils.flop_counter's of timm's tower, and the head
}

TEST_CASE("vitamin: golden folders, written and read again") {
  const temporary_folder dir;
  for (auto* name : {"vitamin", "vitamin_xl"}) {
    INFO(name);
    const auto own = checkpoint::open(golden + name);
    own.write(dir / name, layout::open_clip, "f32");
    const auto again = checkpoint::open(dir / name);
    CHECK(same_model(again.config(), own.config()));
    CHECK(tiny::read(again) == tiny::read(own));
    CHECK_THAT(message([&] { hf_config_text(own.settings(), "f32", 0, 1, 1); }), Contains("Hugging Face's layout has no ViTamin"));
  }
  const auto file = safetensors::open(dir / "vitamin/open_clip_model.safetensors");
  CHECK(file.find("text.text_projection")->shape == std::vector<dim>{16, 8});
  CHECK(file.find("visual.trunk.blocks.1.mlp.w1.weight")->shape == std::vector<dim>{15, 10});
  CHECK(file.find("visual.trunk.patch_embed.backbone.stages.0.0.conv2_kxk.weight")->shape == std::vector<dim>{24, 1, 3, 3});
  CHECK_THAT(checkpoint::open(dir / "vitamin").summary(),
             Contains("\"architecture\":\"ViTamin\"") && Contains("\"vision_widths\":[4,5,6,10]"));
}

namespace {
/// A file with the tensors of a model, by their shapes.
struct file_of : shape_reader {
  std::map<std::string, std::vector<dim>> tensors;
  issue_list problems{error_kind::unsupported};
  explicit file_of(const clip_config& c) {
    for (auto& [name, s] : parameter_shapes(c))
      for (auto& t : stored_tensors(source_of(c, name, layout::open_clip), s)) tensors[t.name] = t.sizes;
  }
  bool has(const std::string& name) const override { return tensors.contains(name); }
  std::vector<dim> sizes(const std::string& name, std::size_t) override { return tensors.at(name); }
  issue_list& issues() override { return problems; }
};
}  // namespace

TEST_CASE("vitamin: a bare file") {
  for (auto& c : presets::all()) {
    if (!c.vision.is<vitamin_config>()) continue;
    INFO(c.name);
    file_of file(c);
    clip_config found;
    found.act = activation::gelu;
    c.vision.policy().infer(file, found);
    auto want = c;
    if (c.name == "ViTamin-XL-336") want.vision = presets::find("ViTamin-XL-256").vision;  // shapes do not show it
    CHECK((same_model(found, want) && file.problems.empty()));
  }
  const temporary_folder dir;
  tiny::write_folder(dir / "own", tiny_vitamin());
  CHECK_THAT(message([&] {
               checkpoint::open(dir / "own/open_clip_model.safetensors", {"", "gelu", 0, -1});
             }),
             Contains("unless its sizes are those of a preset"));
}

TEST_CASE("vitamin: initial values as timm draws them") {
  const auto& c = presets::find("ViTamin-S");
  const auto& a = c.vision.policy();
  const auto rule = [&](const char* name, const shape& s) { return a.initial(cat("visual.", name), s, c); };
  const auto normal = [&](const char* name, const shape& s, double size) {
    INFO(name);
    const auto r = rule(name, s);
    CHECK((!r.uniform && r.mean == 0 && r.size == Approx(size)));
  };
  for (const char* one :
       {"trunk.stem.norm1.weight", "trunk.stages.1.2.pre_norm.weight", "trunk.pool.norm.weight",
        "trunk.transformer.resblocks.3.ln_2.weight", "trunk.transformer.resblocks.3.mlp.norm.weight", "trunk.fc_norm.weight"})
    CHECK((rule(one, {384}).mean == 1 && rule(one, {384}).size == 0));
  for (const char* zero : {"trunk.stem.conv1.bias", "trunk.stages.0.0.conv2_kxk.bias", "trunk.fc_norm.bias",
                           "trunk.transformer.resblocks.0.mlp.c_fc.bias", "trunk.transformer.resblocks.0.attn.in_proj_bias"})
    CHECK((rule(zero, {64}).mean == 0 && rule(zero, {64}).size == 0));
  normal("trunk.stem.conv1.weight", {64, 3, 3, 3}, std::sqrt(2.0 / 576));
  normal("trunk.stages.0.0.conv1_1x1.weight", {256, 64, 1, 1}, std::sqrt(2.0 / 256));
  normal("trunk.stages.0.0.conv2_kxk.weight", {256, 1, 3, 3}, std::sqrt(2.0 / 9));
  normal("trunk.stages.1.0.shortcut.expand.weight", {128, 64, 1, 1}, std::sqrt(2.0 / 128));
  normal("trunk.positional_embedding", {196, 384}, 0.02);
  normal("trunk.transformer.resblocks.0.mlp.c_fc.weight", {1536, 384}, 0.02);
  for (const char* both : {"trunk.conv1.weight", "trunk.conv1.bias"}) {
    const auto r = rule(both, {384});
    CHECK((r.uniform && r.size == Approx(1 / std::sqrt(9 * 128))));
  }
  CHECK(rule("head.proj.weight", {384, 384}).uniform);
}

TEST_CASE("vitamin: trained, written and loaded") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", tiny_vitamin());
  const auto source = checkpoint::open(dir / "m");
  eigen<float> d;
  trainer_options slow;
  slow.schedule = {.peak = 2e-3, .total = 40};
  std::vector<std::uint8_t> rgb(2 * 32 * 32 * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  std::vector<std::vector<std::int32_t>> texts;
  for (auto* text : {"the cat", "a red cat"}) texts.push_back(source.text()(text));
  {
    trainer<vitamin, eigen<float>> t(d, source.settings(), slow);
    read_weights(source, t);
    double first = 0;
    for (int i = 0; i < 15; ++i) {
      t.step(rgb, texts);
      if (i == 0) first = t.loss();
    }
    CHECK(t.loss() < first);
    std::filesystem::create_directory(dir / "tuned");
    write_model(dir / "tuned", t, source.text());
    const trained_model now(t, source.text());
    const auto loaded = load<vitamin>(d, dir / "tuned");
    CHECK(loaded.encode_pixels(rgb).values == now.encode_pixels(rgb).values);
    CHECK(same_model(loaded.source().config(), source.config()));
  }
  auto dropping = source.settings();
  dropping.model.dropout.paths = 0.1;
  CHECK_THAT(message([&] { trainer<vitamin, eigen<float>>(d, dropping, slow); }),
             Contains("timm_drop_path 0.1 (stochastic depth)") && Contains("set it to 0"));
  CHECK(open_clip_config_text(dropping).find("\"timm_drop_path\": 0.1") != std::string::npos);
  slow.patch_dropout = 0.5;
  CHECK_THAT(message([&] { trainer<vitamin, eigen<float>>(d, source.settings(), slow); }), Contains("patch dropout"));
}

}  // namespace test_vitamin
