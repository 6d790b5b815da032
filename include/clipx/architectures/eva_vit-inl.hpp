// Definitions of eva_vit.hpp (timm 1.0's eva.py; open_clip 3.3's TimmModel).
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "eva_vit.hpp"
#include "plain_vit.hpp"

namespace clipx {
namespace detail {

/// A kind of timm's towers: what its blocks have, and whether there is a norm before them; the norms' epsilon.
struct eva_kind {
  eva_block_variant block;
  bool norm_pre = false;
  double norm_eps = 1e-6;
};
inline constexpr eva_kind eva_01{}, eva_02{{.separate_qkv = true, .norm_attn = true, .swiglu = true}},
    eva_02_post{{.post_norm = true}}, pe_core{{.key_bias = true}, true, 1e-5};

/// A tower of timm's. rotary_side and rotary_first: as in eva_vit_config.
struct timm_eva {
  std::string_view name;
  const eva_kind& kind;
  vit_pool pool;
  dim image, patch, width, layers, heads;
  double mlp_ratio;
  dim rotary_side = 0, rotary_first = 0;
  bool class_token = true;
};
inline constexpr dim pe_pool_heads = 8;         // of the Perception Encoder's pooling
inline constexpr double pe_pool_mlp_ratio = 4;  // of the same
// clang-format off
inline constexpr std::array<timm_eva, 12> timm_evas{{
    {"eva_giant_patch14_224",            eva_01,      vit_pool::mean,      224, 14, 1408, 40, 16, 6144.0 / 1408},
    {"eva_giant_patch14_336",            eva_01,      vit_pool::mean,      336, 14, 1408, 40, 16, 6144.0 / 1408},
    {"eva_giant_patch14_clip_224",       eva_01,      vit_pool::token,     224, 14, 1408, 40, 16, 6144.0 / 1408},
    {"eva02_base_patch16_clip_224",      eva_02,      vit_pool::token,     224, 16,  768, 12, 12, 4 * 2 / 3.0, 16},
    {"eva02_large_patch14_clip_224",     eva_02,      vit_pool::token,     224, 14, 1024, 24, 16, 4 * 2 / 3.0, 16},
    {"eva02_large_patch14_clip_336",     eva_02,      vit_pool::token,     336, 14, 1024, 24, 16, 4 * 2 / 3.0, 16},
    {"eva02_enormous_patch14_clip_224",  eva_02_post, vit_pool::token,     224, 14, 1792, 64, 16, 15360.0 / 1792},
    {"vit_pe_core_tiny_patch16_384",     pe_core,     vit_pool::attention, 384, 16,  192, 12,  3, 4, 24, 1},
    {"vit_pe_core_small_patch16_384",    pe_core,     vit_pool::attention, 384, 16,  384, 12,  6, 4, 24, 1},
    {"vit_pe_core_base_patch16_224",     pe_core,     vit_pool::attention, 224, 16,  768, 12, 12, 4, 14, 1},
    {"vit_pe_core_large_patch14_336",    pe_core,     vit_pool::attention, 336, 14, 1024, 24, 16, 4, 24, 1},
    {"vit_pe_core_gigantic_patch14_448", pe_core,     vit_pool::attention, 448, 14, 1536, 50, 16, 8960.0 / 1536, 32, 0, false},
}};
// clang-format on

/// Sizes inside the pooling of a tower of this kind, in place of what they were.
inline void set_pool_sizes(eva_vit_config& v, const timm_eva& t) {
  const bool any = v.pool == vit_pool::attention, own = any && &t.kind == &pe_core;
  v.pool_heads = own ? pe_pool_heads : any ? v.heads : 0;
  v.pool_mlp_width = own ? static_cast<dim>(static_cast<double>(v.width) * pe_pool_mlp_ratio) : any ? v.mlp_width : 0;
}
/// timm.create_model(NAME, num_classes=..).
inline eva_vit_config config_of(const timm_eva& t) {
  eva_vit_config v;
  v.image_size = t.image;
  v.patch_size = t.patch;
  v.width = t.width;
  v.heads = t.heads;
  v.mlp_width = static_cast<dim>(static_cast<double>(t.width) * t.mlp_ratio);
  v.layers = t.layers;
  v.class_token = t.class_token;
  v.patch_bias = !t.kind.norm_pre;
  v.norm_pre = t.kind.norm_pre;
  v.norm_after_pool = t.pool == vit_pool::mean;
  v.pool = t.pool;
  v.head = vit_head::trunk;
  v.head_bias = v.timm = true;
  v.block = t.kind.block;
  v.rotary_side = t.rotary_side;
  v.rotary_first = t.rotary_first;
  v.rotary_column_first = &t.kind == &pe_core;
  set_pool_sizes(v, t);
  return v;
}
/// The same with the pooling and the head of v.
inline eva_vit_config config_of(const timm_eva& t, const eva_vit_config& v) {
  auto named = config_of(t);
  named.pool = v.pool;
  named.head = v.head;
  named.head_bias = v.head_bias;
  named.norm_after_pool = (v.head == vit_head::after_trunk ? t.pool : v.pool) == vit_pool::mean;
  set_pool_sizes(named, t);
  return named;
}
/// What timm_model_kwargs cannot change: everything but sizes.
inline eva_vit_config without_sizes(eva_vit_config v) {
  const plain_vit_config none;
  v.image_size = none.image_size, v.patch_size = none.patch_size, v.width = none.width, v.heads = none.heads;
  v.mlp_width = none.mlp_width, v.layers = none.layers, v.class_token = none.class_token;
  v.pool_heads = v.pool_mlp_width = 0;
  v.rotary_side = v.rotary_side > 0;
  return v;
}

/// Arguments of timm.create_model that open_clip passes on: they replace what the tower's name says.
inline void read_eva_kwargs(fields& f, const timm_eva& t, eva_vit_config& v) {
  v.image_size = f.square("img_size", v.image_size.height);
  v.patch_size = f.square("patch_size", v.patch_size.height);
  v.width = f.size("embed_dim", v.width);
  v.layers = f.size("depth", v.layers, 10000);
  v.heads = f.size("num_heads", v.heads);
  v.mlp_width = f.times(v.width, "mlp_ratio", t.mlp_ratio);
  v.class_token = f.flag("class_token", v.class_token);
  if (v.rotary_side) v.rotary_side = f.square("ref_feat_shape", v.rotary_side);
  set_pool_sizes(v, t);
  if (v.pool == vit_pool::attention) {
    v.pool_heads = f.size("attn_pool_num_heads", v.pool_heads);
    if (f.has("attn_pool_mlp_ratio")) v.pool_mlp_width = f.times(v.width, "attn_pool_mlp_ratio", pe_pool_mlp_ratio);
  } else {
    for (auto* key : {"attn_pool_num_heads", "attn_pool_mlp_ratio"})
      if (f.has(key)) f.issue(cat(key, ": only for a tower with timm_pool map"));
    f.skip({"attn_pool_num_heads", "attn_pool_mlp_ratio"});
  }
  f.refuse_others();
}
/// The same fields where v differs from the tower of that name.
inline bool write_eva_kwargs(const eva_vit_config& v, const eva_vit_config& n, field_writer& to) {
  const auto ratio = [&](dim columns) { return (static_cast<double>(columns) + 0.5) / static_cast<double>(v.width); };
  bool any = false;
  const auto put = [&](const char* key, bool same, const auto& value) {
    if (!same) to.put(key, value), any = true;
  };
  const bool as_wide = n.width == v.width;
  put("img_size", n.image_size == v.image_size, v.image_size);
  put("patch_size", n.patch_size == v.patch_size, v.patch_size);
  put("embed_dim", as_wide, v.width);
  put("depth", n.layers == v.layers, v.layers);
  put("num_heads", n.heads == v.heads, v.heads);
  put("mlp_ratio", as_wide && n.mlp_width == v.mlp_width, ratio(v.mlp_width));
  put("class_token", n.class_token == v.class_token, v.class_token);
  put("ref_feat_shape", n.rotary_side == v.rotary_side, v.rotary_side);
  put("attn_pool_num_heads", n.pool_heads == v.pool_heads, v.pool_heads);
  put("attn_pool_mlp_ratio", n.pool_mlp_width == v.pool_mlp_width, ratio(v.pool_mlp_width));
  return any;
}
}  // namespace detail

CLIPX_INLINE bool eva_vit::claims(layout keys, const fields&, const fields& vision) {
  const auto name = vision.dump("timm_model_name");
  return keys == layout::open_clip && (name.starts_with("\"eva") || name.starts_with("\"vit_pe_"));
}

CLIPX_INLINE eva_vit_config eva_vit::read(tower_reader& r) {
  auto& f = r.tower;
  const auto name = f.text("timm_model_name", "");
  const detail::timm_eva* found = nullptr;
  std::string names;
  for (auto& t : detail::timm_evas) {
    if (name == t.name) found = &t;
    names += cat(names.empty() ? "" : ", ", t.name);
  }
  if (!found) f.issue(cat("timm_model_name: ", name, " is not supported, only ", names));
  const auto& t = found ? *found : detail::timm_evas[0];
  auto v = detail::config_of(t);
  auto kwargs = f.object("timm_model_kwargs", "vision_cfg.timm_model_kwargs");
  v.norm_after_pool = read_timm_head(f, v) == vit_pool::mean;
  detail::read_eva_kwargs(kwargs, t, v);
  if (r.answers.head_width) v.heads = heads_of(v.width, 0, r.answers.head_width, f.issues());
  expect_size_of_tower(f, f.square("image_size", v.image_size.height), kwargs, name, v.image_size);
  r.shared.act = activation::gelu;  // timm's towers do not follow quick_gelu
  r.shared.norm_eps = t.kind.norm_eps;
  refuse_timm_variants(f);
  return v;
}

CLIPX_INLINE void eva_vit::write(const config& v, const clip_config& c, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no image tower as that of an ", config::name, ": write layout::open_clip"); });
  const detail::timm_eva* nearest = nullptr;  // the tower of these sizes, else the first of this kind
  for (auto& t : detail::timm_evas) {
    const auto named = detail::config_of(t, v);
    if (detail::without_sizes(named) == detail::without_sizes(v) && (!nearest || named == v)) nearest = &t;
  }
  expect(nearest && c.act == activation::gelu && c.norm_eps == nearest->kind.norm_eps, error_kind::unsupported, [&] {
    return cat("open_clip's layout has no image tower of timm's with these blocks, this pooling, the activation ", name_of(c.act),
               " and layer_norm_eps ", c.norm_eps);
  });
  to.put("image_size", v.image_size);
  to.put("timm_model_name", std::string(nearest->name));
  to.put("timm_model_pretrained", false);
  write_timm_head(v, to);
  field_writer kwargs;
  auto named = detail::config_of(*nearest, v), unsaid = v;
  detail::set_pool_sizes(unsaid, *nearest);  // as timm takes them from the other sizes
  named.pool_heads = unsaid.pool_heads;
  named.pool_mlp_width = unsaid.pool_mlp_width;
  if (detail::write_eva_kwargs(v, named, kwargs)) to.put("timm_model_kwargs", kwargs);
}

CLIPX_INLINE bool eva_vit::tells(const shape_reader& r) {
  const std::string trunk = "visual.trunk.";
  return r.has(std::string(telltale)) || r.has(trunk + "blocks.0.attn.q_proj.weight") ||
         (r.has(trunk + "attn_pool.latent") && r.has(trunk + "norm_pre.weight"));
}

CLIPX_INLINE eva_vit_config eva_vit::infer(shape_reader& r, clip_config& c) {
  const std::string trunk = "visual.trunk.", block = trunk + "blocks.0.";
  const auto conv = r.sizes(trunk + "patch_embed.proj.weight", 4), table = r.sizes(trunk + "pos_embed", 3);
  const bool token = r.has(trunk + "cls_token"), separate = r.has(block + "attn.q_proj.weight");
  const dim layers = r.count(trunk + "blocks.", ".norm1.weight");
  const dim mlp_width = layers ? r.sizes(block + (separate ? "mlp.fc1_g.weight" : "mlp.fc1.weight"), 2)[0] : 0;
  eva_vit_config v;
  v.head = r.has("visual.head.proj.weight") ? vit_head::after_trunk
           : r.has(trunk + "head.weight")   ? vit_head::trunk
                                            : vit_head::none;
  v.head_bias = v.head == vit_head::trunk || r.has("visual.head.proj.bias");
  v.pool = r.has(trunk + "attn_pool.latent") ? vit_pool::attention
           : r.has(trunk + "fc_norm.weight") ? vit_pool::mean
                                             : vit_pool::token;
  for (auto& t : detail::timm_evas) {
    auto named = detail::config_of(t, v);
    if (named.width != conv[0] || named.patch_size != conv[2] || named.layers != layers || named.mlp_width != mlp_width) continue;
    if (named.class_token != token || named.block.separate_qkv != separate) continue;
    named.image_size = conv[2] * shape_reader::side(table[1] + !token);
    if (r.answers.head_width) named.heads = heads_of(named.width, 0, r.answers.head_width, r.issues());
    plain_text::infer_from(presets(), named, r, c);
    return named;
  }
  r.issues().add(cat("an image tower of width ", conv[0], " and ", layers,
                     " blocks is none of timm's: put open_clip_config.json beside the file and open the folder"));
  return v;
}

CLIPX_INLINE void eva_vit::check(const config& v, issue_list& issues) {
  const auto need = [&](bool ok, const std::string& what) {
    if (!ok) issues.add(what);
  };
  need(v.heads >= 1 && v.width % v.heads == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads, " heads; set checkpoint_options::head_width"));
  need(!v.rotary_side || (v.heads >= 1 && v.width % (4 * v.heads) == 0),
       cat("image tower: expected a head width that 4 divides, got width ", v.width, " and ", v.heads, " heads"));
  check_grid(v.image_size, v.grid(), issues);
  need(v.rotary_side <= 16384, cat("image tower: expected a ref_feat_shape of at most 16384, got ", v.rotary_side));
  need(v.mlp_width >= 1 && v.mlp_width_of_pool() >= 1, "image tower: the MLP has no columns");
  need(v.heads_of_pool() >= 1 && v.width % v.heads_of_pool() == 0,
       cat("image tower: width ", v.width, " does not divide into ", v.heads_of_pool(), " heads of the pooling"));
  need(v.pool != vit_pool::token || v.class_token, "image tower: expected a class token, which is pooled");
}

