// Definitions of siglip_vit.hpp (timm 1.0's vision_transformer.py; transformers 5's SiglipVisionConfig).
#pragma once
#include <array>
#include <cmath>

#include "siglip_vit.hpp"

namespace clipx {
namespace detail {
inline transformer_sizes siglip_blocks(const siglip_vit_config& v) { return {v.width, v.heads, v.layers, v.mlp_width}; }
inline constexpr std::string_view siglip_vision_blocks = "transformer.resblocks.";

/// A size of timm's towers vit_SIZE_patchP_siglip_N.
struct timm_size {
  std::string_view name;
  dim width, layers, heads, mlp_width;
};
inline constexpr std::array<timm_size, 4> timm_sizes{
    {{"base", 768, 12, 12, 3072}, {"large", 1024, 24, 16, 4096}, {"so400m", 1152, 27, 16, 4304}, {"giantopt", 1536, 40, 16, 6144}}};
/// Those that timm has, and whether their GELU is the one with tanh.
struct timm_tower {
  std::string_view size;
  dim patch, image;
  bool tanh;
};
inline constexpr std::array<timm_tower, 16> timm_towers{{{"base", 32, 256, true},
                                                         {"base", 16, 224, false},
                                                         {"base", 16, 256, false},
                                                         {"base", 16, 384, false},
                                                         {"base", 16, 512, false},
                                                         {"large", 16, 256, false},
                                                         {"large", 16, 384, false},
                                                         {"large", 16, 512, true},
                                                         {"so400m", 14, 224, false},
                                                         {"so400m", 14, 378, false},
                                                         {"so400m", 14, 384, false},
                                                         {"so400m", 16, 256, true},
                                                         {"so400m", 16, 384, true},
                                                         {"so400m", 16, 512, true},
                                                         {"giantopt", 16, 256, true},
                                                         {"giantopt", 16, 384, true}}};
inline std::string timm_name(const timm_tower& t) { return cat("vit_", t.size, "_patch", t.patch, "_siglip_", t.image); }
inline siglip_vit_config config_of(const timm_tower& t) {
  for (auto& s : timm_sizes)
    if (s.name == t.size) return {t.image, t.patch, s.width, s.heads, s.mlp_width, s.layers};
  return {};
}
inline activation act_of(const timm_tower& t) { return t.tanh ? activation::gelu_tanh : activation::gelu; }

/// Arguments of timm.create_model that open_clip passes on: they replace what the tower's name says.
inline void read_timm_kwargs(fields& f, siglip_vit_config& v, activation& act) {
  v.image_size = f.sides("img_size", v.image_size);
  v.patch_size = f.sides("patch_size", v.patch_size, 4096);
  const double ratio = static_cast<double>(v.mlp_width) / static_cast<double>(v.width);
  const bool wide = f.has("embed_dim") || f.has("mlp_ratio");
  v.width = f.size("embed_dim", v.width);
  v.layers = f.size("depth", v.layers, 10000);
  v.heads = f.size("num_heads", v.heads);
  if (wide) v.mlp_width = f.times(v.width, "mlp_ratio", ratio);
  const auto name = f.text("act_layer", act == activation::gelu_tanh ? "gelu_tanh" : "gelu");
  if (name != "gelu" && name != "gelu_tanh") f.issue(cat("act_layer: ", name, " is not supported, only gelu and gelu_tanh"));
  act = name == "gelu_tanh" ? activation::gelu_tanh : activation::gelu;
  f.only("class_token", false);
  f.refuse_others();
}

inline siglip_vit_config read_timm_tower(tower_reader& r) {
  auto& f = r.tower;
  const auto name = f.text("timm_model_name", "");
  const timm_tower* found = nullptr;
  for (auto& t : timm_towers)
    if (name == timm_name(t)) found = &t;
  if (!found)
    f.issue(cat("timm_model_name: ", name, " is not supported; of SigLIP's towers only those with a pooling by attention"));
  auto v = config_of(found ? *found : timm_towers[1]);
  r.shared.act = act_of(found ? *found : timm_towers[1]);  // timm's towers do not follow quick_gelu
  r.shared.norm_eps = 1e-6;
  auto kwargs = f.object("timm_model_kwargs", "vision_cfg.timm_model_kwargs");
  read_timm_kwargs(kwargs, v, r.shared.act);
  expect_size_of_tower(f, f.sides("image_size", v.image_size), kwargs, name, v.image_size);
  f.only("timm_pool", "map");
  if (!f.has("timm_pool")) f.issue("timm_pool: avg is not supported, only map");
  const auto projection = f.text("timm_proj", "linear");
  if (projection != "none" && !projection.empty()) f.issue(cat("timm_proj: ", projection, " is not supported, only none"));
  f.refuse({"ls_init_value", "act_kwargs", "norm_kwargs", "block_type"});
  f.refuse_true({"attentional_pool", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"});
  f.skip({"layers", "width", "head_width", "mlp_ratio", "patch_size", "output_tokens", "timm_model_pretrained",
          "timm_proj_bias"});  // of no effect on a timm tower's answer
  return v;
}
}  // namespace detail

CLIPX_INLINE bool siglip_vit::claims(layout keys, const fields& model, const fields& vision) {
  if (keys == layout::hf) return model.dump("model_type") == "\"siglip\"" || model.dump("model_type") == "\"siglip2\"";
  const auto name = vision.dump("timm_model_name");
  return name.starts_with("\"vit_") && name.find("_siglip_") != std::string::npos;
}

CLIPX_INLINE siglip_vit_config siglip_vit::read(tower_reader& r) {
  auto& f = r.tower;
  siglip_vit_config v;
  if (r.keys == layout::open_clip) {
    v = detail::read_timm_tower(r);
  } else {
    if (f.has("num_patches"))
      f.issue(
          "num_patches: the NaFlex variant of SigLIP 2 (model_type siglip2), whose images keep their shape, is not supported, "
          "only a fixed resolution (model_type siglip)");
    transformer_sizes sizes = detail::siglip_blocks(v);
    r.shared = {activation::gelu_tanh, 1e-6};
    read_hf_transformer(r, "vision_config", sizes);
    v.width = sizes.width;
    v.heads = sizes.heads;
    v.layers = sizes.layers;
    v.mlp_width = sizes.mlp_width;
    v.image_size = f.square("image_size", 224);
    v.patch_size = f.square("patch_size", 16);
    f.only("num_channels", dim{3});
    f.only("vision_use_head", true);
    r.shared.embed_dim = v.width;
  }
  if (r.answers.head_width) v.heads = heads_of(v.width, 0, r.answers.head_width, f.issues());
  return v;
}

CLIPX_INLINE void siglip_vit::write(const config& v, const clip_config& c, layout keys, field_writer& to) {
  auto shared = image_choices(c);
  to.put("image_size", v.image_size);
  if (keys == layout::hf) {
    expect_hf_sizes(v.image_size, v.patch_size);
    shared.embed_dim = 0;
    to.put("patch_size", v.patch_size);
    write_hf_transformer("siglip_vision_model", detail::siglip_blocks(v), shared, to);
    to.put("num_channels", dim{3});
    return;
  }
  expect(shared.act == activation::gelu || shared.act == activation::gelu_tanh, error_kind::unsupported,
         [&] { return cat("open_clip's layout has no SigLIP image tower with the activation ", name_of(shared.act)); });
  expect(shared.norm_eps == 1e-6, error_kind::unsupported, [&] {
    return cat("open_clip's layout has no place for layer_norm_eps ", shared.norm_eps, " of a SigLIP image tower; only 1e-6");
  });
  const detail::timm_tower* nearest = &detail::timm_towers[1];
  for (auto& t : detail::timm_towers)
    if (detail::config_of(t) == v) nearest = &t;
  to.put("timm_model_name", detail::timm_name(*nearest));
  to.put("timm_model_pretrained", false);
  to.put("timm_pool", "map");
  to.put("timm_proj", "none");
  field_writer kwargs;
  const bool sizes = detail::config_of(*nearest) != v, act = detail::act_of(*nearest) != shared.act;
  if (sizes) {
    kwargs.put("img_size", v.image_size);
    kwargs.put("patch_size", v.patch_size);
    kwargs.put("embed_dim", v.width);
    kwargs.put("depth", v.layers);
    kwargs.put("num_heads", v.heads);
    kwargs.put("mlp_ratio", (static_cast<double>(v.mlp_width) + 0.5) / static_cast<double>(v.width));
  }
  if (act) kwargs.put("act_layer", name_of(shared.act));
  if (sizes || act) to.put("timm_model_kwargs", kwargs);
}

CLIPX_INLINE siglip_vit_config siglip_vit::infer(shape_reader& r) {
  siglip_vit_config v;
  const auto conv = r.sizes("visual.trunk.patch_embed.proj.weight", 4), grid = r.sizes("visual.trunk.pos_embed", 3);
  v.width = conv[0];
  v.patch_size = {conv[2], conv[3]};
  v.image_size = r.image_of("visual.trunk.pos_embed", grid[1] + 1, v.patch_size);
  v.layers = r.count("visual.trunk.blocks.", ".attn.qkv.weight");
  v.mlp_width = r.sizes("visual.trunk.attn_pool.mlp.fc1.weight", 2)[0];
  v.heads = r.answers.head_width ? heads_of(v.width, 0, r.answers.head_width, r.issues()) : siglip_heads(v.width);
  if (v.heads > 0) return v;
  r.issues().add(error_kind::invalid_argument, cat("the heads of an image tower of width ", v.width,
                                                   " cannot be inferred from shapes: give checkpoint_options::head_width"));
  v.heads = 1;
  return v;
}

CLIPX_INLINE void siglip_vit::check(const config& v, issue_list& issues) { plain_vit::check(v.plain(), issues); }

namespace detail {
inline std::optional<key_source> siglip_hf_source(std::string_view name) {
  static constexpr std::array<key_row, 10> rows{{{"conv1.", "vision_model.embeddings.patch_embedding."},
                                                 {"positional_embedding", "vision_model.embeddings.position_embedding.weight"},
                                                 {"ln_post.", "vision_model.post_layernorm."},
                                                 {"attn_pool.probe", "vision_model.head.probe"},
                                                 {"attn_pool.in_proj_weight", "vision_model.head.attention.in_proj_weight"},
                                                 {"attn_pool.in_proj_bias", "vision_model.head.attention.in_proj_bias"},
                                                 {"attn_pool.out_proj.", "vision_model.head.attention.out_proj."},
                                                 {"attn_pool.ln.", "vision_model.head.layernorm."},
                                                 {"attn_pool.mlp.c_fc.", "vision_model.head.mlp.fc1."},
                                                 {"attn_pool.mlp.c_proj.", "vision_model.head.mlp.fc2."}}};
  return name.starts_with(siglip_vision_blocks)
             ? hf_block_source(name.substr(siglip_vision_blocks.size()), "vision_model.encoder.layers.")
             : hf_row_source(name, rows);
}
}  // namespace detail

CLIPX_INLINE key_source siglip_vit::source_of(std::string_view name, layout keys) {
  auto found = keys == layout::hf ? detail::siglip_hf_source(name) : timm_vit_source(name);
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("the layout has no place for visual.", name); });
  return *found;
}

/// timm's init_weights_vit_timm and AttentionPoolLatent.init_weights, without the truncation at two deviations of the latent.
CLIPX_INLINE initial_values siglip_vit::initial(std::string_view name, const shape& s, const config& v) {
  if (name.starts_with("conv1.")) return fan_in(3 * v.patch_size.area());
  if (name == "attn_pool.probe") return normal_of(v.width);
  if (name.find("ln_") != std::string_view::npos || name.find(".ln.") != std::string_view::npos)
    return initial_values::constant(name.ends_with(".weight") ? 1 : 0);
  return s.sizes.size() < 2 ? initial_values{} : initial_values::normal(0.02);
}

CLIPX_INLINE std::vector<model_fact> siglip_vit::facts(const config& v) {
  return {fact_of("patch_size", v.patch_size), {"vision_layers", v.layers}, {"vision_width", v.width}, {"vision_heads", v.heads}};
}

CLIPX_INLINE double siglip_vit::flops(const config& v, const clip_config& c) { return plain_vit::flops(v.plain(), c); }

}  // namespace clipx
