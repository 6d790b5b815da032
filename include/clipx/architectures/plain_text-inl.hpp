// Definitions of plain_text.hpp (open_clip 3.3's CLIPTextCfg and TextTransformer).
#pragma once
#include <array>
#include <cmath>

#include "plain_text.hpp"

namespace clipx {
namespace detail {
inline transformer_sizes plain_blocks(const text_config& t) { return {t.width, t.heads, t.layers, t.mlp_width}; }

/// open_clip's names of how a text is pooled.
struct pool_name {
  const char* name;
  text_pool pool;
};
inline constexpr std::array<pool_name, 4> pool_names{
    {{"argmax", text_pool::argmax}, {"eos", text_pool::eos}, {"last", text_pool::last}, {"first", text_pool::first}}};
}  // namespace detail

CLIPX_INLINE void read_open_clip_kwargs(tower_reader& r, const char* where) {
  auto& f = r.tower;
  auto act = f.object("act_kwargs", cat(where, ".act_kwargs")), norm = f.object("norm_kwargs", cat(where, ".norm_kwargs"));
  const auto form = act.text("approximate", "none");
  if (form != "none" && form != "tanh") act.issue(cat("approximate: ", form, " is not supported, only none and tanh"));
  if (act.has("approximate") && r.shared.act == activation::quick_gelu) act.issue("approximate: QuickGELU has no such option");
  if (form == "tanh") r.shared.act = activation::gelu_tanh;
  r.shared.norm_eps = norm.number("eps", 1e-5);
  for (auto* part : {&act, &norm}) part->refuse_others();
}
CLIPX_INLINE void write_open_clip_kwargs(const shared_choices& c, double usual_eps, field_writer& to) {
  field_writer norm, act;
  norm.put("eps", c.norm_eps);
  act.put("approximate", "tanh");
  if (c.norm_eps != usual_eps) to.put("norm_kwargs", norm);
  if (c.act == activation::gelu_tanh) to.put("act_kwargs", act);
}

CLIPX_INLINE bool plain_text::claims(const fields& text) {
  const auto is = [&](const char* key, const char* value) { return text.dump(key) == value; };
  for (auto* key : {"no_causal_mask", "proj_bias"})
    if (is(key, "true")) return true;
  for (auto* key : {"act_kwargs", "norm_kwargs", "ls_init_value"})
    if (text.has(key)) return true;
  return is("pool_type", "\"last\"") || is("pool_type", "\"first\"") || is("proj_type", "\"none\"");
}

CLIPX_INLINE void plain_text::read(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  t.context_length = f.size("context_length", 77, 65536);
  t.vocab_size = f.size("vocab_size", 49408);
  t.width = f.size("width", 512);
  t.heads = f.size("heads", 8);
  t.layers = f.size("layers", 12, 10000);
  t.mlp_width = f.times(t.width, "mlp_ratio", 4.0);
  read_open_clip_kwargs(r, "text_cfg");
  t.causal = !f.flag("no_causal_mask", false);
  const auto pool = f.text("pool_type", "argmax"), projection = f.text("proj_type", "linear");
  const auto eos_id = f.token("eos_id", 2);
  bool known = false;
  for (auto& p : detail::pool_names)
    if (pool == p.name) t.pool = p.pool, known = true;
  if (!known) f.issue(cat("pool_type: ", pool, " is not supported, only argmax, eos, last and first"));
  if (t.pool == text_pool::eos) t.eos_id = eos_id;
  if (projection != "linear" && projection != "none")
    f.issue(cat("proj_type: ", projection, " is not supported, only linear and none"));
  t.projection = projection != "none";
  t.projection_bias = f.flag("proj_bias", false) && t.projection;
  if (f.has("ls_init_value")) t.layer_scale = f.number("ls_init_value", 0);
  f.refuse({"block_type", "hf_model_name", "tokenizer_mode", "text_arch"});
  f.refuse_true({"embed_cls", "use_pad_mask", "final_ln_after_pool", "qk_norm", "scaled_cosine_attn", "scale_heads",
                 "scale_attn_inner", "scale_attn", "scale_fc"});
  f.skip({"pad_id", "output_tokens", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type", "correct_cls_mask"});
}

CLIPX_INLINE void plain_text::write(const clip_config& c, layout keys, field_writer& to) {
  const auto& t = c.text;
  expect(keys == layout::open_clip, error_kind::unsupported, [&] {
    return cat("Hugging Face's layout has no text tower as that of a ", c.vision.policy().name(), ": write layout::open_clip");
  });
  const auto shared = text_choices(c);
  expect(shared.act != activation::relu, error_kind::unsupported, "open_clip's layout has no text tower with the activation relu");
  to.put("vocab_size", t.vocab_size);
  to.put("context_length", t.context_length);
  to.put("width", t.width);
  to.put("heads", t.heads);
  to.put("layers", t.layers);
  if (t.mlp_width != 4 * t.width) to.put("mlp_ratio", (static_cast<double>(t.mlp_width) + 0.5) / static_cast<double>(t.width));
  if (t.layer_scale) to.put("ls_init_value", *t.layer_scale);
  if (!t.causal) to.put("no_causal_mask", true);
  for (auto& p : detail::pool_names)
    if (t.pool == p.pool && t.pool != text_pool::argmax) to.put("pool_type", p.name);
  if (t.pool == text_pool::eos) to.put("eos_id", dim{t.eos_id});
  if (t.projection_bias) to.put("proj_bias", true);
  if (!t.projection) to.put("proj_type", "none");
  write_open_clip_kwargs(shared, 1e-5, to);
}

CLIPX_INLINE void plain_text::infer(shape_reader& r, clip_config& c) {
  const std::string before = r.has("text.token_embedding.weight") ? "text." : "";
  const auto table = r.sizes(before + "token_embedding.weight", 2), positions = r.sizes(before + "positional_embedding", 2);
  auto& t = c.text;
  t.vocab_size = table[0];
  t.width = table[1];
  t.context_length = positions[0];
  t.layers = r.count(before + "transformer.resblocks.", ".attn.in_proj_weight");
  t.mlp_width = t.layers ? r.sizes(before + "transformer.resblocks.0.mlp.c_fc.weight", 2)[0] : 4 * t.width;
  if (r.has(before + "transformer.resblocks.0.ls_1.gamma")) t.layer_scale = 1;
  t.projection_bias = r.has(before + "text_projection.weight");
  t.projection = t.projection_bias || r.has(before + "text_projection");
  c.embed_dim = t.projection_bias ? r.sizes(before + "text_projection.weight", 2)[0]
                : t.projection    ? r.sizes(before + "text_projection", 2)[1]
                                  : t.width;
  t.heads = t.width / 64;
  if (t.width % 64)
    r.issues().add(cat("the text tower's width, ", t.width, ", is not a multiple of 64: its heads need a config file"));
}

CLIPX_INLINE void plain_text::infer_from(std::span<const clip_config> presets, const chosen<architecture>& image, shape_reader& r,
                                         clip_config& c) {
  for (auto& p : presets) {
    auto t = p.text;  // with the sizes of the file
    t.vocab_size = c.text.vocab_size, t.width = c.text.width, t.heads = c.text.heads, t.layers = c.text.layers;
    t.mlp_width = c.text.mlp_width, t.context_length = c.text.context_length;
    t.projection = c.text.projection, t.projection_bias = c.text.projection_bias, t.layer_scale = c.text.layer_scale;
    if (!(p.vision == image) || !(t == p.text) || p.embed_dim != c.embed_dim) continue;
    c.text = t;
    c.norm_eps = p.norm_eps;
    return;
  }
  r.issues().add(
      "a file alone with such tensors does not say how images and texts are pooled, unless its sizes are those of a preset: put "
      "open_clip_config.json beside it and open the folder");
}

CLIPX_INLINE void plain_text::check(const clip_config& c, issue_list& issues) {
  const auto& t = c.text;
  if (t.heads < 1 || t.width % t.heads != 0)
    issues.add(cat("text tower: width ", t.width, " does not divide into ", t.heads, " heads"));
  if (t.mlp_width < 1) issues.add("text tower: the MLP has no columns");
  if (t.pool == text_pool::none) issues.add("text tower: expected a pooled row, got text_pool::none");
  if (!t.projection && t.width != c.embed_dim)
    issues.add(cat("text tower: expected a projection, or the width of the embedding, ", c.embed_dim, ", got ", t.width));
}

CLIPX_INLINE key_source plain_text::source_of(std::string_view name, layout keys) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         [&] { return cat("Hugging Face's layout has no place for ", name, " of this text tower"); });
  return {.parts = {cat("text.", name)},
          .transposed = name == "text_projection",
          .positions = name == "positional_embedding" ? key_source::resizing::sequence : key_source::resizing::none,
          .other_prefix = "text."};
}

/// open_clip's TextTransformer.init_parameters.
CLIPX_INLINE initial_values plain_text::initial(std::string_view name, const shape&, const clip_config& c) {
  const auto& t = c.text;
  const auto ends = [&](std::string_view e) { return name.ends_with(e); };
  if (name == "token_embedding.weight") return initial_values::normal(0.02);
  if (name == "positional_embedding") return initial_values::normal(0.01);
  if (ends(".gamma")) return initial_values::constant(t.layer_scale.value_or(1));
  if (name == "text_projection.bias") return {};
  if (name.starts_with("text_projection")) return normal_of(t.width);
  if (name.find(".ln_") != std::string_view::npos || name.starts_with("ln_final"))
    return initial_values::constant(ends(".weight") ? 1 : 0);
  if (ends("in_proj_bias") || ends("out_proj.bias")) return {};
  if (ends("c_fc.bias")) return fan_in(t.width);
  if (ends("c_proj.bias")) return fan_in(t.mlp_width);
  if (ends("in_proj_weight")) return normal_of(t.width);
  if (ends("c_fc.weight")) return normal_of(2 * t.width);
  const double depth = std::sqrt(0.5 / static_cast<double>(t.layers));
  return initial_values::normal(normal_of(t.width).size * depth);  // out_proj, c_proj
}

CLIPX_INLINE double plain_text::flops(const clip_config& c, dim tokens) {
  const auto& t = c.text;
  const double projection = t.projection ? 2 * static_cast<double>(t.width * c.embed_dim) : 0;
  return transformer_flops(detail::plain_blocks(t), t.filled() ? t.context_length : tokens, t.causal) + projection;
}

}  // namespace clipx
