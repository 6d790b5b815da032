// Definitions of bert_text.hpp (transformers 5's XLMRobertaConfig and XLMRobertaModel; open_clip 3.3's hf_model.py).
#pragma once
#include "bert_text.hpp"

namespace clipx {
namespace detail {
// name, width, heads, layers, MLP's width, vocabulary, positions
inline constexpr std::array<hf_text_model, 5> bert_models{{{"xlm-roberta-base", 768, 12, 12, 3072, 250002, 514},
                                                           {"xlm-roberta-large", 1024, 16, 24, 4096, 250002, 514},
                                                           {"roberta-base", 768, 12, 12, 3072, 50265, 514},
                                                           {"roberta-large", 1024, 16, 24, 4096, 50265, 514},
                                                           {"distilroberta-base", 768, 12, 6, 3072, 50265, 514}}};
inline const hf_text_model* find_bert(std::string_view name) {
  for (std::string_view organization : {"FacebookAI/", "distilbert/"})
    if (auto* m = find_hf_text(name, organization, bert_models)) return m;
  return nullptr;
}
inline constexpr std::array<std::pair<std::string_view, text_pool>, 2> bert_poolers{
    {{"mean_pooler", text_pool::mean}, {"cls_last_hidden_state_pooler", text_pool::first}}};

/// A config.json of transformers' RobertaConfig or XLMRobertaConfig.
inline void read_bert_config(fields& f, tower_reader& r, text_config& t) {
  const auto type = f.text("model_type", "");
  if (type != "xlm-roberta" && type != "roberta")
    f.issue(cat("model_type: ", f.dump("model_type"), " is not supported, only \"xlm-roberta\" and \"roberta\""));
  transformer_sizes s{768, 12, 12, 3072};
  tower_reader model{layout::hf, f, r.answers, {activation::gelu, 1e-12}};
  read_hf_transformer(model, "hf_text_config", s);
  r.shared = model.shared;
  take_hf_text({"", s.width, s.heads, s.layers, s.mlp_width, f.size("vocab_size", type == "roberta" ? 50265 : 30522),
                f.size("max_position_embeddings", 512, 65536)},
               t);
  t.hf.token_types = f.size("type_vocab_size", 2);
  t.hf.pad_id = f.token("pad_token_id", 1);
  f.only("position_embedding_type", "absolute");
  f.refuse_true({"is_decoder", "add_cross_attention", "is_encoder_decoder"});
  skip_hf_text(f);
  f.refuse_others();
}
}  // namespace detail

CLIPX_INLINE void bert_text::read(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  read_hf_text(f, t, detail::bert_poolers);
  r.shared.act = activation::gelu;
  r.shared.norm_eps = 1e-5;
  if (f.has("hf_text_config")) {
    auto own = f.object("hf_text_config", "hf_text_config");
    return detail::read_bert_config(own, r, t);
  }
  if (const auto* m = detail::find_bert(t.hf.name)) return take_hf_text(*m, t);
  std::string names;
  for (auto& m : detail::bert_models) names += cat(names.empty() ? "" : ", ", m.name);
  f.issue(
      cat("hf_model_name: the sizes of ", t.hf.name, " are not known (those of ", names,
          " are): put the contents of its config.json under \"hf_text_config\", beside \"model_cfg\" in open_clip_config.json"));
}

CLIPX_INLINE void bert_text::write(const clip_config& c, layout keys, field_writer& to) {
  expect(keys == layout::open_clip, error_kind::unsupported,
         "Hugging Face's layout has no CLIP with a RoBERTa as its text tower: write layout::open_clip");
  const auto& t = c.text;
  write_hf_text(t, t.pool == text_pool::mean ? "mean_pooler" : "cls_last_hidden_state_pooler", to);
  text_config known = t;
  const auto* m = detail::find_bert(t.hf.name);
  if (m) take_hf_text(*m, known);
  if (m && known == t && c.text_act() == activation::gelu && c.text_norm_eps() == 1e-5) return;
  auto shared = text_choices(c);
  shared.embed_dim = 0;
  field_writer own;
  write_hf_transformer("xlm-roberta", {t.width, t.heads, t.layers, t.mlp_width}, shared, own);
  own.put("vocab_size", t.vocab_size);
  own.put("max_position_embeddings", t.hf.positions);
  own.put("type_vocab_size", t.hf.token_types);
  own.put("pad_token_id", dim{t.hf.pad_id});
  to.put("hf_text_config", own);
}

CLIPX_INLINE void bert_text::infer(shape_reader& r, clip_config&) {
  r.issues().add("a model with a RoBERTa as its text tower needs its folder: open_clip_config.json names the RoBERTa");
}

CLIPX_INLINE key_source bert_text::source_of(std::string_view name, layout keys) {
  static constexpr std::array<key_row, 5> rows{
      {{"token_embedding.weight", "text.transformer.embeddings.word_embeddings.weight"},
       {"positional_embedding", "text.transformer.embeddings.position_embeddings.weight"},
       {"token_type_embedding", "text.transformer.embeddings.token_type_embeddings.weight"},
       {"ln_embed.", "text.transformer.embeddings.LayerNorm."},
       {"proj.", "text.proj."}}};
  static constexpr std::array<key_row, 8> of_block{{{"q.", "attention.self.query."},
                                                    {"k.", "attention.self.key."},
                                                    {"v.", "attention.self.value."},
                                                    {"attn.out_proj.", "attention.output.dense."},
                                                    {"ln_1.", "attention.output.LayerNorm."},
                                                    {"mlp.c_fc.", "intermediate.dense."},
                                                    {"mlp.c_proj.", "output.dense."},
                                                    {"ln_2.", "output.LayerNorm."}}};
  return hf_text_source(name, keys, rows, "text.transformer.encoder.layer.", of_block);
}

CLIPX_INLINE double bert_text::flops(const clip_config& c, dim tokens) {
  const auto& t = c.text;
  return hf_text_flops({t.width, t.heads, t.layers, t.mlp_width}, tokens, t.pool == text_pool::mean) + hf_head_flops(c);
}

CLIPX_INLINE text_config bert_text::config_of(std::string_view name) {
  const auto* m = detail::find_bert(name);
  expect(m != nullptr, error_kind::not_found, [&] { return cat("no RoBERTa of the name ", name, " is known"); });
  text_config t;
  t.pool = text_pool::mean;
  t.hf.name = name;
  take_hf_text(*m, t);
  return t;
}

}  // namespace clipx
