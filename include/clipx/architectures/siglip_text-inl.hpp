// Definitions of siglip_text.hpp.
#pragma once
#include <cmath>

#include "siglip_text.hpp"

namespace clipx {
namespace detail {
inline transformer_sizes siglip_blocks(const text_config& t) { return {t.width, t.heads, t.layers, t.mlp_width}; }
inline constexpr std::string_view siglip_text_blocks = "transformer.resblocks.";

/// act_kwargs and norm_kwargs of open_clip's text_cfg.
inline void read_open_clip_kwargs(tower_reader& r) {
  auto& f = r.tower;
  auto act = f.object("act_kwargs", "text_cfg.act_kwargs"), norm = f.object("norm_kwargs", "text_cfg.norm_kwargs");
  const auto form = act.text("approximate", "none");
  if (form != "none" && form != "tanh") act.issue(cat("approximate: ", form, " is not supported, only none and tanh"));
  if (act.has("approximate") && r.shared.act == activation::quick_gelu) act.issue("approximate: QuickGELU has no such option");
  if (form == "tanh") r.shared.act = activation::gelu_tanh;
  r.shared.norm_eps = norm.number("eps", 1e-5);
  for (auto* part : {&act, &norm}) part->refuse_others();
}

inline void read_siglip_open_clip(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  t.context_length = f.size("context_length", 77, 65536);
  t.vocab_size = f.size("vocab_size", 49408);
  t.width = f.size("width", 512);
  t.heads = f.size("heads", 8);
  t.layers = f.size("layers", 12, 10000);
  t.mlp_width = f.times(t.width, "mlp_ratio", 4.0);
  read_open_clip_kwargs(r);
  const auto pool = f.text("pool_type", "argmax"), projection = f.text("proj_type", "linear");
  if (pool != "last") f.issue(cat("pool_type: ", pool, " is not supported with a SigLIP image tower, only last"));
  if (!f.flag("no_causal_mask", false)) f.issue("no_causal_mask: false is not supported with a SigLIP image tower, only true");
  if (projection != "linear" && projection != "none")
    f.issue(cat("proj_type: ", projection, " is not supported, only linear and none"));
  t.projection = projection != "none";
  if (const bool bias = f.flag("proj_bias", false); t.projection && !bias)
    f.issue("proj_bias: false is not supported with a SigLIP image tower, only true, or proj_type none");
  f.refuse({"ls_init_value", "block_type", "hf_model_name", "tokenizer_mode", "text_arch"});
  f.refuse_true({"embed_cls", "use_pad_mask", "final_ln_after_pool", "qk_norm", "scaled_cosine_attn", "scale_heads",
                 "scale_attn_inner", "scale_attn", "scale_fc"});
  f.skip({"pad_id", "eos_id", "output_tokens", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type", "correct_cls_mask"});
}
}  // namespace detail

CLIPX_INLINE void siglip_text::read(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  t.pool = text_pool::last;
  t.eos_id = 1;  // of the published vocabularies; not read
  if (r.keys == layout::open_clip) return detail::read_siglip_open_clip(r, t);
  transformer_sizes sizes{768, 12, 12, 3072};
  r.shared = {activation::gelu_tanh, 1e-6};
  read_hf_transformer(r, "text_config", sizes);
  t.width = sizes.width;
  t.heads = sizes.heads;
  t.layers = sizes.layers;
  t.mlp_width = sizes.mlp_width;
  t.context_length = f.size("max_position_embeddings", 64, 65536);
  t.vocab_size = f.size("vocab_size", 32000);
  r.shared.embed_dim = f.size("projection_size", t.width);
}

CLIPX_INLINE void siglip_text::write(const clip_config& c, layout keys, field_writer& to) {
  const auto& t = c.text;
  to.put("vocab_size", t.vocab_size);
  auto shared = text_choices(c);
  if (keys == layout::hf) {
    expect(t.projection, error_kind::unsupported,
           "Hugging Face's layout of SigLIP has no text tower without a projection: write layout::open_clip");
    shared.embed_dim = 0;
    write_hf_transformer("siglip_text_model", detail::siglip_blocks(t), shared, to);
    to.put("max_position_embeddings", t.context_length);
    to.put("projection_size", c.embed_dim);
    return;
  }
  expect(shared.act == activation::gelu || shared.act == activation::gelu_tanh, error_kind::unsupported,
         [&] { return cat("open_clip's layout of SigLIP has no place for the activation ", name_of(shared.act)); });
  to.put("context_length", t.context_length);
  to.put("width", t.width);
  to.put("heads", t.heads);
  to.put("layers", t.layers);
  if (t.mlp_width != 4 * t.width) to.put("mlp_ratio", (static_cast<double>(t.mlp_width) + 0.5) / static_cast<double>(t.width));
  to.put("no_causal_mask", true);
  to.put("pool_type", "last");
  if (t.projection) to.put("proj_bias", true);
  else to.put("proj_type", "none");
  field_writer norm, act;
  norm.put("eps", shared.norm_eps);
  to.put("norm_kwargs", norm);
  act.put("approximate", "tanh");
  if (shared.act == activation::gelu_tanh) to.put("act_kwargs", act);
}

CLIPX_INLINE void siglip_text::infer(shape_reader& r, clip_config& c) {
  const auto table = r.sizes("text.token_embedding.weight", 2), positions = r.sizes("text.positional_embedding", 2);
  auto& t = c.text;
  t.pool = text_pool::last;
  t.eos_id = 1;
  t.vocab_size = table[0];
  t.width = table[1];
  t.context_length = positions[0];
  t.layers = r.count("text.transformer.resblocks.", ".attn.in_proj_weight");
  t.mlp_width = t.layers ? r.sizes("text.transformer.resblocks.0.mlp.c_fc.weight", 2)[0] : 4 * t.width;
  t.projection = r.has("text.text_projection.weight");
  c.embed_dim = t.projection ? r.sizes("text.text_projection.weight", 2)[0] : t.width;
  c.norm_eps = 1e-6;
  t.heads = siglip_heads(t.width);
  if (t.heads == 0)
    r.issues().add(cat("no published SigLIP has a text tower of width ", t.width, ": its heads need a config file"));
}

CLIPX_INLINE void siglip_text::check(const clip_config& c, issue_list& issues) {
  const auto& t = c.text;
  if (t.heads < 1 || t.width % t.heads != 0)
    issues.add(cat("text tower: width ", t.width, " does not divide into ", t.heads, " heads"));
  if (t.mlp_width < 1) issues.add("text tower: the MLP has no columns");
  if (t.pool != text_pool::last) issues.add("text tower: expected text_pool::last, which is how a SigLIP pools");
  if (!t.projection && t.width != c.embed_dim)
    issues.add(cat("text tower: expected a projection, or the width of the embedding, ", c.embed_dim, ", got ", t.width));
  if (const dim width = c.vision.as<siglip_vit_config>().width; width != c.embed_dim)
    issues.add(cat("image tower: expected the width of the embedding, ", c.embed_dim, ", got ", width));
}

CLIPX_INLINE key_source siglip_text::source_of(std::string_view name, layout keys) {
  if (keys == layout::open_clip) return {{cat("text.", name)}};
  static constexpr std::array<key_row, 4> rows{{{"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
                                                {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
                                                {"ln_final.", "text_model.final_layer_norm."},
                                                {"text_projection.", "text_model.head."}}};
  auto found = name.starts_with(detail::siglip_text_blocks)
                   ? hf_block_source(name.substr(detail::siglip_text_blocks.size()), "text_model.encoder.layers.")
                   : hf_row_source(name, rows);
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("Hugging Face's layout has no place for ", name); });
  return *found;
}

/// open_clip's TextTransformer.init_parameters.
CLIPX_INLINE initial_values siglip_text::initial(std::string_view name, const shape&, const clip_config& c) {
  const auto& t = c.text;
  const auto ends = [&](std::string_view e) { return name.ends_with(e); };
  if (name == "token_embedding.weight") return initial_values::normal(0.02);
  if (name == "positional_embedding") return initial_values::normal(0.01);
  if (name == "text_projection.weight") return normal_of(t.width);
  if (name == "text_projection.bias") return {};
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

CLIPX_INLINE double siglip_text::flops(const clip_config& c, dim) {  // padding is computed
  const double projection = c.text.projection ? 2 * static_cast<double>(c.text.width * c.embed_dim) : 0;
  return transformer_flops(detail::siglip_blocks(c.text), c.text.context_length, false) + projection;
}

}  // namespace clipx
