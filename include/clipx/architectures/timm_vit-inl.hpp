// Definitions of timm_vit.hpp (timm 1.0's vision_transformer.py; open_clip 3.3's TimmModel).
#pragma once
#include <array>
#include <charconv>

#include "timm_vit.hpp"

namespace clipx {

CLIPX_INLINE std::optional<key_source> timm_vit_source(std::string_view name) {
  static constexpr std::string_view trunk = "visual.trunk.", in_proj = "attn_pool.in_proj_", blocks = "transformer.resblocks.";
  static constexpr std::array<key_row, 9> block{{{"ls_1.", "ls1."},
                                                 {"ls_2.", "ls2."},
                                                 {"ln_1.", "norm1."},
                                                 {"attn.in_proj_weight", "attn.qkv.weight"},
                                                 {"attn.in_proj_bias", "attn.qkv.bias"},
                                                 {"attn.out_proj.", "attn.proj."},
                                                 {"ln_2.", "norm2."},
                                                 {"mlp.c_fc.", "mlp.fc1."},
                                                 {"mlp.c_proj.", "mlp.fc2."}}};
  static constexpr std::array<key_row, 10> rows{{{"conv1.", "patch_embed.proj."},
                                                 {"ln_pre.", "norm_pre."},
                                                 {"ln_post.", "norm."},
                                                 {"fc_norm.", "fc_norm."},
                                                 {"head.", "head."},
                                                 {"attn_pool.probe", "attn_pool.latent"},
                                                 {"attn_pool.out_proj.", "attn_pool.proj."},
                                                 {"attn_pool.ln.", "attn_pool.norm."},
                                                 {"attn_pool.mlp.c_fc.", "attn_pool.mlp.fc1."},
                                                 {"attn_pool.mlp.c_proj.", "attn_pool.mlp.fc2."}}};
  if (name == "positional_embedding")
    return key_source{.parts = {cat(trunk, "pos_embed")}, .positions = key_source::resizing::image_grid, .ones = 1};
  if (name == "class_embedding") return key_source{.parts = {cat(trunk, "cls_token")}, .ones = 2};
  if (name.starts_with(in_proj)) {  // the query's rows, then those of keys and values
    const auto kind = name.substr(in_proj.size());
    return key_source{.parts = {cat(trunk, "attn_pool.q.", kind), cat(trunk, "attn_pool.kv.", kind)}, .shares = {1, 2}};
  }
  std::string before(trunk);
  const bool of_block = name.starts_with(blocks);
  if (of_block) {
    name.remove_prefix(blocks.size());
    const auto dot = name.find('.');
    before += cat("blocks.", name.substr(0, dot), ".");
    name.remove_prefix(dot + 1);
  }
  auto found = of_block ? hf_row_source(name, block) : hf_row_source(name, rows);
  if (found) found->parts[0] = before + found->parts[0];
  return found;
}

namespace detail {
/// A size of timm's vision transformers.
struct timm_vit_size {
  std::string_view name;
  dim width, layers, heads, mlp_width;
};
inline constexpr std::array<timm_vit_size, 10> timm_vit_sizes{{{"base", 768, 12, 12, 3072},
                                                               {"tiny", 192, 12, 3, 768},
                                                               {"xsmall", 256, 10, 4, 1024},
                                                               {"small", 384, 12, 6, 1536},
                                                               {"medium", 512, 12, 8, 2048},
                                                               {"betwixt", 640, 12, 10, 2560},
                                                               {"large", 1024, 24, 16, 4096},
                                                               {"huge", 1280, 32, 16, 5120},
                                                               {"giant", 1408, 40, 16, 6144},
                                                               {"gigantic", 1664, 48, 16, 8192}}};
/// Takes `word` from the front of the name, if it stands there.
inline bool take_word(std::string_view& name, std::string_view word) {
  if (!name.starts_with(word)) return false;
  name.remove_prefix(word.size());
  return true;
}
/// Takes a number from the front of the name; 0: there is none that an image or a patch can have.
inline dim take_number(std::string_view& name) {
  dim n = 0;
  const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), n);
  if (wrong != std::errc{} || n < 1 || n > 16384) return 0;
  name.remove_prefix(static_cast<std::size_t>(end - name.data()));
  return n;
}
}  // namespace detail

