// Vision transformers and text towers with other choices than CLIP's: configurations that are read and refused, written and read
// again, names of timm's, a model that was trained.
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_plain {

using namespace clipx;
using nlohmann::json;

namespace {
const std::string golden = CLIPX_SOURCE_DIR "/tests/golden/models/";
const json clipa{{"embed_dim", 768},
                 {"vision_cfg",
                  {{"image_size", 224},
                   {"layers", 24},
                   {"width", 1024},
                   {"patch_size", 14},
                   {"no_ln_pre", true},
                   {"pool_type", "avg"},
                   {"final_ln_after_pool", true}}},
                 {"text_cfg",
                  {{"context_length", 32},
                   {"vocab_size", 32000},
                   {"hf_tokenizer_name", "bert-base-uncased"},
                   {"tokenizer_kwargs", {{"strip_sep_token", true}}},
                   {"width", 768},
                   {"heads", 12},
                   {"layers", 12},
                   {"pool_type", "last"},
                   {"no_causal_mask", true}}}};
const json mobile{
    {"embed_dim", 768},
    {"vision_cfg",
     {{"timm_model_name", "vit_large_patch14_clip_224"},
      {"timm_model_pretrained", false},
      {"timm_pool", "token"},
      {"timm_proj", nullptr},
      {"timm_drop", 0.0},
      {"timm_drop_path", 0.1},
      {"image_size", 224}}},
    {"text_cfg",
     {{"context_length", 77}, {"vocab_size", 49408}, {"width", 768}, {"heads", 12}, {"layers", 12}, {"no_causal_mask", true}}},
    {"custom_text", true}};

checkpoint_config read(json config, const char* part = "", const json& change = json::object()) {
  auto& at = *part ? config[part] : config;
  at.update(change);
  return read_open_clip_config(config.dump(), "x");
}
std::string refused(const json& config, const char* part, const json& change) {
  return message([&] { read(config, part, change); });
}
plain_vit_config image_of(const checkpoint_config& c) { return c.model.vision.as<plain_vit_config>(); }
bool same_model(const clip_config& a, const clip_config& b) {
  return a.vision == b.vision && a.text == b.text && a.act == b.act && a.norm_eps == b.norm_eps && a.embed_dim == b.embed_dim;
}
/// A tiny model with timm's names, whose texts see their padding.
checkpoint_config tiny_timm() {
  auto c = tiny::vit().model;
  c.act = activation::gelu;
  c.vision = plain_vit_config{.image_size = 32,
                              .patch_size = 8,
                              .width = 48,
                              .heads = 3,
                              .mlp_width = 100,
                              .layers = 2,
                              .class_position = false,
                              .head = vit_head::trunk,
                              .head_bias = true,
                              .timm = true};
  c.text.causal = false;
  c.text.eos_id = text_config{}.eos_id;  // not read
  return default_config(c);
}
}  // namespace

TEST_CASE("plain: CLIPA's configuration") {
  const auto c = read(clipa);
  CHECK(same_model(c.model, presets::find("ViT-L-14-CLIPA")));
  CHECK((c.text.follows == tokenizer_options::library::hf && c.text.frame.zeroed == token_frame::from_files && c.text.frame.fill));
  CHECK((c.pixels.resize == resize_mode::squash && c.pixels.interpolation == filter::bilinear));
  CHECK((c.pixels.mean[0] == 0.485f && c.pixels.std[2] == 0.225f));
  const json wrapped{{"model_cfg", clipa}, {"preprocess_cfg", json::object()}};
  CHECK(read(wrapped).pixels.interpolation == filter::bicubic);  // as open_clip reads it
  CHECK(read(json::parse(open_clip_config_text(default_config(presets::find("ViT-B-16-SigLIP"))))["model_cfg"]).pixels.resize ==
        resize_mode::squash);
  CHECK(image_of(read(clipa, "vision_cfg", {{"norm_kwargs", {{"eps", 1e-3}}}})).norm_after_pool);
  CHECK(read(clipa, "vision_cfg", {{"norm_kwargs", {{"eps", 1e-3}}}}).model.norm_eps == 1e-3);
  CHECK(read(clipa, "vision_cfg", {{"act_kwargs", {{"approximate", "tanh"}}}}).model.text_act() == activation::gelu);
  CHECK(read(clipa, "text_cfg", {{"no_causal_mask", false}}).text.frame.fill);  // the last position is pooled
  CHECK(read(clipa, "text_cfg", {{"pool_type", "first"}}).model.text.pool == text_pool::first);
  CHECK(read(clipa, "text_cfg", {{"pool_type", "eos"}, {"eos_id", 7}}).model.text.eos_id == 7);
  CHECK(read(clipa, "text_cfg", {{"proj_bias", true}}).model.text.projection_bias);
  CHECK(!read(clipa, "text_cfg", {{"proj_type", "none"}}).model.text.projection);
  CHECK_THAT(refused(clipa, "vision_cfg", {{"pool_type", "none"}}), Contains("pool_type: \"none\" is not supported"));
  CHECK_THAT(refused(clipa, "vision_cfg", {{"qk_norm", true}}), Contains("qk_norm: true"));
  CHECK_THAT(refused(clipa, "vision_cfg", {{"rope", true}}), Contains("rope: true is not known"));
  CHECK_THAT(refused(clipa, "vision_cfg", {{"pos_embed_type", "sin_cos_2d"}}), Contains("sin_cos_2d"));
  CHECK_THAT(refused(clipa, "text_cfg", {{"pool_type", "none"}}), Contains("pool_type: none is not supported"));
  CHECK_THAT(refused(clipa, "text_cfg", {{"embed_cls", true}}), Contains("embed_cls: true"));
  CHECK_THAT(refused(clipa, "text_cfg", {{"width", 1024}, {"proj_type", "none"}}), Contains("expected a projection"));
  CHECK_THAT(refused(clipa, "text_cfg", {{"hf_tokenizer_name", nullptr}}), Contains("strip_sep_token: true needs"));
}

TEST_CASE("plain: a tower of timm's") {
  const auto c = read(mobile);
  CHECK(same_model(c.model, presets::find("MobileCLIP2-L-14")));
  CHECK(c.text.frame.fill);
  CHECK(c.model.dropout == image_dropout{0, 0, 0.1});
  CHECK_THAT(open_clip_config_text(c), Contains("\"timm_drop_path\": 0.1"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"patch_dropout", 1}}),
             Contains("patch_dropout: expected a fraction of 0 to below 1, got 1"));
  CHECK((c.pixels.interpolation == filter::bicubic && c.pixels.resize == resize_mode::shortest));
  const auto head = [&](const json& change) { return image_of(read(mobile, "vision_cfg", change)); };
  CHECK((c.model.norm_eps == 1e-5 && image_of(c).norm_pre && !image_of(c).patch_bias && image_of(c).head == vit_head::trunk));
  CHECK((head({{"timm_pool", "avg"}}).norm_after_pool && head({{"timm_pool", "avg"}}).pool == vit_pool::mean));
  const auto linear = head({{"timm_pool", "avg"}, {"timm_proj", "linear"}});
  CHECK((!linear.norm_after_pool && linear.pool == vit_pool::mean && linear.head == vit_head::after_trunk && !linear.head_bias));
  CHECK(head({{"timm_pool", ""}, {"timm_proj", "linear"}, {"timm_proj_bias", true}}).head_bias);
  CHECK(head({{"timm_pool", "map"}, {"timm_model_kwargs", {{"class_token", false}}}}).pool == vit_pool::attention);
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_pool", "map"}}), Contains("attention pooling") && Contains("class token"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_pool", nullptr}}), Contains("timm_pool: null"));
  CHECK(image_of(read(mobile, "",
                      {{"embed_dim", 1024},
                       {"vision_cfg",
                        [&] {
                          auto v = mobile["vision_cfg"];
                          v["timm_proj"] = "none";
                          return v;
                        }()}}))
            .head == vit_head::none);
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_pool", ""}}), Contains("timm_pool: \"\" is not supported"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_pool", "map"}, {"timm_proj", "linear"}}), Contains("adds no attention pooling"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_proj", "mlp"}}), Contains("timm_proj: mlp"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_proj", "none"}}), Contains("expected a width of 768"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"image_size", 336}}), Contains("image_size: 336 is not that of"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_model_kwargs", {{"reg_tokens", 4}}}}), Contains("reg_tokens: 4"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_model_kwargs", {{"class_token", false}}}}),
             Contains("expected a class token, which is pooled"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_model_name", "fastvit_mci0"}}),
             Contains("timm_model_name: \"fastvit_mci0\" is none of the image towers"));
  CHECK_THAT(refused(mobile, "vision_cfg", {{"timm_model_name", "vit_base_patch16_reg4_gap_256"}}),
             Contains("vit_base_patch16_reg4_gap_256"));
}

