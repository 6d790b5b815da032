// Definitions of vitamin.hpp (timm 1.0's vitamin.py; open_clip 3.3's timm_model.py).
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "../core/error.hpp"
#include "vitamin.hpp"

namespace clipx {
namespace detail {
/// timm's towers. Two names may stand for the same one.
struct timm_vitamin {
  std::string_view name;
  dim image_size, stem_width;
  std::array<dim, 2> widths;
  dim width, layers, heads;
  bool position_table = true;

  operator vitamin_config() const {
    return {.image_size = image_size,
            .stem_width = stem_width,
            .widths = widths,
            .width = width,
            .layers = layers,
            .heads = heads,
            .mlp_width = 2 * width,
            .position_table = position_table};
  }
};
inline constexpr std::array<timm_vitamin, 13> timm_vitamins{{{"vitamin_small_224", 224, 64, {64, 128}, 384, 14, 6},
                                                             {"vitamin_base_224", 224, 128, {128, 256}, 768, 14, 12},
                                                             {"vitamin_large_224", 224, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_large_256", 256, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_large_336", 336, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_large_384", 384, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_large2_224", 224, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_large2_256", 256, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_large2_336", 336, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_large2_384", 384, 160, {160, 320}, 1024, 31, 16},
                                                             {"vitamin_xlarge_256", 256, 192, {192, 384}, 1152, 32, 16, false},
                                                             {"vitamin_xlarge_336", 336, 192, {192, 384}, 1152, 32, 16, false},
                                                             {"vitamin_xlarge_384", 384, 192, {192, 384}, 1152, 32, 16, false}}};
/// What a name of timm's does not say of a tower is taken from `v`; a tower without a position table takes images of any size.
inline vitamin_config named_vitamin(const timm_vitamin& t, const vitamin_config& v) {
  vitamin_config named = t;
  named.head_bias = v.head_bias;
  if (!named.position_table) named.image_size = v.image_size;
  return named;
}
/// The name of the tower with these sizes; else the smallest one's.
inline const timm_vitamin& nearest_vitamin(const vitamin_config& v) {
  const auto same = [&](const timm_vitamin& t) { return named_vitamin(t, v) == v; };
  const auto exact = [&](const timm_vitamin& t) { return same(t) && t.image_size == v.image_size; };
  auto found = std::find_if(timm_vitamins.begin(), timm_vitamins.end(), exact);
  if (found == timm_vitamins.end()) found = std::find_if(timm_vitamins.begin(), timm_vitamins.end(), same);
  return found == timm_vitamins.end() ? timm_vitamins[0] : *found;
}

/// Arguments of timm.create_model that later versions of open_clip pass on: they replace what the tower's name says. embed_cfg has
/// the fields of timm's VitCfg, an object of Python, so that open_clip itself cannot read it.
inline void read_vitamin_kwargs(fields& f, vitamin_config& v) {
  v.image_size = f.square("img_size", v.image_size);
  const double ratio = static_cast<double>(v.mlp_width) / static_cast<double>(v.width);
  const bool wide = f.has("embed_dim") || f.has("mlp_ratio");
  v.width = f.size("embed_dim", v.width);
  v.layers = f.size("depth", v.layers, 10000);
  v.heads = f.size("num_heads", v.heads);
  if (wide) v.mlp_width = f.times(v.width, "mlp_ratio", ratio);
  const auto table = f.text("pos_embed", v.position_table ? "learn" : "none");
  if (table != "learn" && table != "none") f.issue(cat("pos_embed: ", table, " is not supported, only learn and none"));
  v.position_table = table != "none";
  auto conv = f.object("embed_cfg", "vision_cfg.timm_model_kwargs.embed_cfg");
  v.stem_width = conv.size("stem_width", v.stem_width, dim{1} << 16);
  const auto two = [&](const char* key, std::array<dim, 2>& to, dim most) {
    if (!conv.has(key)) return dim{0};
    const auto list = conv.sizes(key, 3, most);
    if (list.size() == 3) std::copy_n(list.begin(), 2, to.begin());
    return list.size() == 3 ? list[2] : dim{0};
  };
  if (const dim last = two("embed_dim", v.widths, dim{1} << 16); last != 0 && last != v.width)
    conv.issue(error_kind::mismatch, cat("embed_dim: its last width is ", last, ", that of the tokens is ", v.width));
  two("depths", v.depths, 1000);  // timm does not use the third
  conv.refuse_others();
  f.refuse_others();
}

struct vitamin_preset {
  const char* name;
  std::string_view tower;
  dim embed_dim, text_width, text_heads, text_layers, image_size = 0;  // 0: that of the tower

  operator clip_config() const {
    clip_config c;
    c.name = name;
    c.embed_dim = embed_dim;
    c.act = activation::gelu;
    vitamin_config v;
    for (auto& t : timm_vitamins)
      if (t.name == tower) v = t;
    if (image_size) v.image_size = image_size;
    c.vision = v;
    c.text.width = text_width;
    c.text.heads = text_heads;
    c.text.layers = text_layers;
    c.text.mlp_width = 4 * text_width;
    return c;
  }
};
}  // namespace detail

CLIPX_INLINE bool vitamin::claims(layout keys, const fields&, const fields& vision) {
  return keys == layout::open_clip && vision.dump("timm_model_name").starts_with("\"vitamin_");
}

CLIPX_INLINE vitamin_config vitamin::read(tower_reader& r) {
  auto& f = r.tower;
  const auto name = f.text("timm_model_name", "");
  vitamin_config v;
  bool known = false;
  std::string names;
  for (auto& t : detail::timm_vitamins) {
    if (name == t.name) v = t, known = true;
    names += cat(names.empty() ? "" : ", ", t.name);
  }
  if (!known) f.issue(cat("timm_model_name: ", name, " is not supported, only ", names));
  auto kwargs = f.object("timm_model_kwargs", "vision_cfg.timm_model_kwargs");
  detail::read_vitamin_kwargs(kwargs, v);
  if (r.answers.head_width) v.heads = heads_of(v.width, 0, r.answers.head_width, f.issues());
  const dim size = f.square("image_size", 224);
  if (!v.position_table) v.image_size = size;
  else expect_size_of_tower(f, size, kwargs, name, v.image_size);
  if (f.is_null("timm_proj")) f.issue("timm_proj: null is not supported, only linear");
  const auto pool = f.text("timm_pool", "avg"), projection = f.text("timm_proj", "linear");
  if (!pool.empty() && pool != "avg") f.issue(cat("timm_pool: ", pool, " is not supported, only avg, which the empty one is here"));
  if (projection != "linear")
    f.issue(cat("timm_proj: ", projection.empty() ? "the empty one" : projection, " is not supported, only linear"));
  v.head_bias = f.flag("timm_proj_bias", false);
  f.refuse({"ls_init_value", "act_kwargs", "norm_kwargs", "block_type"});
  f.refuse_true({"attentional_pool", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"});
  f.skip({"layers", "width", "head_width", "mlp_ratio", "patch_size", "output_tokens", "no_ln_pre", "pos_embed_type",
          "final_ln_after_pool", "pool_type", "attn_pooler_queries", "attn_pooler_heads",
          "timm_model_pretrained"});  // of no effect on a timm tower
  return v;
}

CLIPX_INLINE void vitamin::write(const config& v, const clip_config&, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported, "Hugging Face's layout has no ViTamin: write layout::open_clip");
  const auto& t = detail::nearest_vitamin(v);
  const auto named = detail::named_vitamin(t, v);
  to.put("image_size", v.image_size);
  to.put("timm_model_name", std::string(t.name));
  to.put("timm_model_pretrained", false);
  to.put("timm_pool", "");
  to.put("timm_proj", "linear");
  if (v.head_bias) to.put("timm_proj_bias", true);
  if (v == named) return;
  field_writer kwargs;
  if (named.position_table && v.position_table && named.image_size != v.image_size) kwargs.put("img_size", v.image_size);
  if (named.width != v.width) kwargs.put("embed_dim", v.width);
  if (named.layers != v.layers) kwargs.put("depth", v.layers);
  if (named.heads != v.heads) kwargs.put("num_heads", v.heads);
  if (named.width != v.width || named.mlp_width != v.mlp_width)
    kwargs.put("mlp_ratio", (static_cast<double>(v.mlp_width) + 0.5) / static_cast<double>(v.width));
  if (named.position_table != v.position_table) kwargs.put("pos_embed", v.position_table ? "learn" : "none");
  if (named.stem_width != v.stem_width || named.widths != v.widths || named.depths != v.depths || named.width != v.width) {
    field_writer conv;
    conv.put("stem_width", v.stem_width);
    conv.put("embed_dim", std::vector<dim>{v.widths[0], v.widths[1], v.width});
    conv.put("depths", std::vector<dim>{v.depths[0], v.depths[1], 1});
    kwargs.put("embed_cfg", conv);
  }
  to.put("timm_model_kwargs", kwargs);
}

CLIPX_INLINE vitamin_config vitamin::infer(shape_reader& r, clip_config& c) {
  const std::string trunk = "visual.trunk.", backbone = trunk + "patch_embed.backbone.";
  vitamin_config v;
  v.stem_width = r.sizes(backbone + "stem.conv1.weight", 4)[0];
  for (std::size_t i = 0; i < 2; ++i) {
    const auto stage = cat(backbone, "stages.", i, ".");
    v.depths[i] = std::max<dim>(1, r.count(stage, ".conv2_kxk.weight"));
    v.widths[i] = r.sizes(stage + "0.conv3_1x1.weight", 4)[0];
  }
  v.width = r.sizes(backbone + "pool.proj.weight", 4)[0];
  v.layers = r.count(trunk + "blocks.", ".attn.qkv.weight");
  v.mlp_width = v.layers ? r.sizes(trunk + "blocks.0.mlp.w0.weight", 2)[0] : 2 * v.width;
  v.position_table = r.has(trunk + "pos_embed");
  v.head_bias = r.has("visual.head.proj.bias");
  v.heads = std::max<dim>(v.width / 64, 1);
  if (v.position_table) v.image_size = 16 * shape_reader::side(r.sizes(trunk + "pos_embed", 3)[1] + 1);
  for (auto& p : presets()) {
    auto known = p.vision.as<vitamin_config>();
    known.heads = v.heads;
    if (!v.position_table) known.image_size = v.image_size;
    if (known != v || p.embed_dim != c.embed_dim) continue;
    v = p.vision.as<vitamin_config>();
    c.text.heads = p.text.heads;
    break;
  }
  if (r.answers.head_width) v.heads = heads_of(v.width, 0, r.answers.head_width, r.issues());
  plain_text::infer_from(presets(), v, r, c);
  return v;
}

CLIPX_INLINE void vitamin::check(const config& v, issue_list& issues) {
  const auto need = [&](bool ok, const std::string& what) {
    if (!ok) issues.add(what);
  };
  need(v.heads >= 1 && v.width % v.heads == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads, " heads; set checkpoint_options::head_width"));
  need(v.image_size % 16 == 0 && v.image_size >= 16 && v.image_size <= 4096,
       cat("image tower: expected an image size that 16 divides, at most 4096, got ", v.image_size));
  need(v.mlp_width >= 1, "image tower: the MLP has no columns");
  need(v.depths[0] >= 1 && v.depths[1] >= 1, "image tower: expected a block or more in each stage");
}

CLIPX_INLINE key_source vitamin::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no place for visual.", name); });
  static constexpr std::array<key_row, 4> rows{
      {{"trunk.stem.", "stem."}, {"trunk.stages.", "stages."}, {"trunk.pool.norm.", "pool.norm."}, {"trunk.conv1.", "pool.proj."}}};
  if (auto found = hf_row_source(name, rows)) {
    found->parts[0] = cat("visual.trunk.patch_embed.backbone.", found->parts[0]);
    return *found;
  }
  if (!name.starts_with("trunk.")) return {{cat("visual.", name)}};  // open_clip's head
  static constexpr std::string_view blocks = "trunk.transformer.resblocks.";
  if (const auto mlp = name.find(".mlp."); mlp != std::string_view::npos && name.starts_with(blocks)) {
    const auto of = cat("visual.trunk.blocks.", name.substr(blocks.size(), mlp - blocks.size()), ".mlp.");
    const auto inside = name.substr(mlp + 5), kind = inside.substr(inside.rfind('.'));
    if (inside.starts_with("c_fc.")) return {.parts = {cat(of, "w0", kind), cat(of, "w1", kind)}};
    return {{cat(of, inside.starts_with("c_proj.") ? "w2" : "norm", kind)}};
  }
  auto found = timm_vit_source(name.substr(6));
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("the layout has no place for visual.", name); });
  return *found;
}

