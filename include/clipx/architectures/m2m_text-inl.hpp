// Definitions of m2m_text.hpp (transformers 5's M2M100Config and M2M100Encoder; open_clip 3.3's hf_model.py).
#pragma once
#include "m2m_text.hpp"

namespace clipx {
namespace detail {
// name, width, heads, layers, MLP's width, vocabulary, positions (computed for texts of any length)
inline constexpr std::array<hf_text_model, 2> m2m_models{
    {{"nllb-200-distilled-600M", 1024, 16, 12, 4096, 256206, 0}, {"nllb-200-distilled-1.3B", 1024, 16, 24, 8192, 256206, 0}}};
inline const hf_text_model* find_m2m(std::string_view name) { return find_hf_text(name, "facebook/", m2m_models); }
inline constexpr std::array<std::pair<std::string_view, text_pool>, 3> m2m_poolers{
    {{"cls_pooler", text_pool::first}, {"cls_last_hidden_state_pooler", text_pool::first}, {"mean_pooler", text_pool::mean}}};

/// A config.json of transformers' M2M100Config.
inline void read_m2m_config(fields& f, tower_reader& r, text_config& t) {
  f.only("model_type", "m2m_100");
  f.only("scale_embedding", true);
  const auto act = f.text("activation_function", "relu");
  r.shared.act = act == "relu" ? activation::relu : activation_named(act, "hf_text_config", f.issues());
  const dim width = f.size("d_model", 1024), heads = f.size("encoder_attention_heads", 16),
            layers = f.size("encoder_layers", 12, 10000), mlp = f.size("encoder_ffn_dim", 4096);
  take_hf_text({"", width, heads, layers, mlp, f.size("vocab_size", 128112), 0}, t);
  t.hf.pad_id = f.token("pad_token_id", 1);
  f.skip({"max_position_embeddings", "num_hidden_layers", "encoder_layerdrop", "decoder_attention_heads", "decoder_ffn_dim",
          "decoder_layerdrop", "decoder_layers", "is_encoder_decoder"});
  skip_hf_text(f);
  f.refuse_others();
}
}  // namespace detail

CLIPX_INLINE bool m2m_text::claims(layout keys, const fields& model) {
  if (!names_hf_text(keys, model)) return false;
  auto words = model.object("text_cfg", "text_cfg");
  if (!words.has("hf_text_config")) {
    const auto quoted = words.dump("hf_model_name");  // what is no string is an issue when it is read
    return quoted.size() > 2 && detail::find_m2m(std::string_view(quoted).substr(1, quoted.size() - 2)) != nullptr;
  }
  if (!words.dump("hf_text_config").starts_with('{')) return false;
  return words.object("hf_text_config", "hf_text_config").dump("model_type") == "\"m2m_100\"";
}

CLIPX_INLINE void m2m_text::read(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  read_hf_text(f, t, detail::m2m_poolers);
  r.shared.act = activation::relu;
  r.shared.norm_eps = 1e-5;
  if (f.has("hf_text_config")) {
    auto own = f.object("hf_text_config", "hf_text_config");
    return detail::read_m2m_config(own, r, t);
  }
  if (const auto* m = detail::find_m2m(t.hf.name)) take_hf_text(*m, t);
}

CLIPX_INLINE void m2m_text::write(const clip_config& c, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         "Hugging Face's layout has no CLIP with an NLLB as its text tower: write layout::open_clip");
  const auto& t = c.text;
  write_hf_text(t, t.pool == text_pool::mean ? "mean_pooler" : "cls_pooler", to);
  text_config known = t;
  const auto* m = detail::find_m2m(t.hf.name);
  if (m) take_hf_text(*m, known);
  expect(c.text_norm_eps() == 1e-5, error_kind::unsupported,
         [&] { return cat("an M2M-100 has LayerNorms with epsilon 1e-5, got ", c.text_norm_eps()); });
  if (m && known == t && c.text_act() == activation::relu) return;
  field_writer own;
  own.put("model_type", "m2m_100");
  own.put("d_model", t.width);
  own.put("encoder_attention_heads", t.heads);
  own.put("encoder_layers", t.layers);
  own.put("encoder_ffn_dim", t.mlp_width);
  own.put("activation_function", hf_name_of(c.text_act()));
  own.put("scale_embedding", true);
  own.put("vocab_size", t.vocab_size);
  own.put("pad_token_id", dim{t.hf.pad_id});
  to.put("hf_text_config", own);
}

CLIPX_INLINE void m2m_text::infer(shape_reader& r, clip_config&) {
  r.issues().add("a model with an NLLB as its text tower needs its folder: open_clip_config.json names the NLLB");
}

CLIPX_INLINE void m2m_text::check(const clip_config& c, issue_list& issues) {
  check_hf_text(c.text, c.embed_dim, issues);
  if (c.text.width < 4) issues.add(cat("text tower: expected a width of 4 or more, got ", c.text.width));
}

CLIPX_INLINE key_source m2m_text::source_of(std::string_view name, layout keys) {
  static constexpr std::array<key_row, 3> rows{{{"token_embedding.weight", "text.transformer.embed_tokens.weight"},
                                                {"ln_final.", "text.transformer.layer_norm."},
                                                {"proj.", "text.proj."}}};
  static constexpr std::array<key_row, 8> of_block{{{"q.", "self_attn.q_proj."},
                                                    {"k.", "self_attn.k_proj."},
                                                    {"v.", "self_attn.v_proj."},
                                                    {"attn.out_proj.", "self_attn.out_proj."},
                                                    {"ln_1.", "self_attn_layer_norm."},
                                                    {"ln_2.", "final_layer_norm."},
                                                    {"mlp.c_fc.", "fc1."},
                                                    {"mlp.c_proj.", "fc2."}}};
  return hf_text_source(name, keys, rows, "text.transformer.layers.", of_block);
}

CLIPX_INLINE double m2m_text::flops(const clip_config& c, dim tokens) {
  const auto& t = c.text;
  return hf_text_flops({t.width, t.heads, t.layers, t.mlp_width}, tokens, t.pool == text_pool::mean) + hf_head_flops(c);
}

CLIPX_INLINE text_config m2m_text::config_of(std::string_view name) {
  const auto* m = detail::find_m2m(name);
  expect(m != nullptr, error_kind::not_found, [&] { return cat("no NLLB of the name ", name, " is known"); });
  text_config t;
  t.pool = text_pool::first;
  t.hf.name = name;
  t.hf.head = text_head::linear;
  take_hf_text(*m, t);
  return t;
}

}  // namespace clipx