TEST_CASE("plain: names of timm's") {
  const auto b = timm_vit_named("vit_base_patch16_224"), l = timm_vit_named("vit_large_patch14_clip_quickgelu_336");
  REQUIRE((b && l));
  CHECK((b->norm_eps == 1e-6 && b->sizes.patch_bias && !b->sizes.norm_pre && b->act == activation::gelu));
  CHECK((l->norm_eps == 1e-5 && l->sizes.image_size == 336 && l->sizes.norm_pre && l->act == activation::quick_gelu));
  const auto plus = timm_vit_named("vit_base_patch16_plus_clip_240"), giant = timm_vit_named("vit_giant_patch14_224");
  REQUIRE((plus && giant));
  CHECK((plus->sizes.width == 896 && plus->sizes.heads == 14 && giant->sizes.mlp_width == 6144));
  for (auto name : timm_vit_names()) {
    INFO(name);
    REQUIRE(timm_vit_named(name));
    CHECK(timm_vit_name(*timm_vit_named(name)) == name);
  }
  for (auto* name :
       {"", "vit_", "vit_base_patch16", "vit_base_patch16_", "vit_base_patch16_224_miil", "vit_base_patch0_224",
        "vit_base_patch16_100", "vit_base_patch16_99999", "vit_base_patch16_reg4_gap_256", "vit_large_patch16_plus_clip_240",
        "vit_base_patch16_siglip_224", "vit_relpos_medium_patch16_cls_224", "vit_base_patch16_clip"}) {
    INFO(name);
    CHECK(!timm_vit_named(name));
  }
}

