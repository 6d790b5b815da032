// Definitions of siglip_text.hpp.
#pragma once
#include <array>

#include "siglip_text.hpp"

namespace clipx {
namespace detail {
inline transformer_sizes siglip_blocks(const text_config& t) { return {t.width, t.heads, t.layers, t.mlp_width}; }
inline constexpr std::string_view siglip_text_blocks = "transformer.resblocks.";

inline void read_siglip_open_clip(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  plain_text::read(r, t);
  if (t.pool != text_pool::last)
    f.issue(cat("pool_type: ", f.text("pool_type", "argmax"), " is not supported with a SigLIP image tower, only last"));
  if (t.layer_scale) f.issue("ls_init_value is not supported with a SigLIP image tower");
  if (t.causal) f.issue("no_causal_mask: false is not supported with a SigLIP image tower, only true");
  if (t.projection && !t.projection_bias)
    f.issue("proj_bias: false is not supported with a SigLIP image tower, only true, or proj_type none");
}
}  // namespace detail

CLIPX_INLINE void siglip_text::read(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  t.pool = text_pool::last;
  t.eos_id = 1;  // of the published vocabularies; not read
  t.projection_bias = true;
  t.causal = false;
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
  auto shared = text_choices(c);
  if (keys == layout::hf) {
    expect(t.projection, error_kind::unsupported,
           "Hugging Face's layout of SigLIP has no text tower without a projection: write layout::open_clip");
    to.put("vocab_size", t.vocab_size);
    shared.embed_dim = 0;
    write_hf_transformer("siglip_text_model", detail::siglip_blocks(t), shared, to);
    to.put("max_position_embeddings", t.context_length);
    to.put("projection_size", c.embed_dim);
    return;
  }
  expect(shared.act == activation::gelu || shared.act == activation::gelu_tanh, error_kind::unsupported,
         [&] { return cat("open_clip's layout of SigLIP has no place for the activation ", name_of(shared.act)); });
  plain_text::write(c, keys, to);
}

CLIPX_INLINE void siglip_text::infer(shape_reader& r, clip_config& c) {
  const auto table = r.sizes("text.token_embedding.weight", 2), positions = r.sizes("text.positional_embedding", 2);
  auto& t = c.text;
  t.pool = text_pool::last;
  t.eos_id = 1;
  t.causal = false;
  t.vocab_size = table[0];
  t.width = table[1];
  t.context_length = positions[0];
  t.layers = r.count("text.transformer.resblocks.", ".attn.in_proj_weight");
  t.mlp_width = t.layers ? r.sizes("text.transformer.resblocks.0.mlp.c_fc.weight", 2)[0] : 4 * t.width;
  t.projection = t.projection_bias = r.has("text.text_projection.weight");
  c.embed_dim = t.projection ? r.sizes("text.text_projection.weight", 2)[0] : t.width;
  c.norm_eps = 1e-6;
  t.heads = siglip_heads(t.width);
  if (t.heads == 0)
    r.issues().add(cat("no published SigLIP has a text tower of width ", t.width, ": its heads need a config file"));
}

CLIPX_INLINE void siglip_text::check(const clip_config& c, issue_list& issues) {
  const auto& t = c.text;
  plain_text::check(c, issues);
  if (t.pool != text_pool::last || t.causal)
    issues.add("text tower: expected text_pool::last and no causal mask, which is how a SigLIP reads texts");
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

}  // namespace clipx
