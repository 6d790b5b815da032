// EVA and PE-Core: configurations that are read and refused, written and read again, a bare file, a model that was trained.
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_eva {

using namespace clipx;
using nlohmann::json;

namespace {
const std::string golden = CLIPX_SOURCE_DIR "/tests/golden/models/";
const char* const golden_names[] = {"eva_01", "eva_02", "eva_02_mean", "eva_02_post", "eva_pe", "eva_pe_big"};
json golden_config(const std::string& name) {
  const auto file = mapped_file::open(golden + name + "/open_clip_config.json");
  return json::parse(std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
}
bool same_model(clip_config a, clip_config b) {
  a.text.eos_id = b.text.eos_id = 0;  // not read where the largest id is pooled, nor written
  return a.vision == b.vision && a.text == b.text && a.act == b.act && a.norm_eps == b.norm_eps && a.embed_dim == b.embed_dim;
}
/// The image tower of a golden file beside a text tower for the tests' tokenizer.
checkpoint_config tiny_eva(const std::string& name) {
  auto c = read_open_clip_config(golden_config(name).dump(), name).model;
  const auto norm_eps = c.text.norm_eps;
  c.text = tiny::vit().model.text;
  c.text.norm_eps = norm_eps;
  return default_config(c);
}
/// The shapes of the file of a model.
class file_of final : public shape_reader {
 public:
  explicit file_of(const clip_config& c) {
    for (auto& [name, s] : parameter_shapes(c))
      for (auto& t : stored_tensors(source_of(c, name, layout::open_clip), s)) shapes_[t.name] = t.sizes;
  }
  bool has(const std::string& name) const override { return shapes_.count(name) > 0; }
  std::vector<dim> sizes(const std::string& name, std::size_t rank) override {
    INFO(name);
    REQUIRE((has(name) && shapes_[name].size() == rank));
    return shapes_[name];
  }
  issue_list& issues() override { return issues_; }

 private:
  std::map<std::string, std::vector<dim>> shapes_;
  issue_list issues_{error_kind::unsupported};
};
}  // namespace

TEST_CASE("eva: open_clip's configuration") {
  const auto read = [&](const char* name, const json& change, const char* part = "vision_cfg") {
    auto now = golden_config(name);
    (*part ? now["model_cfg"][part] : now["model_cfg"]).update(change);
    return read_open_clip_config(now.dump(), "x").model;
  };
  const auto tower = [&](const char* name, const json& change) { return read(name, change).vision.as<eva_vit_config>(); };
  const auto refused = [&](const char* name, const json& change) { return message([&] { read(name, change); }); };

  const auto c = read("eva_02", json::object());
  const auto v = c.vision.as<eva_vit_config>();
  CHECK((c.act == activation::gelu && c.norm_eps == 1e-6 && c.text_norm_eps() == 1e-5 && c.text.causal));
  CHECK((v.width == 16 && v.heads == 2 && v.mlp_width == 43 && v.layers == 2 && v.image_size == 13 && v.patch_size == 4));
  CHECK((v.rotary_side == 5 && v.rotary_first == 0 && !v.rotary_column_first && v.patch_bias && v.pool == vit_pool::token));
  CHECK(v.block == eva_block_variant{.separate_qkv = true, .norm_attn = true, .swiglu = true});
  const auto pe = tower("eva_pe", json::object());
  CHECK((pe.rotary_side == 3 && pe.rotary_first == 1 && pe.rotary_column_first && pe.norm_pre && !pe.patch_bias));
  CHECK((pe.pool_heads == 4 && pe.pool_mlp_width == 24 && pe.block == eva_block_variant{.key_bias = true}));
  CHECK((!tower("eva_pe_big", json::object()).class_token && tower("eva_pe_big", json::object()).pool_heads == 8));
  CHECK(tower("eva_02_post", json::object()).norm_after_pool);  // timm makes it for the mean
  const auto mean = tower("eva_02_mean", json::object());       // made for the class token, whose norm stays where it is
  CHECK((!mean.norm_after_pool && mean.pool == vit_pool::mean && mean.head == vit_head::after_trunk && mean.head_bias));
  const auto own = tower("eva_01", {{"timm_pool", "map"}});  // as wide as the blocks
  CHECK((own.pool_heads == own.heads && own.pool_mlp_width == own.mlp_width));
  const auto quick = read("eva_01", {{"quick_gelu", true}}, "");  // the text tower's alone
  CHECK((quick.act == activation::gelu && quick.text_act() == activation::quick_gelu));

  CHECK_THAT(refused("eva_01", {{"timm_model_name", "eva02_tiny_patch14_224"}}),
             Contains("timm_model_name: eva02_tiny_patch14_224 is not supported, only eva_giant_patch14_224"));
  CHECK_THAT(refused("eva_pe", {{"timm_model_name", "vit_pe_lang_large_patch14_448"}}), Contains("vit_pe_lang_large_patch14_448"));
  CHECK_THAT(refused("eva_01", {{"timm_pool", "max"}}), Contains("timm_pool: \"max\" is not supported"));
  CHECK_THAT(refused("eva_01", {{"timm_pool", "map"}, {"timm_proj", "linear"}}), Contains("adds no attention pooling"));
  CHECK_THAT(refused("eva_01", {{"timm_proj", "none"}}), Contains("expected a width of 10"));
  CHECK_THAT(refused("eva_01", {{"image_size", 14}}), Contains("image_size: 14 is not that of timm_model_kwargs (img_size), 13"));
  CHECK_THAT(refused("eva_pe_big", {{"timm_pool", "token"}}), Contains("expected a class token, which is pooled"));
  CHECK_THAT(refused("eva_02", {{"timm_model_kwargs", {{"num_heads", 8}, {"embed_dim", 48}, {"img_size", 13}, {"patch_size", 4}}}}),
             Contains("expected a head width that 4 divides, got width 48 and 8 heads"));
  CHECK_THAT(refused("eva_02", {{"timm_model_kwargs", {{"img_size", 13}, {"rope_temperature", 100}}}}),
             Contains("timm_model_kwargs: rope_temperature: 100"));
  CHECK_THAT(refused("eva_01", {{"timm_model_kwargs", {{"img_size", 13}, {"ref_feat_shape", 16}}}}),
             Contains("ref_feat_shape: 16"));
  CHECK_THAT(refused("eva_01", {{"timm_model_kwargs", {{"img_size", 13}, {"attn_pool_num_heads", 2}}}}),
             Contains("attn_pool_num_heads: only for a tower with timm_pool map"));
  CHECK_THAT(refused("eva_pe", {{"timm_model_kwargs", {{"img_size", 13}, {"attn_pool_mlp_ratio", 1e-9}}}}),
             Contains("attn_pool_mlp_ratio: expected a number of 1 / "));
  // What could not be read is all that is said: no consequences of the defaults that stand for it.
  const auto one_line = refused("eva_01", {{"image_size", 13}, {"timm_model_kwargs", {{"img_size", -1}}}});
  CHECK_THAT(one_line, Contains("img_size: expected a whole number"));
  CHECK(std::count(one_line.begin(), one_line.end(), '\n') == 1);
}

TEST_CASE("eva: presets, written as open_clip has them, and read") {
  int count = 0;
  for (auto& c : presets::all()) {
    if (!c.vision.is<eva_vit_config>()) continue;
    INFO(c.name);
    ++count;
    const bool pe = c.name.starts_with("PE");
    CHECK((c.act == activation::gelu && c.norm_eps == (pe ? 1e-5 : 1e-6) && c.text_norm_eps() == 1e-5));
    const auto written = default_config(c);
    const auto text = open_clip_config_text(written);
    CHECK((text.find("timm_model_kwargs") == std::string::npos && text.find("\"custom_text\": true") != std::string::npos));
    const auto read = read_open_clip_config(text, c.name);
    CHECK((same_model(read.model, c) && read.pixels == written.pixels));
  }
  CHECK(count == 12);
  const auto &eva = presets::find("EVA02-B-16"), &vit = presets::find("ViT-B-16");  // whose MLP has as many multiply-adds
  CHECK(eva.vision.policy().image_flops(eva) == Approx(vit.vision.policy().image_flops(vit)));
  CHECK(presets::find("EVA02-L-14").vision.as<eva_vit_config>().mlp_width == 2730);
}

TEST_CASE("eva: written and read again") {
  const temporary_folder dir;
  for (auto* name : golden_names) {
    INFO(name);
    const auto own = checkpoint::open(golden + name);
    own.write(dir / name, layout::open_clip, "f32");
    const auto again = checkpoint::open(dir / name);
    CHECK(same_model(again.config(), own.config()));
    CHECK(tiny::read(again) == tiny::read(own));
    CHECK_THAT(message([&] { hf_config_text(own.settings(), "f32", 0, 1, 1); }),
               Contains("Hugging Face's layout has no image tower"));
  }
  CHECK_THAT(checkpoint::open(golden + "eva_pe").summary(),
             Contains("\"architecture\":\"EVA\"") && Contains("\"vision_pool\":\"attention\""));
  for (auto* name :
       {"eva_pe", "eva_01"})  // sizes of the pooling as timm takes them from the others, as a larger tower has them, others
    for (const auto& [heads, mlp_width] : {std::pair<dim, dim>{8, 3072}, {2, 44}, {4, 48}, {1, 5}}) {
      auto c = tiny_eva(name).model;
      auto v = c.vision.as<eva_vit_config>();
      v.pool = vit_pool::attention;
      v.pool_heads = name[4] == 'p' ? heads : heads % 4 + 1;
      v.pool_mlp_width = mlp_width;
      c.vision = v;
      CHECK(same_model(read_open_clip_config(open_clip_config_text(default_config(c)), "x").model, c));
    }
  auto c = tiny_eva("eva_02").model;
  c.norm_eps = 1e-5;
  CHECK_THAT(message([&] { open_clip_config_text(default_config(c)); }), Contains("layer_norm_eps 1e-05"));
  c = tiny_eva("eva_02").model;
  auto v = c.vision.as<eva_vit_config>();
  v.block.post_norm = true;
  c.vision = v;
  CHECK_THAT(message([&] { open_clip_config_text(default_config(c)); }), Contains("no image tower of timm's with these blocks"));
}

TEST_CASE("eva: a bare file") {
  for (auto& p : presets::all()) {
    if (!p.vision.is<eva_vit_config>()) continue;
    INFO(p.name);
    file_of file(p);
    for (auto* a : known_architectures()) {
      INFO(a->name());
      CHECK((a->tells(file) == (a->name() == "EVA") || (a->name() == "SigLIP" && p.name.starts_with("PE"))));
      if (a->tells(file)) break;  // the first in the list is taken
    }
    clip_config c;
    p.vision.policy().infer(file, c);
    CHECK((c.vision == p.vision && c.embed_dim == p.embed_dim && c.norm_eps == p.norm_eps && file.issues().empty()));
    CHECK((c.text.width == p.text.width && c.text.layers == p.text.layers && c.text.context_length == p.text.context_length));
    CHECK((c.text.causal && c.text.pool == text_pool::argmax && c.text.norm_eps == p.text.norm_eps));
  }
  file_of other(tiny_eva("eva_02").model);
  clip_config c;
  architecture::of<eva_vit>().infer(other, c);
  CHECK(!other.issues().empty());
}

TEST_CASE("eva: initial values as timm draws them") {
  const auto &eva = presets::find("EVA02-L-14"), &pe = presets::find("PE-Core-B-16");
  const auto rule = [](const clip_config& c, const char* name, const shape& s) {
    return c.vision.policy().initial(cat("visual.", name), s, c);
  };
  const std::string block = "trunk.transformer.resblocks.7.";
  CHECK(rule(eva, (block + "attn.qkv_proj.weight").c_str(), {3072, 1024}).size == 0.02);
  CHECK(rule(eva, (block + "attn.out_proj.weight").c_str(), {1024, 1024}).size == Approx(0.02 / 4));
  CHECK(rule(eva, (block + "mlp.fc2.weight").c_str(), {1024, 2730}).size == Approx(0.02 / 4));
  CHECK(rule(pe, "trunk.transformer.resblocks.11.mlp.c_proj.weight", {768, 3072}).size == Approx(0.02 / std::sqrt(24)));
  CHECK(rule(pe, "trunk.attn_pool.mlp.c_proj.weight", {768, 3072}).size == 0.02);
  for (const char* one : {"attn.norm.weight", "mlp.norm.weight", "ln_1.weight"}) {
    const auto value = rule(eva, (block + one).c_str(), {1024});
    CHECK((value.mean == 1 && value.size == 0));
  }
  for (const char* zero : {"attn.q_proj.bias", "attn.v_proj.bias", "mlp.fc1_gx.bias", "ln_2.bias"}) {
    const auto value = rule(eva, (block + zero).c_str(), {1024});
    CHECK((value.mean == 0 && value.size == 0));
  }
  CHECK(rule(eva, "trunk.head.weight", {768, 1024}).size == Approx(2e-5));
  CHECK(rule(eva, "trunk.class_embedding", {1024}).size == 0.02);
  CHECK(rule(pe, "trunk.attn_pool.probe", {1, 1, 768}).size == Approx(1 / std::sqrt(768)));
  const auto conv = rule(eva, "trunk.conv1.bias", {1024});
  CHECK((conv.uniform && conv.size == Approx(1 / std::sqrt(3 * 14 * 14))));
}

TEST_CASE("eva: trained, written and loaded") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", tiny_eva("eva_02"));
  const auto source = checkpoint::open(dir / "m");
  eigen<float> d;
  trainer_options slow;
  slow.schedule = {.peak = 2e-3, .total = 40};
  std::vector<std::uint8_t> rgb(2 * 13 * 13 * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  std::vector<std::vector<std::int32_t>> texts;
  for (auto* text : {"the cat", "a red cat"}) texts.push_back(source.text()(text));
  trainer<eva_vit, eigen<float>> t(d, source.settings(), slow);
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
  const auto loaded = load<eva_vit>(d, dir / "tuned");
  CHECK(loaded.encode_pixels(rgb).values == now.encode_pixels(rgb).values);
  CHECK(same_model(loaded.source().config(), source.config()));
}

}  // namespace test_eva
