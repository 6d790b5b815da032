// bert_text: a text side that is a RoBERTa of Hugging Face, as in open_clip's xlm-roberta-base-ViT-B-32, joined to an image tower
// by with_text; and M-CLIP's text towers alone (multilingual_clip 1.0).
#pragma once
#include "../model/bert_text.hpp"
#include "hf_text.hpp"

namespace clipx {

/// XLM-RoBERTa and RoBERTa, base and large, and others of these kinds with their config.json. Its tensors have the names of
/// transformers' XLMRobertaModel behind "text.transformer.". M-CLIP's files have them behind "transformer.", and a linear layer
/// with a bias, LinearTransformation; what precedes it is the mean of the rows.
struct bert_text {
  ///@{
  /// As in causal_text; the label is the second half of the architecture's name.
  static constexpr bool is_tower = true;
  static constexpr std::string_view label = "RoBERTa", telltale = "text.transformer.embeddings.word_embeddings.weight";
  template <backend_types B>
  using tower = bert_text_tower<B>;
  ///@}

  /// Whether a configuration file names a text model of Hugging Face, whichever it is: what is not supported is refused by name.
  static bool claims(layout keys, const fields& model) { return names_hf_text(keys, model); }
  /// Whether config.json is that of M-CLIP's text tower.
  static bool claims_alone(layout keys, const fields& model);
  /// Such a model is a CustomTextCLIP in open_clip, which has no -quickgelu of it.
  static void adapt(model_family& f) { f.custom_text = true, f.quick_gelu = false, f.hf_text_type = m_clip; }
  static constexpr std::string_view m_clip = "M-CLIP";  // its model_type
  ///@{
  /// As in causal_text. A bare file does not say how many heads there are: infer() adds an issue.
  static void read(tower_reader& r, text_config& c);
  static void write(const clip_config& c, layout keys, field_writer& to);
  static void infer(shape_reader& r, clip_config& c);
  static void check(const clip_config& c, issue_list& issues) { check_hf_text(c.text, c.embed_dim, issues); }
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const clip_config& c) {
    return name == "proj.bias" ? fan_in(c.text.width) : initial_of_hf_text(name, s);
  }
  static double flops(const clip_config& c, dim tokens);
  ///@}

  /// The text tower of that name in open_clip's configurations ("xlm-roberta-base"). Errors: there is none.
  static text_config config_of(std::string_view name);
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "bert_text-inl.hpp"
#endif