/// timm's _init_conv and init_weights_vit_timm; PyTorch's defaults for the last convolution and open_clip's head.
CLIPX_INLINE initial_values vitamin::initial(std::string_view name, const shape& s, const config& v) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (has("norm") || has(".ln_")) return initial_values::constant(name.ends_with(".weight") ? 1 : 0);
  if (name.starts_with("trunk.conv1.")) return fan_in(9 * v.widths[1]);
  if (name.starts_with("head.")) return fan_in(v.width);
  if (s.sizes.size() == 4) {  // of the stem and of the stages: by the outputs that a pixel of an input channel is in
    const dim outputs = s.sizes[1] == 1 && s.sizes[2] > 1 ? 1 : s.sizes[0];
    return initial_values::normal(std::sqrt(2 / static_cast<double>(outputs * s.sizes[2] * s.sizes[3])));
  }
  return s.sizes.size() < 2 ? initial_values{} : initial_values::normal(0.02);
}

CLIPX_INLINE std::vector<model_fact> vitamin::facts(const config& v) {
  return {{"patch_size", dim{16}},
          {"stages", std::vector<dim>(v.depths.begin(), v.depths.end())},
          {"vision_widths", std::vector<dim>{v.stem_width, v.widths[0], v.widths[1], v.width}},
          {"vision_layers", v.layers},
          {"vision_heads", v.heads}};
}