CLIPX_INLINE key_source eva_vit::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no place for visual.", name, " of this image tower"); });
  if (!name.starts_with("trunk.")) return {{cat("visual.", name)}};
  static constexpr std::string_view blocks = "trunk.transformer.resblocks.";
  if (name.starts_with(blocks)) {
    const auto dot = name.find('.', blocks.size());
    const auto block = cat("visual.trunk.blocks.", name.substr(blocks.size(), dot - blocks.size()), ".");
    const auto inside = name.substr(dot + 1);
    const auto end = inside.substr(inside.rfind('.') + 1);  // weight or bias
    if (inside.starts_with("attn.qkv_proj."))
      return {{block + "attn.q_proj.weight", block + "attn.k_proj.weight", block + "attn.v_proj.weight"}};
    if (inside.starts_with("mlp.fc1_gx.")) return {{cat(block, "mlp.fc1_g.", end), cat(block, "mlp.fc1_x.", end)}};
    for (auto* same : {"attn.q_", "attn.v_", "attn.norm.", "mlp.norm.", "mlp.fc2."})
      if (inside.starts_with(same)) return {{cat(block, inside)}};
  }
  auto found = timm_vit_source(name.substr(6));
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("the layout has no place for visual.", name); });
  return *found;
}

/// timm's Eva.init_weights, whose truncation at 100 deviations is none; PyTorch's defaults for the patches and for open_clip's
/// head.
CLIPX_INLINE initial_values eva_vit::initial(std::string_view name, const shape& s, const config& v) {
  if (name.starts_with("head.proj.")) return fan_in(v.width);
  if (name.starts_with("trunk.")) name.remove_prefix(6);
  if (name.starts_with("conv1.")) return fan_in(3 * v.patch_size.area());
  if (name == "class_embedding") return initial_values::normal(0.02);
  if (name == "attn_pool.probe") return normal_of(v.width);
  if (s.sizes.size() < 2) return initial_values::constant(name.ends_with(".weight") ? 1 : 0);  // of norms, and biases
  if (name == "head.weight") return initial_values::normal(0.02 * 0.001);
  static constexpr std::string_view blocks = "transformer.resblocks.";
  if (!name.starts_with(blocks)) return initial_values::normal(0.02);
  double block = 0;
  for (auto digits = name.substr(blocks.size()); digits[0] != '.'; digits.remove_prefix(1)) block = 10 * block + (digits[0] - '0');
  const bool last =
      name.ends_with("attn.out_proj.weight") || name.ends_with("mlp.fc2.weight") || name.ends_with("mlp.c_proj.weight");
  return initial_values::normal(last ? 0.02 / std::sqrt(2 * (block + 1)) : 0.02);
}

CLIPX_INLINE std::vector<model_fact> eva_vit::facts(const config& v) { return plain_vit::facts(v); }

CLIPX_INLINE double eva_vit::flops(const config& v, const clip_config& c) {
  const dim rows = (v.layers - 1) * v.tokens() + (v.pool == vit_pool::token ? 1 : v.tokens());  // that an MLP sees
  const double second_half = v.block.swiglu ? 2 * static_cast<double>(rows * v.width) * static_cast<double>(v.mlp_width) : 0;
  return plain_vit::flops(v, c) + second_half;
}

}  // namespace clipx