TEST_CASE("plain: MetaCLIP 2, whose end token is really 2") {
  const auto read = [](const char* type) {
    return read_hf_config(json{{"model_type", type}, {"text_config", {{"eos_token_id", 2}, {"vocab_size", 901629}}}}.dump(), "",
                          "x");
  };
  const auto meta = read("metaclip_2");
  CHECK((meta.model.text.pool == text_pool::eos && meta.model.text.eos_id == 2));
  CHECK(read("clip").model.text.pool == text_pool::argmax);
  const auto written = json::parse(hf_config_text(meta, "f32", 0, 2, 1));
  CHECK((written["model_type"] == "metaclip_2" && written["architectures"][0] == "MetaClip2Model"));
  CHECK((written["text_config"]["model_type"] == "metaclip_2_text_model" && written["text_config"]["eos_token_id"] == 2));
  CHECK(same_model(read_hf_config(written.dump(), "", "x").model, meta.model));
  const auto as_open_clip = json::parse(open_clip_config_text(meta))["model_cfg"];
  CHECK((as_open_clip["text_cfg"]["pool_type"] == "eos" && as_open_clip["text_cfg"]["eos_id"] == 2));
  CHECK(as_open_clip["text_cfg"]["hf_tokenizer_name"] == "local-dir");
  CHECK(as_open_clip["text_cfg"]["tokenizer_kwargs"]["clean"] == "whitespace");
  const auto again = read_open_clip_config(as_open_clip.dump(), "x");
  CHECK(same_model(again.model, meta.model));
  CHECK(open_clip_config_text(again).find("hf_tokenizer_name") != std::string::npos);
  CHECK(open_clip_config_text(read("clip")).find("hf_tokenizer_name") == std::string::npos);  // CLIP's own vocabulary
}

TEST_CASE("plain: presets, as open_clip has them, written and read again") {
  int count = 0;
  for (auto& c : presets::all()) {
    if (!c.vision.is<plain_vit_config>()) continue;
    INFO(c.name);
    ++count;
    auto settings = default_config(c);
    const auto text = open_clip_config_text(settings);
    CHECK(text.find("timm_model_kwargs") == std::string::npos);
    const auto again = read_open_clip_config(text, c.name);
    CHECK(same_model(again.model, c));
    CHECK(again.pixels == settings.pixels);
    CHECK_THAT(message([&] { hf_config_text(settings, "f32", 0, 1, 1); }), Contains("Hugging Face's layout has no image tower"));
  }
  CHECK(count >= 7);
}

TEST_CASE("plain: golden folders, written and read again") {
  const temporary_folder dir;
  for (auto* name : {"plain_clipa", "plain_options", "plain_text", "plain_timm_clip", "plain_timm_avg", "plain_timm_linear",
                     "plain_timm_none", "plain_scaled", "plain_timm_gap"}) {
    INFO(name);
    const auto own = checkpoint::open(golden + name);
    const auto folder = dir / name;
    own.write(folder, layout::open_clip, "f32");
    const auto again = checkpoint::open(folder);
    CHECK(same_model(again.config(), own.config()));
    CHECK(tiny::read(again) == tiny::read(own));
    CHECK_THAT(message([&] { hf_config_text(own.settings(), "f32", 0, 1, 1); }), Contains("Hugging Face's layout"));
  }
  const auto file = safetensors::open(dir / "plain_clipa/open_clip_model.safetensors");
  CHECK(file.find("text.text_projection")->shape == std::vector<dim>{16, 10});
  CHECK(file.find("visual.proj")->shape == std::vector<dim>{12, 10});
  CHECK_THAT(checkpoint::open(golden + "plain_timm_clip").summary(),
             Contains("\"architecture\":\"PlainViT\"") && Contains("\"vision_pool\":\"class token\""));
  CHECK_THAT(checkpoint::open(golden + "plain_timm_avg").summary(), Contains("\"text_pool\":\"first position\""));
}