namespace detail {
/// What a name of timm's says, whether or not timm has a model of that name.
inline std::optional<timm_vit> parse_timm_vit(std::string_view name) {
  timm_vit m;
  auto& v = m.sizes;
  if (!take_word(name, "vit_")) return {};
  const timm_vit_size* size = nullptr;
  for (auto& known : timm_vit_sizes)
    if (!size && take_word(name, cat(known.name, "_patch"))) size = &known;
  v.patch_size = take_number(name);
  if (!size || v.patch_size == extent()) return {};
  v.width = size->width;
  v.layers = size->layers;
  v.heads = size->heads;
  v.mlp_width = size->mlp_width;
  const bool plus = take_word(name, "_plus");
  if (plus) v.width = 896, v.heads = 14, v.mlp_width = 4 * 896;
  v.norm_pre = take_word(name, "_clip");
  if (plus && !v.norm_pre) v.layer_scale = 1e-5;
  if (take_word(name, "_gap")) {  // no class token; the norm is before the mean
    v.class_token = false;
    v.pool = vit_pool::mean;
    m.norm_first = true;
    if (size->name == "base") v.heads = 16;
    if (size->name == "medium" || size->name == "betwixt") v.qkv_bias = false, v.layer_scale = 1e-6;
  }
  if (take_word(name, "_quickgelu")) m.act = activation::quick_gelu;
  v.patch_bias = !v.norm_pre;
  v.head = vit_head::trunk;
  v.head_bias = v.timm = true;
  if (v.norm_pre) m.norm_eps = 1e-5;
  const bool sized = take_word(name, "_");
  v.image_size = take_number(name);
  if (!sized || v.image_size == extent() || !name.empty()) return {};
  return m;
}

// clang-format off
inline constexpr std::array<std::string_view, 56> known_timm_vits{
    "vit_medium_patch16_gap_240", "vit_medium_patch16_gap_256", "vit_medium_patch16_gap_384", "vit_betwixt_patch16_gap_256",
    "vit_base_patch16_gap_224", "vit_huge_patch14_gap_224", "vit_huge_patch16_gap_448", "vit_giant_patch16_gap_224",
    "vit_base_patch32_plus_256", "vit_base_patch16_plus_240",
    "vit_base_patch8_224", "vit_base_patch16_224", "vit_base_patch16_384", "vit_base_patch16_clip_224", "vit_base_patch16_clip_384",
    "vit_base_patch16_clip_quickgelu_224", "vit_base_patch16_plus_clip_240", "vit_base_patch32_224", "vit_base_patch32_384",
    "vit_base_patch32_clip_224", "vit_base_patch32_clip_256", "vit_base_patch32_clip_384", "vit_base_patch32_clip_448",
    "vit_base_patch32_clip_quickgelu_224", "vit_betwixt_patch32_clip_224", "vit_giant_patch14_224", "vit_giant_patch14_clip_224",
    "vit_gigantic_patch14_224", "vit_gigantic_patch14_clip_224", "vit_gigantic_patch14_clip_378",
    "vit_gigantic_patch14_clip_quickgelu_224", "vit_huge_patch14_224", "vit_huge_patch14_clip_224", "vit_huge_patch14_clip_336",
    "vit_huge_patch14_clip_378", "vit_huge_patch14_clip_quickgelu_224", "vit_huge_patch14_clip_quickgelu_378",
    "vit_large_patch14_224", "vit_large_patch14_clip_224", "vit_large_patch14_clip_336", "vit_large_patch14_clip_quickgelu_224",
    "vit_large_patch14_clip_quickgelu_336", "vit_large_patch16_224", "vit_large_patch16_384", "vit_large_patch32_224",
    "vit_large_patch32_384", "vit_medium_patch16_clip_224", "vit_medium_patch32_clip_224", "vit_small_patch8_224",
    "vit_small_patch16_224", "vit_small_patch16_384", "vit_small_patch32_224", "vit_small_patch32_384", "vit_tiny_patch16_224",
    "vit_tiny_patch16_384", "vit_xsmall_patch16_clip_224"};
// clang-format on
}  // namespace detail

CLIPX_INLINE std::span<const std::string_view> timm_vit_names() { return detail::known_timm_vits; }

