// SigLIP: configurations that are read and refused, both layouts written and read again, a model that was trained.
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_siglip {

using namespace clipx;
using nlohmann::json;

namespace {
const std::string golden = CLIPX_SOURCE_DIR "/tests/golden/models/";
json read_json(const std::string& path) {
  const auto file = mapped_file::open(path);
  return json::parse(std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
}
bool same_model(const clip_config& a, const clip_config& b) {
  return a.vision == b.vision && a.text == b.text && a.act == b.act && a.norm_eps == b.norm_eps && a.embed_dim == b.embed_dim &&
         a.loss == b.loss;
}
/// The embeddings of two images and of two texts, given as ids: what a text is padded with differs between tokenizers.
std::vector<float> answers(const std::string& folder) {
  eigen<float> d;
  const auto model = load<siglip_vit>(d, folder);
  const auto n = static_cast<std::size_t>(image_size(model.source().config()).area());
  std::vector<std::uint8_t> rgb(2 * n * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  auto out = model.encode_pixels(rgb).values;
  std::vector<std::vector<std::int32_t>> rows(2, std::vector<std::int32_t>(16, 1));
  for (std::size_t i = 0; i < 6; ++i) rows[i % 2][i] = static_cast<std::int32_t>(70 * i + 2);
  const auto texts = embed_tokens(model.model(), rows).values;
  out.insert(out.end(), texts.begin(), texts.end());
  return out;
}
}  // namespace

TEST_CASE("siglip: open_clip's configuration") {
  const auto config = read_json(golden + "siglip_2/open_clip_config.json");
  const auto read = [&](const char* part, const json& change) {
    auto now = config;
    auto& at = *part ? now["model_cfg"][part] : now["model_cfg"];
    at.update(change);
    return read_open_clip_config(now.dump(), "x");
  };
  const auto refused = [&](const char* part, const json& change) { return message([&] { read(part, change); }); };
  const auto c = read("", json::object()).model;
  CHECK(c.vision == siglip_vit_config{13, 4, 12, 2, 44, 1});
  CHECK((c.act == activation::gelu && c.text_act() == activation::gelu_tanh && c.norm_eps == 1e-6 && c.text_norm_eps() == 1e-6));
  CHECK((c.text.pool == text_pool::last && c.text.projection && c.text.context_length == 8));
  CHECK(read("text_cfg", {{"norm_kwargs", {{"eps", 1e-5}}}}).model.text_norm_eps() == 1e-5);
  CHECK(read("", {{"quick_gelu", true},
                  {"text_cfg",
                   [&] {
                     auto t = config["model_cfg"]["text_cfg"];
                     t.erase("act_kwargs");
                     return t;
                   }()}})
            .model.text_act() == activation::quick_gelu);
  const auto cleaned = [&](const char* rule) {
    return read("text_cfg", {{"hf_tokenizer_name", "x"}, {"tokenizer_kwargs", {{"clean", rule}}}}).text.clean;
  };
  CHECK((cleaned("canonicalize") == clean_rule::canonicalize && cleaned("lower") == clean_rule::openai));
  CHECK_THAT(refused("text_cfg", {{"tokenizer_kwargs", {{"clean", "x"}}}}), Contains("clean: x is not supported"));
  CHECK_THAT(refused("text_cfg", {{"tokenizer_kwargs", {{"strip_sep_token", true}}}}),
             Contains("strip_sep_token: true needs an hf_tokenizer_name"));
  CHECK_THAT(refused("text_cfg", {{"no_causal_mask", false}}), Contains("text_cfg: no_causal_mask: false is not supported"));
  CHECK_THAT(refused("text_cfg", {{"pool_type", "argmax"}}), Contains("pool_type: argmax") && Contains("only last"));
  CHECK_THAT(refused("text_cfg", {{"proj_bias", false}}), Contains("proj_bias: false"));
  CHECK_THAT(refused("text_cfg", {{"proj_type", "mlp"}}), Contains("proj_type: mlp"));
  CHECK_THAT(refused("text_cfg", {{"use_pad_mask", true}}), Contains("use_pad_mask: true is not supported"));
  CHECK_THAT(refused("text_cfg", {{"act_kwargs", {{"approximate", "none"}, {"x", 1}}}}), Contains("text_cfg.act_kwargs: x: 1"));
  CHECK_THAT(refused("text_cfg", {{"norm_kwargs", {{"bias", false}}}}), Contains("text_cfg.norm_kwargs: bias: false"));
  CHECK_THAT(refused("text_cfg", {{"rope", true}}), Contains("rope: true is not known"));
  CHECK_THAT(refused("", {{"quick_gelu", true}}), Contains("QuickGELU has no such option"));
  CHECK_THAT(refused("vision_cfg", {{"timm_pool", "avg"}}), Contains("timm_pool: \"avg\" is not supported, only \"map\""));
  CHECK_THAT(refused("vision_cfg", {{"timm_proj", "linear"}}), Contains("timm_proj: linear"));
  CHECK_THAT(refused("vision_cfg", {{"image_size", 14}}),
             Contains("image_size: 14 is not that of timm_model_kwargs (img_size), 13"));
  CHECK_THAT(refused("vision_cfg", {{"timm_model_kwargs", {{"embed_dim", 12}, {"init_values", 0.1}}}}),
             Contains("init_values: 0.1"));
  CHECK_THAT(refused("vision_cfg", {{"timm_model_name", "vit_base_patch16_siglip_gap_224"}}),
             Contains("vit_base_patch16_siglip_gap_224 is not supported"));
  CHECK_THAT(refused("vision_cfg", {{"rope", true}}), Contains("rope: true is not known"));
  CHECK_THAT(refused("", {{"embed_dim", 16}}), Contains("image tower: expected the width of the embedding, 16, got 12"));
  CHECK_THAT(refused("text_cfg", {{"proj_type", "none"}}), Contains("expected a projection, or the width of the embedding"));
}

TEST_CASE("siglip: Hugging Face's configuration, which stores what is not the default") {
  const auto read = [](const json& config, const char* pixels = "") { return read_hf_config(config.dump(), pixels, "x"); };
  const auto plain = read({{"model_type", "siglip"}, {"text_config", json::object()}, {"vision_config", json::object()}});
  auto want = presets::find("ViT-B-16-SigLIP");
  want.act = activation::gelu_tanh;  // transformers' form
  CHECK(same_model(plain.model, want));
  CHECK((plain.pixels.resize == resize_mode::squash && plain.pixels.mean[1] == 0.5f && plain.pixels.std[1] == 0.5f));
  CHECK(plain.text.frame.fill);
  const auto so = read({{"model_type", "siglip"},
                        {"text_config",
                         {{"hidden_size", 1152},
                          {"projection_size", 1536},
                          {"vocab_size", 256000},
                          {"intermediate_size", 4304},
                          {"num_hidden_layers", 27},
                          {"num_attention_heads", 16}}},
                        {"vision_config",
                         {{"hidden_size", 1536},
                          {"intermediate_size", 6144},
                          {"num_hidden_layers", 40},
                          {"num_attention_heads", 16},
                          {"image_size", 384}}}});
  auto gopt = presets::find("ViT-gopt-16-SigLIP2-384");
  CHECK(same_model(so.model, gopt));
  const auto refused = [&](const json& config, const char* pixels = "") { return message([&] { read(config, pixels); }); };
  CHECK_THAT(refused({{"model_type", "siglip2"}, {"vision_config", {{"num_patches", 256}}}}), Contains("NaFlex"));
  CHECK_THAT(refused({{"model_type", "siglip_audio_model"}}),
             Contains("model_type: \"siglip_audio_model\" is not supported, only \"clip\" and \"siglip\""));
  CHECK_THAT(refused({{"model_type", "siglip"}, {"vision_config", {{"vision_use_head", false}}}}),
             Contains("vision_use_head: false"));
  CHECK_THAT(refused({{"model_type", "siglip"}, {"text_config", {{"projection_size", 512}}}}), Contains("512") && Contains("768"));
  // the image processor's own defaults, and what google's SigLIP 2 has
  const json image{{"model_type", "siglip"}};
  CHECK(read(image, "{\"image_processor_type\": \"SiglipImageProcessor\"}").pixels.interpolation == filter::bicubic);
  const auto two = read(image, R"({"image_processor_type": "SiglipImageProcessorFast", "resample": 2, "do_center_crop": null,
                                   "size": {"height": 224, "width": 224}, "image_mean": [0.5, 0.5, 0.5]})");
  CHECK((two.pixels.interpolation == filter::bilinear && two.pixels.resize == resize_mode::squash));
  CHECK_THAT(refused(image, "{\"image_processor_type\": \"CLIPImageProcessor\"}"), Contains("only SiglipImageProcessor"));
}

TEST_CASE("siglip: both layouts, written and read again") {
  const temporary_folder dir;
  tiny::write_folder(dir / "own", tiny::siglip());
  const auto own = checkpoint::open(dir / "own");
  CHECK(same_model(own.config(), tiny::siglip().model));
  CHECK(tiny::read(own) == tiny::weights(own.config()));
  own.write(dir / "again", layout::open_clip, "f32");
  own.write(dir / "hf", layout::hf, "f32");
  const auto hf = checkpoint::open(dir / "hf");
  CHECK(same_model(hf.config(), own.config()));
  CHECK(hf.settings().pixels.mean == own.settings().pixels.mean);
  CHECK(tiny::read(hf) == tiny::read(own));
  const auto file = safetensors::open(dir / "hf/model.safetensors");
  CHECK(file.find("logit_bias")->shape == std::vector<dim>{1});
  CHECK(file.find("vision_model.head.attention.in_proj_weight")->shape == std::vector<dim>{144, 48});
  CHECK(read_json(dir / "hf/config.json")["model_type"] == "siglip");
  CHECK(read_json(dir / "hf/preprocessor_config.json")["image_processor_type"] == "SiglipImageProcessor");
  hf.write(dir / "back", layout::open_clip, "f32");
  const auto back = safetensors::open(dir / "back/open_clip_model.safetensors"),
             before = safetensors::open(dir / "own/open_clip_model.safetensors");
  REQUIRE(back.tensors().size() == before.tensors().size());
  for (auto& t : before.tensors()) {
    INFO(t.name);
    REQUIRE(back.find(t.name) != nullptr);
    CHECK(back.find(t.name)->shape == t.shape);
  }
  const auto words = read_json(dir / "back/open_clip_config.json")["model_cfg"]["text_cfg"];
  CHECK(words["tokenizer_kwargs"]["clean"] == "canonicalize");  // as in open_clip's own
  CHECK(checkpoint::open(dir / "back").settings().text.clean == clean_rule::canonicalize);
  CHECK(before.find("visual.trunk.pos_embed")->shape == std::vector<dim>{1, 16, 48});
  CHECK(before.find("visual.trunk.attn_pool.kv.weight")->shape == std::vector<dim>{96, 48});
  const auto want = answers(dir / "own");
  for (auto* folder : {"again", "hf", "back"}) {
    INFO(folder);
    CHECK(answers(dir / folder) == want);
  }
}

TEST_CASE("siglip: what a layout cannot hold") {
  const temporary_folder dir;
  auto c = tiny::siglip();
  c.model.text.width = 48;
  c.model.text.projection = false;
  tiny::write_folder(dir / "none", c);
  CHECK_THAT(message([&] { checkpoint::open(dir / "none").write(dir / "a", layout::hf, "f32"); }),
             Contains("without a projection"));
  CHECK(answers(dir / "none").size() == 4 * 48);
  c = tiny::siglip();
  c.model.act = activation::quick_gelu;
  CHECK_THAT(message([&] { open_clip_config_text(c); }), Contains("no SigLIP image tower with the activation quick_gelu"));
  c = tiny::siglip();
  c.model.loss = contrastive::config{};
  CHECK_THAT(message([&] { hf_config_text(c, "f32", 0, 1, 1); }), Contains("SiglipModel") && Contains("contrastive"));
  c = tiny::siglip();
  c.text.frame.fill = false;
  CHECK_THAT(message([&] { check_config(c); }), Contains("not padded") && Contains("frame.fill"));
  CHECK_THAT(message([&] {
               checkpoint::open(golden + "siglip/open_clip_model.safetensors", {"", "gelu", 0, -1});
             }),
             Contains("the heads of an image tower of width 12") && Contains("text tower of width 8"));
  CHECK_THAT(message([&] { checkpoint::open(golden + "siglip", {"", "", 0, 5}); }), Contains("pools the last position"));
  CHECK_THAT(checkpoint::open(golden + "siglip_2").summary(), Contains("\"text_pool\":\"last position\"") &&
                                                                  Contains("\"text_activation\":\"gelu_tanh\"") &&
                                                                  Contains("\"architecture\":\"SigLIP\""));
}

TEST_CASE("siglip: trained, written and loaded") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", tiny::siglip());
  const auto source = checkpoint::open(dir / "m");
  eigen<float> d;
  for (const bool fine_tuned : {false, true}) {
    INFO("fine-tuned " << fine_tuned);
    trainer_options slow;
    slow.schedule = {.peak = 2e-4, .total = 40};
    trainer<siglip_vit, eigen<float>, sigmoid> t(d, source.settings(), slow);
    if (fine_tuned) read_weights(source, t);
    std::vector<std::uint8_t> rgb(3 * 32 * 32 * 3);
    for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
    std::vector<std::vector<std::int32_t>> texts;
    for (auto* text : {"the cat", "a red cat", "of"}) texts.push_back(source.text()(text));
    CHECK(texts[0].size() == 16);
    double first = 0;
    for (int i = 0; i < 20; ++i) {
      t.step(rgb, texts);
      if (i == 0) first = t.loss();
    }
    CHECK(t.loss() < first);
    const auto folder = dir / (fine_tuned ? "tuned" : "new");
    std::filesystem::create_directory(folder);
    write_model(folder, t, source.text());
    const trained_model now(t, source.text());
    const auto loaded = load<siglip_vit>(d, folder);
    CHECK(loaded.encode_pixels(rgb).values == now.encode_pixels(rgb).values);
    CHECK(loaded.encode_text({"the cat"}).values == now.encode_text(std::vector<std::string>{"the cat"}).values);
    CHECK(same_model(loaded.source().config(), source.config()));
  }
  trainer_options dropping;
  dropping.patch_dropout = 0.5;
  CHECK_THAT(message([&] { trainer<siglip_vit, eigen<float>, sigmoid>(d, source.settings(), dropping); }),
             Contains("patch dropout"));
}

}  // namespace test_siglip