CLIPX_INLINE double vitamin::flops(const config& v, const clip_config& c) {
  const auto of = [](dim a) { return static_cast<double>(a); };
  double pixels = of(v.image_size / 2 * (v.image_size / 2)), in = of(v.stem_width);
  double sum = 2 * pixels * in * (27 + 9 * in);
  for (std::size_t i = 0; i < 2; ++i)
    for (dim d = 0; d < v.depths[i]; ++d) {
      const double C = of(v.widths[i]), M = of(vitamin_config::inner(v.widths[i])), after = d ? pixels : pixels / 4;
      sum += 2 * (pixels * in * M + after * M * (9 + C) + (in == C ? 0 : after * in * C));
      in = C;
      pixels = after;
    }
  const double L = of(v.plain().tokens()), W = of(v.width), M = of(v.mlp_width);
  sum += 2 * L * W * 9 * in + of(v.layers) * (2 * L * (4 * W * W + 3 * W * M) + 4 * L * L * W);
  return sum + 2 * W * of(c.embed_dim);
}

CLIPX_INLINE std::span<const clip_config> vitamin::presets() {
  // clang-format off
  static const clip_config list[] = {
      // name                                     tower   embed_dim text_width heads layers
      detail::vitamin_preset{"ViTamin-S",      "vitamin_small_224",   384,  384,  6, 12},
      detail::vitamin_preset{"ViTamin-S-LTT",  "vitamin_small_224",   768,  768, 12, 12},
      detail::vitamin_preset{"ViTamin-B",      "vitamin_base_224",    512,  512,  8, 12},
      detail::vitamin_preset{"ViTamin-B-LTT",  "vitamin_base_224",    768,  768, 12, 12},
      detail::vitamin_preset{"ViTamin-L",      "vitamin_large_224",   768,  768, 12, 12},
      detail::vitamin_preset{"ViTamin-L-256",  "vitamin_large_256",   768,  768, 12, 12},
      detail::vitamin_preset{"ViTamin-L-336",  "vitamin_large_336",   768,  768, 12, 12},
      detail::vitamin_preset{"ViTamin-L-384",  "vitamin_large_384",   768,  768, 12, 12},
      detail::vitamin_preset{"ViTamin-L2",     "vitamin_large2_224", 1024, 1024, 16, 24},
      detail::vitamin_preset{"ViTamin-L2-256", "vitamin_large2_256", 1024, 1024, 16, 24},
      detail::vitamin_preset{"ViTamin-L2-336", "vitamin_large2_336", 1024, 1024, 16, 24},
      detail::vitamin_preset{"ViTamin-L2-384", "vitamin_large2_384", 1024, 1024, 16, 24},
      detail::vitamin_preset{"ViTamin-XL-256", "vitamin_xlarge_256", 1152, 1152, 16, 27},
      detail::vitamin_preset{"ViTamin-XL-336", "vitamin_xlarge_336", 1152, 1152, 16, 27},
      detail::vitamin_preset{"ViTamin-XL-384", "vitamin_xlarge_384", 1152, 1152, 16, 27, 256},
  };
  // clang-format on
  return list;
}

}  // namespace clipx