CLIPX_INLINE std::optional<timm_vit> timm_vit_named(std::string_view name) {
  for (auto known : detail::known_timm_vits)
    if (known == name) return detail::parse_timm_vit(name);
  return {};
}

CLIPX_INLINE std::string timm_vit_name(const timm_vit& m) {
  const auto& v = m.sizes;
  for (auto name : detail::known_timm_vits) {
    const auto found = *detail::parse_timm_vit(name);
    const auto& n = found.sizes;
    if (found.act == m.act && n.norm_pre == v.norm_pre && n.class_token == v.class_token && n.qkv_bias == v.qkv_bias &&
        n.layer_scale == v.layer_scale && n.image_size == v.image_size && n.patch_size == v.patch_size && n.width == v.width &&
        n.layers == v.layers && n.heads == v.heads && n.mlp_width == v.mlp_width)
      return std::string(name);
  }
  return v.norm_pre ? "vit_base_patch16_clip_224" : v.class_token ? "vit_base_patch16_224" : "vit_base_patch16_gap_224";
}

namespace detail {
/// Arguments of timm.create_model that open_clip passes on: they replace what the tower's name says.
inline void read_timm_vit_kwargs(fields& f, timm_vit& m) {
  auto& v = m.sizes;
  v.image_size = f.sides("img_size", v.image_size);
  v.patch_size = f.sides("patch_size", v.patch_size, 4096);
  const double ratio = static_cast<double>(v.mlp_width) / static_cast<double>(v.width);
  const bool wide = f.has("embed_dim") || f.has("mlp_ratio");
  v.width = f.size("embed_dim", v.width);
  v.layers = f.size("depth", v.layers, 10000);
  v.heads = f.size("num_heads", v.heads);
  if (wide) v.mlp_width = f.times(v.width, "mlp_ratio", ratio);
  const auto name = f.text("act_layer", name_of(m.act));
  bool known = false;
  for (auto act : {activation::gelu, activation::gelu_tanh, activation::quick_gelu})
    if (name == name_of(act)) m.act = act, known = true;
  if (!known) f.issue(cat("act_layer: ", name, " is not supported, only gelu, gelu_tanh and quick_gelu"));
  v.class_token = f.flag("class_token", v.class_token);
  const bool no_position = f.flag("no_embed_class", !v.class_position);
  v.class_position = !no_position || !v.class_token;
  v.qkv_bias = f.flag("qkv_bias", v.qkv_bias);
  if (f.has("init_values")) v.layer_scale = f.number("init_values", 0);
  f.refuse_others();
}

}  // namespace detail

CLIPX_INLINE vit_pool read_timm_head(fields& f, plain_vit_config& v) {
  if (f.is_null("timm_pool")) f.issue("timm_pool: null is not supported; name the pooling of the tower: token, avg or map");
  const auto pool = f.text("timm_pool", "avg");
  const auto projection = f.text("timm_proj", f.is_null("timm_proj") ? "" : "linear");
  const bool after = projection == "linear";
  if (projection != "linear" && projection != "none" && !projection.empty())
    f.issue(cat("timm_proj: ", projection, " is not supported, only linear and none"));
  v.head = after ? vit_head::after_trunk : projection == "none" ? vit_head::none : vit_head::trunk;
  v.head_bias = after ? f.flag("timm_proj_bias", false) : v.head == vit_head::trunk;
  if (!after) f.skip({"timm_proj_bias"});
  const auto named = v.pool;  // of the tower's name
  if (pool == "token") v.pool = vit_pool::token;
  else if (pool == "avg") v.pool = vit_pool::mean;
  else if (pool == "map") v.pool = vit_pool::attention;
  else if (!pool.empty() || !after) f.issue(cat("timm_pool: \"", pool, "\" is not supported, only token, avg and map"));
  const auto made = after ? named : v.pool;
  if (v.pool == vit_pool::attention && made != vit_pool::attention)
    f.issue("timm_pool: map: with timm_proj linear timm adds no attention pooling to this tower");
  return made;
}
CLIPX_INLINE void write_timm_head(const plain_vit_config& v, field_writer& to) {
  const bool after = v.head == vit_head::after_trunk;
  to.put("timm_pool", v.pool == vit_pool::token ? "token" : v.pool == vit_pool::mean ? "avg" : "map");
  to.put("timm_proj", after ? "linear" : v.head == vit_head::none ? "none" : "");
  if (after && v.head_bias) to.put("timm_proj_bias", true);
}

