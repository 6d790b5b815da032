// Definitions of plain_vit.hpp.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "plain_vit.hpp"

namespace clipx {
namespace detail {
inline transformer_sizes plain_blocks(const plain_vit_config& v) { return {v.width, v.heads, v.layers, v.mlp_width}; }

/// open_clip's own VisionTransformer.
inline plain_vit_config read_open_clip_vit(tower_reader& r) {
  auto& f = r.tower;
  plain_vit_config v;
  v.image_size = f.sides("image_size", 224);
  v.width = f.size("width", 768);
  const dim head_width = f.size("head_width", 64);
  v.layers = f.size("layers", 12, 10000);
  v.patch_size = f.sides("patch_size", 16, 4096);
  v.heads = heads_of(v.width, head_width, r.answers.head_width, f.issues());
  v.mlp_width = f.times(v.width, "mlp_ratio", 4.0);
  read_open_clip_kwargs(r, "vision_cfg");
  v.norm_pre = !f.flag("no_ln_pre", false);
  v.norm_after_pool = f.flag("final_ln_after_pool", false);
  const auto pool = f.text("pool_type", "tok");
  if (pool != "tok" && pool != "avg") f.issue(cat("pool_type: \"", pool, "\" is not supported, only tok and avg"));
  v.pool = pool == "avg" ? vit_pool::mean : vit_pool::token;
  if (f.has("ls_init_value")) v.layer_scale = f.number("ls_init_value", 0);
  f.refuse({"block_type", "timm_model_name"});
  f.refuse_true({"attentional_pool", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"});
  f.only("pos_embed_type", "learnable");
  f.skip({"output_tokens", "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained", "timm_pool", "timm_proj",
          "timm_proj_bias"});
  return v;
}
inline void write_open_clip_vit(const plain_vit_config& v, const clip_config& c, field_writer& to) {
  expect(c.act != activation::relu && (c.act == activation::quick_gelu) == (c.text_act() == activation::quick_gelu),
         error_kind::unsupported, [&] {
           return cat("open_clip's layout has no place for the activation ", name_of(c.act), " of images beside ",
                      name_of(c.text_act()), " of texts");
         });
  to.put("image_size", v.image_size);
  to.put("patch_size", v.patch_size);
  to.put("layers", v.layers);
  to.put("width", v.width);
  to.put("head_width", v.width / v.heads);
  if (v.mlp_width != 4 * v.width) to.put("mlp_ratio", (static_cast<double>(v.mlp_width) + 0.5) / static_cast<double>(v.width));
  if (v.layer_scale) to.put("ls_init_value", *v.layer_scale);
  if (!v.norm_pre) to.put("no_ln_pre", true);
  if (v.pool == vit_pool::mean) to.put("pool_type", "avg");
  if (v.norm_after_pool) to.put("final_ln_after_pool", true);
  write_open_clip_kwargs(image_choices(c), 1e-5, to);
}
}  // namespace detail

CLIPX_INLINE bool plain_vit::claims(layout keys, const fields& model, const fields& vision) {
  if (keys == layout::hf) return false;
  if (vision.has("timm_model_name")) {
    const auto quoted = vision.dump("timm_model_name");
    return quoted.size() > 2 && timm_vit_named(std::string_view(quoted).substr(1, quoted.size() - 2)).has_value();
  }
  if (vision.is_list("layers")) return false;
  for (auto* key : {"no_ln_pre", "final_ln_after_pool"})
    if (vision.dump(key) == "true") return true;
  for (auto* key : {"act_kwargs", "norm_kwargs", "ls_init_value"})
    if (vision.has(key)) return true;
  if (vision.dump("pool_type") == "\"avg\"") return true;
  return plain_text::claims(model.object("text_cfg", "text_cfg"));
}

CLIPX_INLINE plain_vit_config plain_vit::read(tower_reader& r) {
  if (!r.tower.has("timm_model_name")) return detail::read_open_clip_vit(r);
  auto v = read_timm_vit(r);
  if (r.answers.head_width) v.heads = heads_of(v.width, 0, r.answers.head_width, r.tower.issues());
  return v;
}

CLIPX_INLINE void plain_vit::write(const config& v, const clip_config& c, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no image tower as that of a ", config::name, ": write layout::open_clip"); });
  if (v.timm) write_timm_vit(v, c, to);
  else detail::write_open_clip_vit(v, c, to);
}

CLIPX_INLINE plain_vit_config plain_vit::infer(shape_reader& r, clip_config& c) {
  const std::string trunk = "visual.trunk.";
  plain_vit_config v;
  const auto conv = r.sizes(trunk + "patch_embed.proj.weight", 4), table = r.sizes(trunk + "pos_embed", 3);
  v.timm = true;
  v.width = conv[0];
  v.patch_size = {conv[2], conv[3]};
  const dim side = shape_reader::side(table[1] + 1);
  v.class_position = side * side != table[1];
  v.image_size = r.image_of(trunk + "pos_embed", table[1] + (v.class_position ? 0 : 1), v.patch_size);
  v.norm_pre = r.has(trunk + "norm_pre.weight");
  v.patch_bias = r.has(trunk + "patch_embed.proj.bias");
  v.layers = r.count(trunk + "blocks.", ".attn.qkv.weight");
  v.qkv_bias = r.has(trunk + "blocks.0.attn.qkv.bias");
  v.mlp_width = v.layers ? r.sizes(trunk + "blocks.0.mlp.fc1.weight", 2)[0] : 4 * v.width;
  if (r.has(trunk + "blocks.0.ls1.gamma")) v.layer_scale = 1;
  v.norm_after_pool = r.has(trunk + "fc_norm.weight");
  v.pool = v.norm_after_pool ? vit_pool::mean : vit_pool::token;
  v.head = r.has(trunk + "head.weight") ? vit_head::trunk : vit_head::none;
  v.head_bias = v.head == vit_head::trunk;
  v.heads = r.answers.head_width ? heads_of(v.width, 0, r.answers.head_width, r.issues()) : std::max<dim>(v.width / 64, 1);
  plain_text::infer_from(presets(), v, r, c);
  return v;
}

CLIPX_INLINE void plain_vit::check(const config& v, issue_list& issues) {
  const auto need = [&](bool ok, const std::string& what) {
    if (!ok) issues.add(what);
  };
  need(v.heads >= 1 && v.width % v.heads == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads, " heads; set checkpoint_options::head_width"));
  check_grid(v.image_size, v.grid(), issues);
  need(v.mlp_width >= 1, "image tower: the MLP has no columns");
  need(v.pool != vit_pool::attention || (!v.class_token && !v.norm_after_pool),
       "image tower: attention pooling (timm_pool: map) with a class token, or with the norm after it, is not supported");
  need(v.pool != vit_pool::token || v.class_token, "image tower: expected a class token, which is pooled");
}

CLIPX_INLINE key_source plain_vit::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no place for visual.", name, " of this image tower"); });
  if (!name.starts_with("trunk."))
    return {.parts = {cat("visual.", name)},
            .transposed = name == "proj",
            .positions = name == "positional_embedding" ? key_source::resizing::image_grid : key_source::resizing::none};
  auto found = timm_vit_source(name.substr(6));
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("the layout has no place for visual.", name); });
  return *found;
}

