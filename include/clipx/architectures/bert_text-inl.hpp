// Definitions of bert_text.hpp (transformers 5's XLMRobertaConfig and XLMRobertaModel; open_clip 3.3's hf_model.py).
#pragma once
#include <algorithm>

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

/// A config.json of transformers' RobertaConfig or XLMRobertaConfig, or BertConfig where the caller takes it.
inline void read_bert_config(fields& f, tower_reader& r, text_config& t, bool takes_bert = false) {
  const auto type = f.text("model_type", "");
  const bool bert = takes_bert && type == "bert";
  if (type != "xlm-roberta" && type != "roberta" && !bert)
    f.issue(cat("model_type: ", f.dump("model_type"), " is not supported, only \"xlm-roberta\" and \"roberta\"",
                takes_bert ? " and \"bert\"" : ""));
  transformer_sizes s{768, 12, 12, 3072};
  tower_reader model{layout::hf, f, r.answers, {activation::gelu, 1e-12}};
  read_hf_transformer(model, "hf_text_config", s);
  r.shared = model.shared;
  take_hf_text({"", s.width, s.heads, s.layers, s.mlp_width, f.size("vocab_size", type == "roberta" ? 50265 : 30522),
                f.size("max_position_embeddings", 512, 65536)},
               t);
  t.hf.token_types = f.size("type_vocab_size", 2);
  t.hf.pad_id = f.token("pad_token_id", bert ? 0 : 1);
  t.hf.positions_after_pad = !bert;
  f.only("position_embedding_type", "absolute");
  f.refuse_true({"is_decoder", "add_cross_attention", "is_encoder_decoder"});
  skip_hf_text(f);
  f.refuse_others();
}

/// LaBSE, a BERT (Feng et al. 2022).
inline constexpr std::array<hf_text_model, 1> labse{{{"LaBSE", 768, 12, 12, 3072, 501153, 512}}};
inline bool take_labse(std::string_view name, tower_reader& r, text_config& t) {
  for (std::string_view organization : {"sentence-transformers/", "setu4993/"})
    if (const auto* m = find_hf_text(name, organization, labse)) {
      take_hf_text(*m, t);
      t.hf.token_types = 2;
      t.hf.pad_id = 0;
      t.hf.positions_after_pad = false;
      r.shared.norm_eps = 1e-12;
      return true;
    }
  return false;
}

/// The models that are known by name.
inline std::string bert_names() {
  std::string names;
  for (auto& m : bert_models) names += cat(names.empty() ? "" : ", ", m.name);
  return names;
}

/// M-CLIP's config.json: the model that the tower is, by name, and the sizes of the layer behind it.
inline void read_m_clip(tower_reader& r, text_config& t) {
  auto& f = r.tower;
  f.skip({"model_type"});
  t.hf.name = f.text("modelBase", "xlm-roberta-large");
  t.pool = text_pool::mean;
  t.hf.head = text_head::linear;
  t.projection = t.projection_bias = true;
  r.shared = {activation::gelu, 1e-5};
  const dim width = f.size("transformerDimensions", f.size("transformerDimSize", 1024));
  r.shared.embed_dim = f.size("numDims", f.size("imageDimSize", 768));
  if (f.has("hf_text_config")) {
    auto own = f.object("hf_text_config", "hf_text_config");
    const dim D = r.shared.embed_dim;
    read_bert_config(own, r, t, true);
    r.shared.embed_dim = D;
  } else if (const auto* m = find_bert(t.hf.name)) {
    take_hf_text(*m, t);
  } else if (!take_labse(t.hf.name, r, t)) {
    return f.issue(cat("modelBase: the sizes of ", t.hf.name, " are not known (those of ", bert_names(),
                       ", LaBSE are): put the contents of its config.json under \"hf_text_config\" in this file"));
  }
  t.context_length = std::max<dim>(t.hf.positions - t.hf.first_position(), 1);
  if (t.width != width)
    f.issue(error_kind::mismatch, cat("transformerDimensions: ", width, " is not the width of ", t.hf.name, ", ", t.width));
  skip_hf_text(f);
  f.refuse_others();
}
}  // namespace detail

CLIPX_INLINE bool bert_text::claims_alone(layout keys, const fields& model) {
  return keys == layout::hf && model.dump("model_type") == cat("\"", m_clip, "\"");
}

CLIPX_INLINE void bert_text::read(tower_reader& r, text_config& t) {
  if (r.keys == layout::hf) return detail::read_m_clip(r, t);
  auto& f = r.tower;
  read_hf_text(f, t, detail::bert_poolers);
  r.shared.act = activation::gelu;
  r.shared.norm_eps = 1e-5;
  if (f.has("hf_text_config")) {
    auto own = f.object("hf_text_config", "hf_text_config");
    return detail::read_bert_config(own, r, t);
  }
  if (const auto* m = detail::find_bert(t.hf.name)) return take_hf_text(*m, t);
  f.issue(
      cat("hf_model_name: the sizes of ", t.hf.name, " are not known (those of ", detail::bert_names(),
          " are). If model_type in its config.json is \"xlm-roberta\" or \"roberta\", put the contents of that file under "
          "\"hf_text_config\", beside \"model_cfg\" in open_clip_config.json; docs/models.md lists the models that are supported"));
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
  auto out = hf_text_source(name, layout::open_clip, rows, "text.transformer.encoder.layer.", of_block);
  if (keys == layout::open_clip) return out;
  for (auto& part : out.parts) {  // M-CLIP's
    part.erase(0, std::string_view("text.").size());
    if (part.starts_with("proj.")) part.replace(0, std::string_view("proj").size(), "LinearTransformation");
  }
  return out;
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