CLIPX_INLINE void refuse_timm_variants(fields& f) {
  f.refuse({"ls_init_value", "act_kwargs", "norm_kwargs", "block_type"});
  f.refuse_true({"attentional_pool", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"});
  f.skip({"layers", "width", "head_width", "mlp_ratio", "patch_size", "output_tokens", "no_ln_pre", "pos_embed_type",
          "final_ln_after_pool", "pool_type", "attn_pooler_queries", "attn_pooler_heads",
          "timm_model_pretrained"});  // of no effect on a timm tower's answer
}

CLIPX_INLINE plain_vit_config read_timm_vit(tower_reader& r) {
  auto& f = r.tower;
  const auto name = f.text("timm_model_name", "");
  const auto found = timm_vit_named(name);
  if (!found)
    f.issue(cat("timm_model_name: ", name, " is not supported; of the plain vision transformers vit_SIZE_patchP_N and ",
                "vit_SIZE_patchP_clip_N"));
  auto m = found.value_or(timm_vit{});
  auto kwargs = f.object("timm_model_kwargs", "vision_cfg.timm_model_kwargs");
  const auto made = read_timm_head(f, m.sizes);
  m.sizes.norm_after_pool = kwargs.flag("fc_norm", made == vit_pool::mean && !m.norm_first);
  detail::read_timm_vit_kwargs(kwargs, m);
  expect_size_of_tower(f, f.sides("image_size", m.sizes.image_size), kwargs, name, m.sizes.image_size);
  r.shared.act = m.act;  // timm's towers do not follow quick_gelu
  r.shared.norm_eps = m.norm_eps;
  refuse_timm_variants(f);
  return m.sizes;
}

CLIPX_INLINE void write_timm_vit(const plain_vit_config& v, const clip_config& c, field_writer& to) {
  expect(c.act != activation::relu, error_kind::unsupported, "open_clip's layout has no image tower with the activation relu");
  const timm_vit own{v, c.act, c.norm_eps};
  const auto name = timm_vit_name(own);
  auto named = timm_vit_named(name).value_or(timm_vit{});
  expect(named.norm_eps == c.norm_eps, error_kind::unsupported, [&] {
    return cat("open_clip's layout has no place for layer_norm_eps ", c.norm_eps, " of ", name, ", only ", named.norm_eps);
  });
  const auto& n = named.sizes;
  expect(v.class_token || !n.class_token || v.head != vit_head::after_trunk, error_kind::unsupported, [&] {
    return cat("timm makes no ", name, " without a class token before open_clip's own head: give the tower a head of its own");
  });
  to.put("image_size", v.image_size);
  to.put("timm_model_name", name);
  to.put("timm_model_pretrained", false);
  const bool after = v.head == vit_head::after_trunk;
  write_timm_head(v, to);
  field_writer kwargs;
  bool any = false;
  const auto put = [&](const char* key, bool same, const auto& value) {
    if (!same) kwargs.put(key, value), any = true;
  };
  put("img_size", n.image_size == v.image_size, v.image_size);
  put("patch_size", n.patch_size == v.patch_size, v.patch_size);
  put("embed_dim", n.width == v.width, v.width);
  put("depth", n.layers == v.layers, v.layers);
  put("num_heads", n.heads == v.heads, v.heads);
  put("mlp_ratio", n.width == v.width && n.mlp_width == v.mlp_width,
      (static_cast<double>(v.mlp_width) + 0.5) / static_cast<double>(v.width));
  put("act_layer", named.act == c.act, name_of(c.act));
  put("class_token", n.class_token == v.class_token, v.class_token);
  put("no_embed_class", n.class_position == v.class_position || !v.class_token, !v.class_position);
  put("qkv_bias", n.qkv_bias == v.qkv_bias, v.qkv_bias);
  if (v.layer_scale) put("init_values", n.layer_scale == v.layer_scale, *v.layer_scale);
  const bool mean = (after ? n.pool : v.pool) == vit_pool::mean;
  put("fc_norm", (mean && !named.norm_first) == v.norm_after_pool, v.norm_after_pool);
  if (any) to.put("timm_model_kwargs", kwargs);
}

}  // namespace clipx