/// timm's init_weights_vit_timm; open_clip's defaults for its own tower (docs/clip.md section 9.3).
CLIPX_INLINE initial_values plain_vit::initial(std::string_view name, const shape& s, const config& v) {
  const auto ends = [&](std::string_view e) { return name.ends_with(e); };
  if (v.timm) name.remove_prefix(name.starts_with("trunk.") ? 6 : 0);
  if (ends(".gamma")) return initial_values::constant(v.layer_scale.value_or(1));
  if (name.starts_with("ln_") || name.find(".ln") != std::string_view::npos || name.starts_with("fc_norm"))
    return initial_values::constant(ends(".weight") ? 1 : 0);
  if (v.timm) {
    if (name.starts_with("conv1.")) return fan_in(3 * v.patch_size.area());
    if (name.starts_with("head.proj.")) return fan_in(v.width);
    if (name == "class_embedding") return initial_values::normal(1e-6);
    if (name == "attn_pool.probe") return normal_of(v.width);
    return s.sizes.size() < 2 ? initial_values{} : initial_values::normal(0.02);
  }
  if (ends("in_proj_bias") || ends("out_proj.bias")) return {};
  if (ends("c_fc.bias")) return fan_in(v.width);
  if (ends("c_proj.bias")) return fan_in(v.mlp_width);
  if (name == "class_embedding" || name == "positional_embedding" || name == "proj") return normal_of(v.width);
  if (ends("in_proj_weight")) return initial_values::within(std::sqrt(6.0 / static_cast<double>(s.rows() + s.cols())));  // Xavier
  return fan_in(s.cols());
}

CLIPX_INLINE std::vector<model_fact> plain_vit::facts(const config& v) {
  const char* pools[] = {"class token", "mean of the patches", "attention"};
  return {fact_of("patch_size", v.patch_size),
          {"vision_layers", v.layers},
          {"vision_width", v.width},
          {"vision_heads", v.heads},
          {"vision_pool", std::string(pools[static_cast<int>(v.pool)])}};
}

CLIPX_INLINE double plain_vit::flops(const config& v, const clip_config& c) {
  const auto L = static_cast<double>(v.tokens()), W = static_cast<double>(v.width), M = static_cast<double>(v.mlp_width);
  const double patches = 2 * static_cast<double>(v.patches() * v.width * v.map_channels * v.map_patch().area());
  const double block = 2 * L * (4 * W * W + 2 * W * M) + 4 * L * L * W;
  const double blocks = v.pool == vit_pool::token ? transformer_flops(detail::plain_blocks(v), v.tokens(), false)
                                                  : static_cast<double>(v.layers) * block;
  const auto pool_mlp = static_cast<double>(v.mlp_width_of_pool());
  const double pool = v.pool == vit_pool::attention ? 2 * (2 * L * W * W + 2 * W * W + 2 * W * pool_mlp) + 4 * L * W : 0;
  const double head = v.head == vit_head::none ? 0 : 2 * static_cast<double>(v.width * c.embed_dim);
  return patches + blocks + pool + head;
}

CLIPX_INLINE model_family plain_vit::family(const clip_config& c) {
  model_family out{.custom_text = true, .quick_gelu = false};
  if (!c.vision.is<config>()) return out;
  const auto& v = c.vision.as<config>();
  if (v.timm || v.norm_pre || v.pool != vit_pool::mean) return out;
  out.squash = out.bilinear = true;
  out.mean = {0.485f, 0.456f, 0.406f};
  out.std = {0.229f, 0.224f, 0.225f};
  return out;
}

}  // namespace clipx