TEST_CASE("plain: sizes that no name of timm's has, in names from which timm can make them") {
  const auto name = [](plain_vit_config v, double eps) {
    auto c = tiny_timm().model;
    c.vision = v;
    c.norm_eps = eps;
    return json::parse(open_clip_config_text(default_config(c)))["model_cfg"]["vision_cfg"]["timm_model_name"].get<std::string>();
  };
  auto v = image_of(tiny_timm());
  CHECK(name(v, 1e-5) == "vit_base_patch16_clip_224");
  v.head = vit_head::after_trunk;
  v.head_bias = v.class_token = false;
  v.pool = vit_pool::mean;
  CHECK_THAT(message([&] { name(v, 1e-5); }), Contains("without a class token"));
  v.norm_pre = false;
  v.patch_bias = true;
  CHECK(name(v, 1e-6) == "vit_base_patch16_gap_224");
}

TEST_CASE("plain: a file alone, whose shapes do not say enough") {
  CHECK_THAT(message([&] {
               checkpoint::open(golden + "plain_timm_clip/open_clip_model.safetensors", {"", "gelu", 6, -1});
             }),
             Contains("does not say how images and texts are pooled") && Contains("open_clip_config.json"));
}

TEST_CASE("plain: trained, written and loaded") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", tiny_timm());
  const auto source = checkpoint::open(dir / "m");
  eigen<float> d;
  trainer_options slow;
  slow.schedule = {.peak = 2e-4, .total = 40};
  trainer<plain_vit, eigen<float>, contrastive> t(d, source.settings(), slow);
  std::vector<std::uint8_t> rgb(3 * 32 * 32 * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  std::vector<std::vector<std::int32_t>> texts;
  for (auto* text : {"the cat", "a red cat", "of"}) texts.push_back(source.text()(text));
  CHECK((texts[0].size() == 16 && texts[0].back() == 0));
  double first = 0;
  for (int i = 0; i < 20; ++i) {
    t.step(rgb, texts);
    if (i == 0) first = t.loss();
  }
  CHECK(t.loss() < first);
  std::filesystem::create_directory(dir / "new");
  write_model(dir / "new", t, source.text());
  const trained_model now(t, source.text());
  const auto loaded = load<plain_vit>(d, dir / "new");
  CHECK(loaded.encode_pixels(rgb).values == now.encode_pixels(rgb).values);
  CHECK(loaded.encode_text({"the cat"}).values == now.encode_text(std::vector<std::string>{"the cat"}).values);
  CHECK(same_model(loaded.source().config(), source.config()));
  auto unfilled = tiny_timm();
  unfilled.text.frame.fill = false;
  CHECK_THAT(message([&] { check_config(unfilled); }), Contains("not padded") && Contains("not causal"));
  trainer_options dropping;
  dropping.patch_dropout = 0.5;
  CHECK_THAT(message([&] { trainer<plain_vit, eigen<float>, contrastive>(d, source.settings(), dropping); }),
             Contains("patch dropout"));
  auto configured = source.settings();
  configured.model.dropout.values = 0.1;
  CHECK_THAT(message([&] { trainer<plain_vit, eigen<float>, contrastive>(d, configured, {}); }),
             Contains("timm_drop 0.1 (dropout)"));
  configured.model.dropout.paths = 0.2;  // all of them at once, and none where the tower is not trained
  CHECK_THAT(message([&] { options_for({}, configured.model); }), Contains("timm_drop 0.1") && Contains("timm_drop_path 0.2"));
  trainer_options locked;
  locked.gradients.train_image = false;
  CHECK(*options_for(locked, configured.model).patch_dropout == 0);
  configured.model.dropout.patches = 0.3;
  CHECK(*options_for(locked, configured.model).patch_dropout == 0.3);
}

TEST_CASE("plain: a trainer drops the patches that the configuration says") {
  eigen<float> d;
  const auto first_loss = [&](double configured, std::optional<double> asked) {
    auto c = default_config(tiny::vit().model);
    c.model.dropout.patches = configured;
    trainer<vit, eigen<float>> t(d, c, {.patch_dropout = asked, .seed = 3});
    std::vector<std::uint8_t> rgb(3 * 32 * 32 * 3);
    for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
    t.step(rgb, std::vector<std::vector<std::int32_t>>{{520, 1, 521}, {520, 2, 521}, {520, 3, 4, 521}});
    return t.loss();
  };
  const double whole = first_loss(0, {}), half = first_loss(0, 0.5);
  CHECK(half != whole);
  CHECK(first_loss(0.5, {}) == half);
  CHECK(first_loss(0.5, 0.0) == whole);
}

}  // namespace test_plain
