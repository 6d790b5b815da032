// Definitions of causal_text.hpp.
#pragma once
#include <cmath>

#include "causal_text.hpp"

namespace clipx {
namespace detail {
inline transformer_sizes blocks_of(const text_config& t) { return {t.width, t.heads, t.layers, t.mlp_width}; }
inline constexpr std::string_view text_blocks = "transformer.resblocks.";

inline void read_open_clip_text(fields& f, text_config& t) {
  t.context_length = f.size("context_length", 77, 65536);
  t.vocab_size = f.size("vocab_size", 49408);
  t.width = f.size("width", 512);
  t.heads = f.size("heads", 8);
  t.layers = f.size("layers", 12, 10000);
  t.mlp_width = f.times(t.width, "mlp_ratio", 4.0);
  const auto pool = f.text("pool_type", "argmax");
  if (pool != "argmax" && pool != "eos") f.issue(cat("pool_type: ", pool, " is not supported, only argmax and eos"));
  t.pool = pool == "eos" ? text_pool::eos : text_pool::argmax;
  t.eos_id = f.token("eos_id", 2);
  f.refuse({"ls_init_value", "act_kwargs", "norm_kwargs", "block_type", "hf_model_name", "tokenizer_mode"});
  f.refuse_true({"embed_cls", "no_causal_mask", "final_ln_after_pool", "proj_bias", "qk_norm", "scaled_cosine_attn", "scale_heads",
                 "scale_attn_inner", "scale_attn", "scale_fc"});
  f.only("proj_type", "linear");
  f.skip({"pad_id", "output_tokens", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type"});
}
}  // namespace detail

CLIPX_INLINE void causal_text::read(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  if (r.keys == layout::open_clip) return detail::read_open_clip_text(f, t);
  auto sizes = detail::blocks_of(t);
  read_hf_transformer(r, "text_config", sizes);
  t.width = sizes.width;
  t.heads = sizes.heads;
  t.layers = sizes.layers;
  t.mlp_width = sizes.mlp_width;
  t.context_length = f.size("max_position_embeddings", 77, 65536);
  t.vocab_size = f.size("vocab_size", 49408);
  t.eos_id = f.token("eos_token_id", 49407);
  // transformers' rule for old files, whose id is wrong; MetaCLIP 2's end token is really 2
  t.pool = t.eos_id == 2 && r.model_type != meta_clip_2 ? text_pool::argmax : text_pool::eos;
}

CLIPX_INLINE void causal_text::write(const clip_config& c, layout keys, field_writer& to) {
  const auto& t = c.text;
  to.put("vocab_size", t.vocab_size);
  if (keys == layout::hf) {
    write_hf_transformer(is_meta_clip_2(c) ? "metaclip_2_text_model" : "clip_text_model", detail::blocks_of(t), text_choices(c),
                         to);
    to.put("max_position_embeddings", t.context_length);
    return;
  }
  expect_open_clip_choices(text_choices(c));
  expect(c.text_act() == c.act, error_kind::unsupported,
         "open_clip's layout of CLIP has one activation for both towers; these have two");
  to.put("context_length", t.context_length);
  to.put("width", t.width);
  to.put("heads", t.heads);
  to.put("layers", t.layers);
  if (t.mlp_width != 4 * t.width) to.put("mlp_ratio", (static_cast<double>(t.mlp_width) + 0.5) / static_cast<double>(t.width));
  if (t.pool != text_pool::eos) return;
  to.put("pool_type", "eos");
  to.put("eos_id", dim{t.eos_id});
}

CLIPX_INLINE void causal_text::infer(shape_reader& r, clip_config& c) {
  const auto projection = r.sizes("text_projection", 2), table = r.sizes("token_embedding.weight", 2),
             positions = r.sizes("positional_embedding", 2);
  auto& t = c.text;
  c.embed_dim = projection[1];
  t.width = projection[0];
  t.vocab_size = table[0];
  t.context_length = positions[0];
  t.heads = t.width / 64;
  t.mlp_width = 4 * t.width;
  t.layers = r.count("transformer.resblocks.", ".attn.in_proj_weight");
  if (t.width % 64)
    r.issues().add(cat("the text tower's width, ", t.width, ", is not a multiple of 64: its heads need a config file"));
}

CLIPX_INLINE void causal_text::check(const clip_config& c, issue_list& issues) {
  const auto& t = c.text;
  if (t.heads < 1 || t.width % t.heads != 0)
    issues.add(cat("text tower: width ", t.width, " does not divide into ", t.heads, " heads"));
  if (t.mlp_width < 1) issues.add("text tower: the MLP has no columns");
}

CLIPX_INLINE key_source causal_text::source_of(std::string_view name, layout keys) {
  if (keys == layout::open_clip) {  // or under text., if open_clip built a CustomTextCLIP
    const bool table = name == "positional_embedding";
    return {{std::string(name)}, false, table ? key_source::resizing::sequence : key_source::resizing::none, "text."};
  }
  static constexpr std::array<key_row, 4> rows{{{"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
                                                {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
                                                {"ln_final.", "text_model.final_layer_norm."},
                                                {"text_projection", "text_projection.weight", true}}};
  auto found = name.starts_with(detail::text_blocks)
                   ? hf_block_source(name.substr(detail::text_blocks.size()), "text_model.encoder.layers.")
                   : hf_row_source(name, rows);
  expect(found.has_value(), error_kind::unsupported, [&] { return cat("Hugging Face's layout has no place for ", name); });
  return *found;
}

CLIPX_INLINE initial_values causal_text::initial(std::string_view name, const shape&, const clip_config& c) {
  const auto& t = c.text;
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (name == "token_embedding.weight") return initial_values::normal(0.02);
  if (name == "positional_embedding") return initial_values::normal(0.01);
  if (name == "text_projection") return normal_of(t.width);
  if (has(".ln_") || name.starts_with("ln_final")) return initial_values::constant(name.ends_with(".weight") ? 1 : 0);
  if (name.ends_with("in_proj_bias") || name.ends_with("out_proj.bias")) return {};
  if (name.ends_with("c_fc.bias")) return fan_in(t.width);
  if (name.ends_with("c_proj.bias")) return fan_in(t.mlp_width);
  if (name.ends_with("in_proj_weight")) return normal_of(t.width);
  if (name.ends_with("c_fc.weight")) return normal_of(2 * t.width);
  const double depth = std::sqrt(0.5 / static_cast<double>(t.layers));
  return initial_values::normal(normal_of(t.width).size * depth);  // out_proj, c_proj
}

CLIPX_INLINE double causal_text::flops(const clip_config& c, dim tokens) {
  return transformer_flops(detail::blocks_of(c.text), tokens, true) + 2 * static_cast<double>(c.text.width * c.embed_dim);
}

}  // namespace clipx
